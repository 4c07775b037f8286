/**
 * Killed as by a power cut right after streams have ended and while they are archived: what a reader saw
 * the end of is in the archive after the restart, whole, with nobody coming to ask for it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, expect, test } from "vitest";

import { decodeArchive, UnreadableArchiveError } from "../../durable-objects/stream/archive-file.ts";
import { inflate, isDeflated } from "../../durable-objects/stream/segment-payload.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { S3Objects } from "../fixtures/s3-objects.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { IS_THOROUGH } from "../fixtures/thoroughness.ts";

const ROUNDS = IS_THOROUGH ? 8 : 5;
/** Large ones take long to archive; the others end one after the other. */
const STREAMS = [
  { events: 500, bytes: 2000, rate: 0 },
  { events: 600, bytes: 2000, rate: 0 },
  { events: 10, bytes: 50, rate: 100 },
  { events: 25, bytes: 50, rate: 100 },
  { events: 40, bytes: 50, rate: 100 },
  { events: 55, bytes: 50, rate: 100 },
] as const;
/** An object whose end was written, and not yet the alarm for it, is woken by the alarm of its life: 30 s. */
const ARCHIVED_WITHIN_MS = 60_000;
const VARS = {
  SSE_ARCHIVE: true,
  SSE_SNAPSHOT_TTL_SEC: 3600,
  SSE_RESUME_TTL_SEC: 7200,
  SSE_BUFFER_MAX_EVENTS: 1000,
} as const;

const folder = mkdtempSync(join(tmpdir(), "spillway-archive-kill-"));
let service: LakeService | undefined;
afterAll(async () => {
  await service?.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<LakeService> {
  service = await startLakeService({ persistTo: folder, vars: VARS });
  return service;
}

interface Ended {
  readonly reading: SseReading;
  readonly events: number;
  /** Whether its reader saw the end before the kill. */
  readonly hasEnded: boolean;
}

/**
 * Streams, and a kill of host and runtime while they end and are archived.
 *
 * @param from when a large one has just ended, and takes its time to be archived; or the start
 */
async function liveAndKill(running: LakeService, from: "end" | "start", afterMs: number): Promise<Ended[]> {
  const started = await Promise.all(
    STREAMS.map(async ({ events, bytes, rate }) => {
      const url = `${running.origin}/demo/stream?events=${events}&bytes=${bytes}&rate=${rate}&stages=5`;
      return { events, reading: await readStream(url) };
    }),
  );
  const large = started[0]?.reading;
  if (from === "end") await large?.until(() => large.control("end").length === 1, "the end of a large stream");
  await wait(afterMs);
  await running.kill();
  return started.map(({ events, reading }) => {
    const hasEnded = reading.control("end").length === 1;
    return { reading, events, hasEnded };
  });
}

test(`what had ended before any of ${ROUNDS} kills is in the archive afterwards`, async () => {
  const random = seededRandom("archive kill -9");
  const ended: Ended[] = [];
  let archivedAfterKill = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const running = await start();
    const [from, afterMs] =
      round % 2 === 0 ? (["end", random.int(0, 20)] as const) : (["start", random.int(50, 650)] as const);
    const streams = await liveAndKill(running, from, afterMs);
    ended.push(...streams);
    const told = running.lines.filter((line) => line.includes('"SseArchived"')).join();
    archivedAfterKill += streams.filter(
      ({ hasEnded, reading }) => hasEnded && !told.includes(reading.requestId),
    ).length;
  }
  const running = await start();
  const objects = new S3Objects(running.s3Origin, running.archiveBucket);
  const whole = ended.filter(({ hasEnded }) => hasEnded);
  const missing = async () => {
    const keys = (await objects.list("streams/")).objects.map(({ key }) => key);
    return whole.filter(({ reading }) => !keys.includes(`streams/${reading.requestId}`)).length;
  };
  await expect.poll(missing, { timeout: ARCHIVED_WITHIN_MS, interval: 250 }).toBe(0);
  console.log(
    `kill -9: ${JSON.stringify({ streams: ended.length, ended: whole.length, archivedAfterKill, kills: ROUNDS })}`,
  );
  // The kills came when they should: before an end, after it, and while it was archived.
  expect(whole.length).toBeGreaterThan(ROUNDS);
  expect(whole.length).toBeLessThan(ended.length);
  expect(archivedAfterKill).toBeGreaterThan(0);
  expect(archivedAfterKill).toBeLessThan(whole.length);

  for (const { reading, events } of whole) {
    const { rows, record } = decodeArchive((await objects.get(`streams/${reading.requestId}`)) ?? new Uint8Array());
    expect(record).toMatchObject({ state: "completed", durableSeq: events });
    const text = rows
      .map(({ payload, encoding }) => new TextDecoder().decode(isDeflated(encoding) ? inflate(payload) : payload))
      .join("");
    expect([...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data)).toEqual(reading.data);
  }
  // None of the others is half there, either; and their readers are told the truth.
  for (const { key } of (await objects.list("streams/")).objects) {
    const file = await objects.get(key);
    expect(() => decodeArchive(file ?? new Uint8Array())).not.toThrow(UnreadableArchiveError);
  }
  for (const { reading } of ended) {
    const again = await resumeStream(`${running.origin}/demo/resume`, reading.token, "0-0");
    await again.toEnd();
    const [end] = again.control("end");
    expect(["complete", "interrupted"]).toContain(end?.["status"]);
    expect(reading.data.slice(0, again.data.length)).toEqual(again.data.slice(0, reading.data.length));
  }
});
