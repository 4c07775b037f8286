/**
 * The service's clock jumps over times to live: it is stopped for longer than they are, or is away altogether. What was
 * due meanwhile is done then, once; and nobody is taken for late who was not.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { until } from "../fixtures/process-reader.ts";
import { jumpAhead } from "./fixtures/clock-jump.ts";
import { ChaosScene, perform } from "./scene.ts";

const TTL_SEC = 2;
const JUMP_MS = (TTL_SEC + 1) * 1000;
const EVENTS = 30;
const RETRY_MS = 50;
/** Tokens live so short here that a slow start may see one renewed. */
const ISSUED = { SseResumeIssued: { min: 1 } };

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({
    vars: {
      SSE_STATE_TTL_SEC: TTL_SEC,
      SSE_SNAPSHOT_TTL_SEC: TTL_SEC,
      SSE_RESUME_TTL_SEC: TTL_SEC,
      SSE_CLIENT_STALL_SEC: TTL_SEC,
      SSE_CLEANUP_INTERVAL_SEC: 1,
      SSE_RETRY_MS: RETRY_MS,
    },
  });
});
afterAll(() => scene.end());

/** Something that is done once, when so many have come as far as that. */
function meeting(count: number, action: () => Promise<void>): () => Promise<void> {
  const done = Promise.withResolvers<void>();
  let arrived = 0;
  return () => {
    arrived++;
    if (arrived === count) action().then(done.resolve, done.reject);
    return done.promise;
  };
}

test("over SSE_STATE_TTL_SEC and SSE_SNAPSHOT_TTL_SEC: what nobody needs is ended, what has ended is gone", async () => {
  const jump = meeting(2, () => jumpAhead(scene.service, JUMP_MS));
  const abandoned = perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    first.cut();
    await stream.untilReaders(0);
    await jump();
    await until(() => source.isClosed, "the end of the source's call");
    return {
      readers: [{ reader: first, end: "none" }],
      ended: { state: "expired", reason: "abandoned" },
      telemetry: ISSUED,
    };
  });
  const finished = perform(scene, {}, async ({ source, first, reader }) => {
    source.send(EVENTS);
    source.end();
    await first.untilEnd();
    const late = reader();
    await late.resume();
    await late.untilEnd();
    await jump();
    return { readers: [first, late], telemetry: ISSUED };
  });
  await Promise.all([abandoned, finished]);
});

test("over all times at once, with a source and readers on: nobody is sent away, and all goes on where it was", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    const second = stream.reader();
    const byKey = stream.eventSource({ by: "key" });
    await second.resume();
    source.send(EVENTS);
    await Promise.all([first, second, byKey].map((reader) => reader.untilSeq(EVENTS)));
    const jump = jumpAhead(scene.service, JUMP_MS);
    // What comes meanwhile waits for it in the network.
    await source.drip(EVENTS, JUMP_MS / EVENTS / 2);
    await jump;
    await Promise.all([first, second, byKey].map((reader) => reader.untilSeq(2 * EVENTS)));
    // Their tokens expired meanwhile; a fresh one is given in band.
    await until(() => second.reading.control("resume").length > 1, "a fresh token");
    second.cut();
    expect(await second.resume({ token: stream.token })).toBe(410);
    expect(await second.resume()).toBe(200);
    await stream.untilReaders(3);
    source.send(EVENTS);
    source.end();
    await Promise.all([first, second, byKey].map((reader) => reader.untilEnd()));
    return { readers: [first, second, byKey], telemetry: { SseResumeIssued: { min: 5 } } };
  });
});

test("over SSE_CLIENT_MAX_AGE_SEC: readers are sent away with a time to come back, and miss nothing", async () => {
  const aging = await ChaosScene.begin({
    vars: { SSE_CLIENT_MAX_AGE_SEC: TTL_SEC, SSE_CLEANUP_INTERVAL_SEC: 1, SSE_RETRY_MS: RETRY_MS },
  });
  try {
    await perform(aging, {}, async (stream) => {
      const { source, first } = stream;
      const byKey = stream.eventSource({ by: "key" });
      source.send(EVENTS);
      await Promise.all([first, byKey].map((reader) => reader.untilSeq(EVENTS)));
      await jumpAhead(aging.service, JUMP_MS);
      expect(await first.untilEnd()).toBe("closed");
      expect(first.reading.control("end")).toEqual([]);
      expect(first.reading.retries.length).toBeGreaterThan(1);
      source.send(EVENTS);
      await first.resume();
      await Promise.all([first, byKey].map((reader) => reader.untilSeq(2 * EVENTS)));
      source.end();
      await Promise.all([first, byKey].map((reader) => reader.untilEnd()));
      return {
        readers: [first, byKey],
        telemetry: { SseReaderRemoved: [{ reason: "max_age" }, { reason: "max_age" }] },
      };
    });
  } finally {
    await aging.end();
  }
});

test("streams whose service is away for longer than their lives are deleted unasked", async () => {
  const outage = meeting(2, () => scene.redeploy({}, () => wait(JUMP_MS)));
  const finished = perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    source.end();
    await first.untilEnd();
    await scene.settle(stream);
    await outage();
    return { readers: [first], telemetry: ISSUED };
  });
  const running = perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    await scene.settle(stream);
    await outage();
    await first.untilEnd();
    return {
      readers: [{ reader: first, end: "none" }],
      ended: { state: "interrupted", reason: "object_restarted" },
      telemetry: ISSUED,
    };
  });
  await Promise.all([finished, running]);
});
