/**
 * The storage of a stream's object refuses every write for a while, in mid-stream and at the end: another process holds
 * the lock of its SQLite file. Readers go on live and are told; what a reader asks for meanwhile is answered with
 * the truth; and once the blip is over, nobody can tell that there was one.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import { lockFiles, objectFile, type StorageLock } from "./faults/object-storage.ts";
import { QUICK_ALERTS, untilResolved } from "./faults/alerts.ts";
import type { ChaosStream } from "./fixtures/chaos-stream.ts";
import { seqOfId } from "./fixtures/reader-history.ts";
import { ChaosScene, perform } from "./scene.ts";

const PACE_MS = 100;
/** SSE_SNAPSHOT_TTL_SEC of the scene. */
const TTL_MS = 2000;
/** A third of it is more than memory keeps of what storage does not take. */
const FLOOD_EVENTS = 60;
const FLOOD_CHARS = 3000;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: QUICK_ALERTS });
});
afterAll(() => scene.end());

const random = seededRandom("storage blips");

/** Its storage takes nothing until this is over. */
function lock({ place }: ChaosStream): StorageLock {
  return lockFiles([objectFile(scene.folder, "RequestStream", place.objectId)]);
}

const statusOf = (token: string) => readStatus(scene.service.origin, token, "chat");

test.concurrent.each([1, 3, 10])(
  "a blip of %d s in mid-stream: all goes on live, resumes without a promise, and is whole afterwards",
  async (seconds) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(random.int(5, 60));
      await first.untilSeq(source.sent.length);
      await until(async () => (await statusOf(first.token))["first_id"] === "1-1", "the stream's first rows");
      const untilMs = performance.now() + seconds * 1000;
      const blip = lock(stream);
      try {
        const late = stream.reader();
        for (let isAsked = false; performance.now() < untilMs; await wait(PACE_MS)) {
          source.send(1);
          await first.untilSeq(source.sent.length);
          const isTold = first.reading.control("degraded").length > 0;
          if (!isTold || isAsked) continue;
          isAsked = true;
          expect(await statusOf(first.token)).toMatchObject({ http_status: 200, degraded: true, state: "streaming" });
          await late.resume({ after: "0-0" });
          // What memory still holds is given, and nothing is promised for later.
          expect(late.reading.response.headers.get("x-spillway-degraded")).toBe("storage");
          expect(late.reading.token).toBe("");
          await late.untilSeq(1);
          expect(late.reading.control("degraded")).toEqual([{ kind: "storage" }]);
        }
        expect(first.reading.control("degraded"), "the blip was told").toEqual([{ kind: "storage" }]);
        expect(late.connections).toHaveLength(1);
        blip.release();
        await until(async () => (await statusOf(first.token))["degraded"] === false, "storage");
        first.cut();
        await stream.untilReaders(1);
        source.send(20);
        await first.resume();
        expect(first.reading.response.headers.get("x-spillway-degraded")).toBe(null);
        source.end();
        await Promise.all([first.untilEnd(), late.untilEnd()]);
        return {
          readers: [first, late],
          telemetry: {
            SseDegraded: [{ kind: "storage", is_over: true }, { kind: "storage" }],
          },
        };
      } finally {
        blip.release();
      }
    });
  },
);

test.concurrent("a blip in which more comes than memory keeps: live readers have it all, others are told what was lost", async () => {
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    source.send(20);
    await first.untilSeq(20);
    await until(async () => (await statusOf(first.token))["first_id"] === "1-1", "the stream's first rows");
    using blip = lock(stream);
    for (let at = 0; at < FLOOD_EVENTS; at++) {
      const data = `${at} ${"x".repeat(FLOOD_CHARS)}`;
      source.sendRaw(`data: ${data}\n\n`, [{ event: "message", data }]);
      await first.untilSeq(source.sent.length);
    }
    const late = stream.reader();
    await late.resume({ after: "0-0" });
    await late.untilSeq(source.sent.length);
    blip.release();
    await until(async () => (await statusOf(first.token))["degraded"] === false, "storage");
    const later = stream.reader();
    await later.resume({ after: "0-0" });
    source.send(10);
    source.end();
    await Promise.all([first.untilEnd(), late.untilEnd(), later.untilEnd()]);
    const gaps = late.reading.control("gap").map(({ from, to }) => [seqOfId(from), seqOfId(to)] as const);
    expect(gaps.length).toBeGreaterThan(0);
    expect(late.reading.control("gap").map(({ reason }) => reason)).toEqual(gaps.map(() => "storage_lost"));
    // Memory kept its 64 KiB, and storage has them now: no more has been lost since.
    expect(later.reading.control("gap")).toEqual(late.reading.control("gap"));
    return {
      readers: [first, { reader: late, gaps }, { reader: later, gaps }],
      telemetry: {
        SseDegraded: [{ kind: "storage", is_over: true }, { kind: "storage" }],
        SseBufferTrimmed: { min: 1 },
      },
    };
  });
});

test.concurrent.each(["the end", "the end of its life"])(
  "a blip over %s of a stream: its outcome is told, and nothing of it is left",
  async (over) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(30);
      await first.untilSeq(30);
      await until(async () => (await statusOf(first.token))["first_id"] === "1-1", "the stream's first rows");
      using blip = lock(stream);
      source.send(30);
      source.end();
      await first.untilEnd();
      expect(first.reading.control("end")).toMatchObject([{ status: "complete" }]);
      if (over === "the end") {
        blip.release();
        await until(async () => (await statusOf(first.token))["degraded"] === false, "storage");
      } else {
        await wait(TTL_MS + 1000);
      }
      blip.release();
      return { readers: [first], telemetry: { SseDegraded: over === "the end" ? 2 : { min: 1, max: 2 } } };
    });
  },
);

test("operators were told that storage failed, and that it is over", async () => {
  await untilResolved(scene.service, "Degraded");
  expect(scene.service.lines.filter((line) => line.includes('"InternalError"'))).toEqual([]);
});
