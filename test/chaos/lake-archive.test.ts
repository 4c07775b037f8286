/**
 * The archive's bucket fails when a stream ends: the object keeps what it has and serves it; the archive gets it once
 * the bucket is back, and where that is too late, nobody is told otherwise.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { breakBucket } from "./faults/bucket.ts";
import { proveGone, proveTold } from "./faults/proofs.ts";
import { storageFaults } from "./fixtures/clean-up-proof.ts";
import { dataFaults } from "./fixtures/data-proof.ts";
import { ChaosScene, perform } from "./scene.ts";

/** A stream is served by its object for so long, by the archive until its tokens have ended. */
const TTLS = { SSE_SNAPSHOT_TTL_SEC: 5, SSE_RESUME_TTL_SEC: 14 } as const;

const random = seededRandom("archive failures");
let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: { SSE_ARCHIVE: true, ...TTLS } });
});
afterAll(() => scene.end());

const told = (event: string) => scene.service.lines.filter((line) => line.startsWith(`{"event":"${event}"`)).length;
const breakArchive = () => breakBucket(scene.folder, scene.service.archiveBucket, "everything");

test("back before the object's time is over: the stream is archived late, and read from there", async () => {
  const stream = await scene.open({ seed: random.int(1, 1e6) });
  const { source, first, place, route } = stream;
  const giveBack = breakArchive();
  try {
    source.send(60);
    source.end();
    await first.untilEnd();
    await until(() => told("SseArchiveFailed") > 0, "a failure of the archive");
    const meanwhile = stream.reader();
    expect(await meanwhile.resume({ after: "0-0" })).toBe(200);
    await meanwhile.untilEnd();
    expect([first, meanwhile].flatMap((reader) => dataFaults(reader, source.sent))).toEqual([]);
  } finally {
    giveBack();
  }
  await until(() => storageFaults(scene.folder, place).length === 0, "empty storage");
  const later = stream.reader();
  expect(await later.resume({ after: "0-0" })).toBe(200);
  await later.untilEnd();
  expect(dataFaults(later, source.sent)).toEqual([]);
  // Until the token's time is over, it is in its object again.
  await until(() => storageFaults(scene.folder, place).length === 0, "empty storage");
  await proveTold(scene, place, {
    SseStreamStarted: 1,
    SseStreamEnded: 1,
    SseArchiveFailed: told("SseArchiveFailed"),
    SseArchived: 1,
    SseArchiveRead: 1,
    SseResumeSuccess: 2,
  });
  const { token } = stream;
  await until(() => Date.now() > tokenEndMs(token), "the end of the token");
  await proveGone(scene, { place, route, token });
  await stream.close();
});

test("gone for longer than the object's time: the stream is deleted, told as lost to the archive, and nowhere promised", async () => {
  let giveBack: (() => void) | undefined;
  try {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      giveBack = breakArchive();
      source.send(30);
      source.end();
      await first.untilEnd();
      await until(() => storageFaults(scene.folder, stream.place).length === 0, "empty storage");
      const asked = await fetch(`${scene.service.origin}/chat/resume`, { headers: { "X-Resume-Token": stream.token } });
      expect([503, 410]).toContain(asked.status);
      await asked.body?.cancel();
      giveBack?.();
      return { readers: [first], telemetry: { SseArchiveFailed: { min: 1 }, SseResumeFailed: { min: 0 } } };
    });
    expect(scene.service.lines.filter(isFinal)).toHaveLength(1);
  } finally {
    giveBack?.();
  }
});

function tokenEndMs(token: string): number {
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as { exp: number };
  return claims.exp * 1000;
}

function isFinal(line: string): boolean {
  return line.startsWith('{"event":"SseArchiveFailed"') && line.includes('"is_final":true');
}
