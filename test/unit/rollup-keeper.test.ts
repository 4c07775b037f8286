/**
 * A shard's sums over crashes: whatever happens between, they are a plain count of what was taken (R1–R3).
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { SAVE_AFTER } from "../../durable-objects/analytics/rollup-keeper.ts";
import { Rollup } from "../../durable-objects/analytics/rollup.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { ROLLUP_LIMITS } from "../../protocol/rollup.ts";
import { createClock, eventOf, eventsOf, makeShard, START_MS, type ShardParts } from "../fixtures/lake-parts.ts";

const IDENTITY = { shard: "0-3fa9c1d2", index: 0 };

/** Telemetry of one of a few streams: it begins, goes on, ends, and begins again under the same id. */
function ownEvent(kind: number, stream: number): LakeEvent {
  const about = { source: "spillway/streams/demo", requestId: `r${stream}` };
  const route = "demo";
  switch (kind) {
    case 0:
      return eventOf({ ...about, type: "SseStreamStarted", data: JSON.stringify({ route }) });
    case 1:
      return eventOf({
        ...about,
        type: "SseResumeIssued",
        data: JSON.stringify({ route, readers: 1, events: 7 * stream }),
      });
    case 2:
      return eventOf({
        ...about,
        type: "SseResumeLiveStart",
        data: JSON.stringify({ route, catch_up_ms: 3 * stream }),
      });
    case 3:
      return eventOf({ source: "spillway/lake", type: "BufferFlushFailed", data: '{"reason":"the bucket failed"}' });
    default:
      return eventOf({
        ...about,
        type: "SseStreamEnded",
        data: JSON.stringify({ route, state: "completed", events: 10 * stream, duration_ms: 5 }),
      });
  }
}

const event = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 4 })).map(
    ([kind, stream]) =>
      () =>
        ownEvent(kind, stream),
  ),
  fc.constant(() => eventOf()),
);
const events = fc.array(event, { minLength: 1, maxLength: 6 });

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("append" as const), events }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("append own" as const), events }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("replay" as const), events }) },
  { weight: 2, arbitrary: fc.constant({ do: "seal" as const, events: [] }) },
  { weight: 3, arbitrary: fc.constant({ do: "finish" as const, events: [] }) },
  { weight: 1, arbitrary: fc.constant({ do: "drop" as const, events: [] }) },
  { weight: 1, arbitrary: fc.constant({ do: "a minute passes" as const, events: [] }) },
  { weight: 2, arbitrary: fc.constant({ do: "restart" as const, events: [] }) },
);
const chance = fc.option(fc.nat(8), { nil: undefined, freq: 3 });
const steps = fc.array(fc.record({ step, crashAfter: chance, refusesAfter: chance }), { minLength: 1, maxLength: 25 });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** @returns events that are to count, should the turn be kept */
function perform({ buffer }: ShardParts, { do: what, events: make }: Step, nowMs: number): readonly LakeEvent[] {
  const made = make.map((one) => one());
  switch (what) {
    case "append":
      return buffer.append({ events: made, isRiding: false }, nowMs).ok ? made : [];
    case "append own":
      buffer.appendOwn(made, nowMs);
      return made;
    case "replay":
      buffer.append({ events: made, isRiding: false, isReplayed: true }, nowMs);
      return [];
    case "seal":
      buffer.nextBatch(buffer.lastSeq);
      return [];
    case "finish": {
      const batch = buffer.nextBatch(buffer.lastSeq);
      if (batch !== undefined) buffer.finish(batch, [], nowMs);
      return [];
    }
    case "drop":
      buffer.sealUpto(buffer.lastSeq);
      buffer.drop(1, buffer.lastSeq);
      return [];
    case "a minute passes":
    case "restart":
      return [];
  }
}

function sumOf(counted: readonly LakeEvent[]) {
  const rollup = Rollup.read(undefined);
  for (const one of counted) if (one.source.startsWith("spillway/")) rollup.note(one);
  return rollup.report(IDENTITY, START_MS);
}

const reportOf = ({ buffer }: ShardParts) => buffer.sums.rollup.report(IDENTITY, START_MS);

