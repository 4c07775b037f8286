/**
 * The one shard is full, and its bucket away: producers are refused in words, streams run as ever, and what cannot be
 * told of them is held for a while, then dropped and counted.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { BATCH, numberedEvents, postEvents } from "../fixtures/lake-client.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { QUICK_ALERTS, untilResolved } from "./faults/alerts.ts";
import { breakBucket } from "./faults/bucket.ts";
import { proveGone, proveTold } from "./faults/proofs.ts";
import { dataFaults } from "./fixtures/data-proof.ts";
import { ChaosScene, perform } from "./scene.ts";

const SHARD_EVENTS = 10_000;
/** Shorter than an object tries to hand telemetry over (15 s). */
const SHORT_MS = 4000;
/** A flush fails while the bucket is away; a full shard makes each producer wait for one. */
const DROPPED_DEADLINE_MS = 60_000;

const random = seededRandom("full shard");
let scene: ChaosScene;
let nextId = 0;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: { ...QUICK_ALERTS, ICEBERG_SHARD_MAX_EVENTS: SHARD_EVENTS } });
});
afterAll(() => scene.end());

/** @returns whether they were taken; if not, they were refused in words */
async function sendTo(taken: string[], count: number): Promise<boolean> {
  const events = numberedEvents("/chaos/fill", count, { firstId: nextId });
  const response = await postEvents(scene.service, JSON.stringify(events), { "Content-Type": BATCH });
  const text = await response.text();
  nextId += count;
  const isTaken = response.status === 202;
  if (isTaken) taken.push(...events.map(({ id }) => id));
  const isRefusedWell =
    response.status === 429 && text.includes("buffer_full") && Number(response.headers.get("retry-after")) > 0;
  expect(isTaken || isRefusedWell, `${response.status} ${text}`).toBe(true);
  return isTaken;
}

/** Fills the shard to its last place. @returns ids that were taken */
async function fillShard(): Promise<string[]> {
  const taken: string[] = [];
  for (const count of [5000, 1000, 100, 10, 1]) {
    while (await sendTo(taken, count)) expect(taken.length).toBeLessThan(2 * SHARD_EVENTS);
  }
  return taken;
}

async function proveTaken(taken: readonly string[]): Promise<void> {
  const rows = (await scene.flushedRows()).filter(({ source }) => source === "/chaos/fill");
  const wanted = new Set(taken);
  expect(
    rows
      .map(({ id }) => id)
      .filter((id) => wanted.has(id))
      .toSorted(),
  ).toEqual(taken.toSorted());
}

test("full for a moment: the stream is whole, and all that was told of it is in the table", async () => {
  let taken: string[] = [];
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    await scene.flushedRows();
    const giveBack = breakBucket(scene.folder, scene.service.bucket, "everything");
    try {
      taken = await fillShard();
      source.send(100);
      await first.untilSeq(100);
      first.cut();
      await stream.untilReaders(0);
      await first.resume();
      await wait(SHORT_MS);
      source.end();
      await first.untilEnd();
      return { readers: [first] };
    } finally {
      giveBack();
      await scene.flushedRows();
    }
  });
  await proveTaken(taken);
});

test("full for longer: the stream is whole all the same, and what was not told of it is counted", async () => {
  const stream = await scene.open({ seed: random.int(1, 1e6) });
  const { source, first, place, route, token } = stream;
  await scene.flushedRows();
  const giveBack = breakBucket(scene.folder, scene.service.bucket, "everything");
  let taken: string[] = [];
  try {
    taken = await fillShard();
    source.send(100);
    await first.untilSeq(100);
    first.cut();
    await first.resume();
    await first.untilSeq(100);
    await until(() => told("TelemetryDropped") > 0, "telemetry that is given up", DROPPED_DEADLINE_MS);
  } finally {
    giveBack();
  }
  await scene.flushedRows();
  source.send(20);
  source.end();
  await first.untilEnd();
  expect(dataFaults(first, source.sent)).toEqual([]);
  await proveGone(scene, { place, route, token });
  await proveTold(scene, place, { SseStreamStarted: 1, SseResumeAttempt: 1, SseResumeSuccess: 1, SseStreamEnded: 1 });
  await proveTaken(taken);
  await untilResolved(scene.service, "BufferFill");
  await stream.close();
});

function told(event: string): number {
  return scene.service.lines.filter((line) => line.startsWith(`{"event":"${event}"`)).length;
}
