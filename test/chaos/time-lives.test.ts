/**
 * Times to live that run out by themselves: of streams that nobody feeds, of finished ones, and of readers.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { until } from "../fixtures/process-reader.ts";
import { ChaosScene, perform } from "./scene.ts";

const STATE_TTL_SEC = 2;
const EVENTS = 40;

let scene: ChaosScene;
/** One whose readers soon are too old. */
let aging: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: { SSE_STATE_TTL_SEC: STATE_TTL_SEC } });
  aging = await ChaosScene.begin({ vars: { SSE_CLIENT_MAX_AGE_SEC: 1, SSE_CLEANUP_INTERVAL_SEC: 1 } });
});
afterAll(() => Promise.all([scene.end(), aging.end()]));

test.concurrent("nobody feeds it and nobody reads it: it ends as abandoned, and late readers are told", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    first.cut();
    await stream.untilReaders(0);
    await until(() => source.isClosed, "the end of the source's call");
    const late = stream.reader();
    await late.resume();
    await late.untilEnd();
    const end = { status: "expired", reason: "abandoned" };
    return {
      readers: [
        { reader: first, end: "none" },
        { reader: late, end },
      ],
      ended: { state: "expired", reason: "abandoned" },
    };
  });
});

test.concurrent("a source that is heard of keeps its stream, if only by comments and without readers", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    first.cut();
    for (let waitedMs = 0; waitedMs < 2.5 * STATE_TTL_SEC * 1000; waitedMs += 250) {
      source.sendRaw(": still here\n\n");
      await wait(250);
    }
    source.send(EVENTS);
    source.end();
    await first.resume();
    await first.untilEnd();
    return { readers: [first] };
  });
});

test.concurrent("readers who are too old are sent away again and again, and have everything in the end", async () => {
  await perform(aging, {}, async (stream) => {
    const { source, first } = stream;
    const byKey = stream.eventSource({ by: "key" });
    const comings = () =>
      [first, byKey].map(({ connections }) => connections.filter(({ status }) => status === 200).length);
    // Until each was sent away twice, however busy the machine is.
    const dripping = (async () => {
      while (Math.min(...comings()) < 3) await source.drip(1, 100);
      source.end();
    })();
    while (first.reading.control("end").length === 0) {
      const outcome = await first.untilEnd();
      expect(outcome).toBe("closed");
      if (first.reading.control("end").length > 0 || (await first.resume()) === 204) break;
    }
    await Promise.all([dripping, byKey.untilEnd()]);
    return {
      readers: [first, byKey],
      telemetry: { SseReaderRemoved: removals([first, byKey]).map(() => ({ reason: "max_age" })) },
    };
  });
});

/** Connections that closed without an end. */
function removals(
  readers: readonly {
    readonly connections: readonly {
      readonly status: number;
      readonly events: readonly { readonly event: string }[];
    }[];
  }[],
) {
  const served = readers.flatMap(({ connections }) => connections).filter(({ status }) => status === 200);
  return served.filter(({ events }) => events.every(({ event }) => event !== "end"));
}

test.concurrent("a finished stream is whole until SSE_SNAPSHOT_TTL_SEC is over, and then gone", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    source.end();
    await first.untilEnd();
    const served = [];
    let reader = stream.reader();
    while ((await reader.resume({ after: "0-0" })) === 200) {
      await reader.untilEnd();
      served.push(reader);
      await wait(300);
      reader = stream.reader();
    }
    expect(reader.connections[0]?.code).toBe("stream_expired");
    expect(served.length).toBeGreaterThan(0);
    return { readers: [first, ...served, { reader, throughSeq: 0, end: "none" }] };
  });
});