describe("the sums", () => {
  it("are a plain count of own events taken, whatever is appended, sealed, delivered, dropped, refused or lost (R1, R2)", () => {
    fc.assert(
      fc.property(steps, (run) => {
        const clock = createClock();
        let parts = makeShard({ clock });
        const counted: LakeEvent[] = [];
        for (const { step: one, crashAfter, refusesAfter } of run) {
          if (one.do === "a minute passes") clock.nowMs += SAVE_AFTER.ms;
          const { storage } = parts;
          let left = refusesAfter ?? Infinity;
          storage.beginTurn();
          storage.crashAfterStatements = crashAfter;
          // Of a replay, a full disk in the same turn may make too much of it after a restart.
          storage.shouldFail = (kind) => kind === "write" && one.do !== "replay" && left-- <= 0;
          let kept: readonly LakeEvent[] = [];
          try {
            kept = perform(parts, one, clock.nowMs);
          } catch {
            // Refused or crashed: nothing was taken.
          }
          storage.shouldFail = () => false;
          if (storage.isDead) storage.loseTurn();
          else storage.commitTurn();
          storage.crashAfterStatements = undefined;
          if (!storage.isDead) counted.push(...kept);
          if (storage.isDead || one.do === "restart") parts = parts.restart();
          expect(reportOf(parts)).toEqual(sumOf(counted));
        }
        expect(reportOf(parts.restart())).toEqual(sumOf(counted));
      }),
      { numRuns: 300, seed: 20261121 },
    );
  });

  it("are saved after so many own events, whatever else happens, and what is read again stays bounded (R3)", () => {
    const parts = makeShard();
    for (let at = 0; at < 12; at++) parts.append(Array.from({ length: 1000 }, () => ownEvent(2, at)));
    const saved = parts.store.rollups.load();
    expect(saved?.uptoSeq).toBeGreaterThanOrEqual(12_000 - SAVE_AFTER.ownEvents - 1000);
    expect(reportOf(parts.restart())).toEqual(reportOf(parts));
    expect(reportOf(parts).counters.telemetry_events).toEqual({ "": 12_000 });
  });

  it("are saved after a minute with the next append, and a clock set back does not put that off", () => {
    const clock = createClock();
    const parts = makeShard({ clock });
    parts.append([ownEvent(0, 1)]);
    clock.nowMs += SAVE_AFTER.ms - 1;
    parts.append([ownEvent(1, 1)]);
    expect(parts.store.rollups.load()).toBeUndefined();
    clock.nowMs -= 2 * SAVE_AFTER.ms;
    parts.append([ownEvent(2, 1)]);
    expect(parts.store.rollups.load()).toMatchObject({ uptoSeq: 2 });
  });

  it("cost a shard that holds none of our own events next to nothing: a save for each 20,000", () => {
    const parts = makeShard();
    for (let at = 0; at < 3; at++) parts.append(eventsOf(SAVE_AFTER.events / 2));
    expect(parts.store.rollups.load()).toMatchObject({ uptoSeq: SAVE_AFTER.events });
    const batch = parts.buffer.nextBatch(parts.buffer.lastSeq);
    if (batch !== undefined) parts.buffer.finish(batch, [], START_MS);
    expect(parts.store.rollups.load()).toMatchObject({ uptoSeq: SAVE_AFTER.events });
  });

  it("begin with what is still buffered in a shard of a version that knew no sums", () => {
    const parts = makeShard();
    parts.append([ownEvent(0, 1), eventOf(), ownEvent(4, 1)]);
    parts.storage.query("DROP TABLE IF EXISTS rollup");
    expect(reportOf(parts.restart()).counters).toMatchObject({
      streams_started: { demo: 1 },
      source_events: { "": 10 },
    });
  });

  it("of another version are left alone, and begin anew", () => {
    const parts = makeShard();
    parts.append([ownEvent(0, 1)]);
    parts.store.rollups.put({ uptoSeq: 1, state: '{"version":2,"series":7}' });
    expect(reportOf(parts.restart()).counters).toEqual({});
  });

  it("do without a row that the disk has damaged", () => {
    const parts = makeShard();
    parts.append([ownEvent(0, 1)]);
    parts.append([ownEvent(0, 2)]);
    parts.storage.query("UPDATE append SET payload = x'00' WHERE first_seq = 1");
    expect(reportOf(parts.restart()).counters).toMatchObject({ streams_started: { demo: 1 } });
  });

  it("count dead letters that go back into the buffer no second time", () => {
    const parts = makeShard();
    const own = ownEvent(0, 1);
    parts.append([own]);
    const batch = parts.buffer.nextBatch(1);
    const letter = { event: JSON.stringify(own), reason: "time", attempts: 1, atMs: START_MS };
    if (batch !== undefined) parts.buffer.finish(batch, [letter], START_MS);
    expect(parts.buffer.takeBack([{ letterId: 1, event: own, seq: 1 }], START_MS)).toBe(true);
    expect(reportOf(parts).counters.telemetry_events).toEqual({ "": 1 });
    expect(reportOf(parts.restart()).counters.telemetry_events).toEqual({ "": 1 });
  });
});

it("timelines come back after a restart as far as their events are still to be read again", () => {
  const parts = makeShard();
  parts.append([ownEvent(0, 1), ownEvent(1, 1)]);
  expect(parts.restart().buffer.sums.rollup.timeline("r1")).toHaveLength(2);
  expect(ROLLUP_LIMITS.timelineEntries).toBeGreaterThan(2);
});
