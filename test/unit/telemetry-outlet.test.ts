/**
 * Telemetry reaches the lake in batches, and whatever happens there never reaches what it tells about.
 */
import { describe, expect, it } from "vitest";

import type { LakeEvent } from "../../protocol/lake-event.ts";
import { fanOut, QUEUE_MAX_EVENTS, TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { START_MS } from "../fixtures/lake-parts.ts";

const TIME = new Date(START_MS).toISOString();
const record = (position: string): TelemetryRecord => ({
  event: "SseResumeIssued",
  position,
  readers: 1,
  events: 0,
  time: TIME,
});

type Answer = boolean | Error | Promise<boolean>;

function makeOutlet(answers: Answer[] = []) {
  const sent: (readonly LakeEvent[])[] = [];
  const waits: number[] = [];
  const works: Promise<unknown>[] = [];
  const dropped: TelemetryRecord[] = [];
  const onSleep: (() => void)[] = [];
  let ids = 0;
  const outlet = new TelemetryOutlet({
    send: async (events) => {
      sent.push(events);
      const answer = answers.shift() ?? true;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    waitUntil: (work) => works.push(work),
    sleep: async (ms) => {
      waits.push(ms);
      onSleep.shift()?.();
    },
    clock: () => START_MS,
    randomId: () => `id-${++ids}`,
    onDropped: (told) => dropped.push(told),
  });
  const done = async () => {
    for (let at = 0; at < works.length; at++) await works[at];
  };
  return { outlet, sent, waits, works, dropped, onSleep, done };
}

const positionsOf = (events: readonly LakeEvent[]) =>
  events.map(({ data }) => (JSON.parse(data ?? "{}") as { position?: string }).position);

describe("the outlet", () => {
  it("gathers for a second, then hands over in order, and keeps the process alive meanwhile", async () => {
    const { outlet, sent, waits, works, done } = makeOutlet();
    for (const position of ["1-1", "1-2", "1-3"]) outlet.sink(record(position));
    expect(sent).toEqual([]);
    expect(works).toHaveLength(1);
    await done();
    expect(sent.map(positionsOf)).toEqual([["1-1", "1-2", "1-3"]]);
    expect(waits).toEqual([1000]);
    outlet.sink(record("1-4"));
    await done();
    expect(works).toHaveLength(2);
    expect(sent.map(positionsOf)).toEqual([["1-1", "1-2", "1-3"], ["1-4"]]);
  });

  it("hands over at most 500 events at a time, one hand-off after the other", async () => {
    const { outlet, sent, works, done } = makeOutlet();
    for (let at = 0; at < QUEUE_MAX_EVENTS; at++) outlet.sink(record(`1-${at}`));
    await done();
    expect(sent.map((events) => events.length)).toEqual([500, 500]);
    expect(works).toHaveLength(1);
  });

  it("takes what comes while a hand-off is under way", async () => {
    const gate = Promise.withResolvers<boolean>();
    const { outlet, sent, works, done } = makeOutlet([gate.promise]);
    outlet.sink(record("1-1"));
    await new Promise((resolve) => setImmediate(resolve));
    outlet.sink(record("1-2"));
    gate.resolve(true);
    await done();
    expect(sent.map(positionsOf)).toEqual([["1-1"], ["1-2"]]);
    expect(works).toHaveLength(1);
  });

  it("tries again with the same ids, waiting longer each time, whether refused or out of reach", async () => {
    const { outlet, sent, waits, dropped, done } = makeOutlet([false, new Error("out of reach"), false]);
    outlet.sink(record("1-1"));
    await done();
    expect(sent.map((events) => events.map(({ id }) => id))).toEqual([["id-1"], ["id-1"], ["id-1"], ["id-1"]]);
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
    expect(dropped).toEqual([]);
  });

  it("tells what it gives up after four attempts, goes on with the next, and then tells the lake too", async () => {
    const failing = Array.from({ length: 4 }, () => new Error("out of reach"));
    const { outlet, sent, dropped, done } = makeOutlet(failing);
    outlet.sink(record("1-1"));
    outlet.sink(record("1-2"));
    await done();
    expect(sent).toHaveLength(4);
    expect(dropped).toEqual([{ event: "TelemetryDropped", events: 2, reason: "not_delivered", time: TIME }]);
    outlet.sink(record("1-3"));
    await done();
    expect(positionsOf(sent[4] ?? [])).toEqual(["1-3"]);
    expect(sent.slice(5)).toMatchObject([
      [{ type: "TelemetryDropped", data: '{"events":2,"reason":"not_delivered"}' }],
    ]);
    expect(dropped).toHaveLength(1);
  });

  it("holds no more than its bound, counts what it drops, and tells it once there is room, in the table too", async () => {
    const { outlet, sent, dropped, done } = makeOutlet();
    for (let at = 0; at < QUEUE_MAX_EVENTS + 7; at++) outlet.sink(record(`1-${at}`));
    await done();
    const told = { event: "TelemetryDropped", events: 7, reason: "queue_full", time: TIME };
    expect(dropped).toEqual([told]);
    expect(sent.flat()).toHaveLength(QUEUE_MAX_EVENTS + 1);
    expect(sent.flat().at(-1)).toMatchObject({ type: "TelemetryDropped", source: "spillway/lake", tenant: "spillway" });
  });

  it("never throws at whoever tells it something, and never rejects, whatever the lake does", async () => {
    const { outlet, works, done } = makeOutlet(Array.from({ length: 50 }, () => new Error("always")));
    for (let at = 0; at < 3000; at++) expect(() => outlet.sink(record(`1-${at}`))).not.toThrow();
    await expect(done()).resolves.toBeUndefined();
    await expect(Promise.all(works)).resolves.toBeDefined();
  });

  it("passes one record on to several sinks in turn", () => {
    const seen: string[] = [];
    fanOut(
      ({ event }) => seen.push(`first ${event}`),
      ({ event }) => seen.push(`second ${event}`),
    )(record("1-1"));
    expect(seen).toEqual(["first SseResumeIssued", "second SseResumeIssued"]);
  });
});
