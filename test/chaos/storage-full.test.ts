/**
 * The disk under the service is full for a while: writes that were begun cannot be kept, and the platform resets their
 * object without asking it. Readers are cut and never see a clean end, are refused in words while it lasts, and find
 * what was kept afterwards; whoever starts meanwhile is given the upstream's events and told that this is all.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { callAdmin } from "../fixtures/lake-client.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { openReader, until } from "../fixtures/process-reader.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import { limitFiles, surviveFullDisk } from "./faults/object-storage.ts";
import { seqOfId } from "./fixtures/reader-history.ts";
import { ChaosScene, perform } from "./scene.ts";

const FULL_BYTES = 4096;

const random = seededRandom("full disk");
let scene: ChaosScene;
let forget: () => void;
beforeAll(async () => {
  forget = surviveFullDisk();
  scene = await ChaosScene.begin({ routes: [{ name: "demo-source", upstream: "builtin:demo" }] });
});
afterAll(async () => {
  await scene.end();
  forget();
});

test.each([1, 3])(
  "full for %d s in mid-stream: readers are cut, refused while it lasts, and told what was kept",
  async (seconds) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(random.int(10, 80));
      await first.untilSeq(source.sent.length);
      const handedOver = await callAdmin(scene.service, `flush?request_id=${stream.requestId}`);
      expect(handedOver.status, await handedOver.text()).toBe(200);
      const keptSeq = source.sent.length;
      const pid = scene.service.runtimePid();
      limitFiles(pid, FULL_BYTES);
      try {
        source.send(3);
        expect(await first.untilEnd(), "nobody may take this for an end").toBe("broken");
        expect(first.reading.control("end")).toEqual([]);
        const overMs = performance.now() + seconds * 1000;
        do {
          expect(await first.resume()).toBe(503);
          expect(first.connections.at(-1)?.code).toBe("storage_unavailable");
          await wait(250);
        } while (performance.now() < overMs);
        const meanwhile = await openReader(`${scene.service.origin}/demo-source/stream?events=20&rate=0`);
        expect([meanwhile.header("x-spillway-degraded"), meanwhile.header("x-resume-token")]).toEqual(["object", ""]);
        expect(await meanwhile.toEnd()).toBe("ended");
        expect(meanwhile.frames.filter(({ data }) => data !== "")).toHaveLength(20);
      } finally {
        limitFiles(pid, "unlimited");
      }
      const statusOf = () => readStatus(scene.service.origin, first.token, stream.route);
      await until(async () => (await statusOf())["http_status"] === 200, "storage");
      const status = await statusOf();
      expect(status).toMatchObject({ state: "interrupted", reason: "object_restarted", degraded: false });
      const durableSeq = seqOfId(status["last_id"]);
      expect(durableSeq).toBeGreaterThanOrEqual(keptSeq);
      const { seq: seenSeq } = first;
      const late = stream.reader();
      for (const reader of [first, late]) if ((await reader.resume()) === 200) await reader.untilEnd();
      expect(source.callCount).toBe(1);
      const outcome = { throughSeq: durableSeq, end: { status: "interrupted", reason: "object_restarted" } };
      return {
        readers: [
          { reader: first, rewinds: seenSeq > durableSeq ? 1 : 0, ...outcome },
          { reader: late, ...outcome },
        ],
        ended: { state: "interrupted", reason: "object_restarted", events: durableSeq },
        // Refusals are told by the Worker, whose shard was on the same disk.
        telemetry: { SseResumeFailed: { min: 0 }, SseResumeLiveEnd: "any" },
      };
    });
  },
);
