/**
 * The storage of the lake's own objects refuses every write for a while: streams do not notice, and their telemetry is in
 * the table once when it is over.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { seededRandom } from "../fixtures/process-random.ts";
import { lockFiles, objectFiles } from "./faults/object-storage.ts";
import { ChaosScene, perform } from "./scene.ts";

const PACE_MS = 100;

const random = seededRandom("storage of the lake");
let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin();
});
afterAll(() => scene.end());

test.each([
  { of: "EventBuffer", what: "shards", seconds: 1 },
  { of: "EventBuffer", what: "shards", seconds: 8 },
  { of: "IcebergTable", what: "table object", seconds: 3 },
  { of: "ServiceMonitor", what: "monitor", seconds: 3 },
] as const)(
  "the storage of the $what refuses for $seconds s: no stream notices, no row is lost or doubled",
  async ({ of, seconds }) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(10);
      await first.untilSeq(10);
      await scene.flushedRows();
      const second = stream.reader();
      using blip = lockFiles(objectFiles(scene.folder, of));
      const untilMs = performance.now() + seconds * 1000;
      first.cut();
      await Promise.all([first.resume(), second.resume()]);
      while (performance.now() < untilMs) {
        source.send(1);
        await Promise.all([first.untilSeq(source.sent.length), wait(PACE_MS)]);
      }
      blip.release();
      source.end();
      await Promise.all([first.untilEnd(), second.untilEnd()]);
      // Not even as much as a warning.
      expect(first.reading.control("degraded")).toEqual([]);
      return { readers: [first, second] };
    });
  },
);
