/**
 * The bucket under the lake fails while streams run: they do not notice, their telemetry waits in the shard, and every
 * row is in the table once when the bucket is back. Operators are told, and told that it is over.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { QUICK_ALERTS, untilFired, untilResolved } from "./faults/alerts.ts";
import { breakBucket } from "./faults/bucket.ts";
import type { ChaosReader } from "./fixtures/chaos-reader.ts";
import type { ChaosStream } from "./fixtures/chaos-stream.ts";
import { ChaosScene, perform } from "./scene.ts";

const PACE_MS = 200;

const random = seededRandom("bucket failures");
let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: QUICK_ALERTS });
});
afterAll(() => scene.end());

const told = (event: string) => scene.service.lines.filter((line) => line.startsWith(`{"event":"${event}"`)).length;

/** Sends now and then until the fault has been told, and lets its readers come and go meanwhile. */
async function streamUntilTold(stream: ChaosStream, event: string, late: ChaosReader): Promise<void> {
  const { source, first } = stream;
  const before = told(event);
  await until(async () => {
    source.send(1);
    await Promise.all([first.untilSeq(source.sent.length), wait(PACE_MS)]);
    if (late.connections.length === 0) {
      first.cut();
      await stream.untilReaders(0);
      await first.resume();
      await late.resume();
    }
    return told(event) > before;
  }, event);
}

test("a bucket that goes away in mid-stream: streams go on, and nothing told meanwhile is lost or doubled", async () => {
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    source.send(10);
    await first.untilSeq(10);
    await scene.flushedRows();
    const giveBack = breakBucket(scene.folder, scene.service.bucket, "everything");
    try {
      const late = stream.reader();
      await streamUntilTold(stream, "BufferFlushFailed", late);
      await untilFired(scene.service, "FlushFailing");
      source.end();
      await Promise.all([first.untilEnd(), late.untilEnd()]);
      return { readers: [first, late] };
    } finally {
      giveBack();
    }
  });
  const types = (await scene.flushedRows()).map(({ type }) => type);
  expect(types).toContain("BufferFlushFailed");
  await untilResolved(scene.service, "FlushFailing");
});

test("a service that comes up on a bucket it cannot read: streams are served, and their rows come later", async () => {
  let giveBack: (() => void) | undefined;
  await scene.redeploy({}, () => {
    giveBack = breakBucket(scene.folder, scene.service.bucket, "reads");
  });
  try {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(10);
      await first.untilSeq(10);
      const late = stream.reader();
      await streamUntilTold(stream, "BufferFlushFailed", late);
      await untilFired(scene.service, "FlushFailing");
      source.end();
      await Promise.all([first.untilEnd(), late.untilEnd()]);
      giveBack?.();
      return { readers: [first, late] };
    });
  } finally {
    giveBack?.();
  }
  await untilResolved(scene.service, "FlushFailing");
});
