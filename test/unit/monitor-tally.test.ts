/**
 * Sums over shards and their lives (T1), and the minutes that charts and rates are made of.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { Minutes, MINUTE_MS, MINUTES_KEPT, quantile, type Growth } from "../../durable-objects/monitor/minutes.ts";
import { countOf, NO_SUMS, Tallies, type Sums } from "../../durable-objects/monitor/tally.ts";
import { SlidingWindow } from "../../durable-objects/monitor/window.ts";
import { TakenCount } from "../../durable-objects/monitor/taken-count.ts";
import { START_MS } from "../fixtures/lake-parts.ts";
import { QUIET_STATUS } from "../fixtures/watched-service.ts";

/** What one look has found: one shard more or none, and gauges. */
function found(shards: Growth["shards"], gauges: Partial<Growth["gauges"]> = {}): Growth {
  return { shards, eventsTaken: 0, gauges: { ...GAUGES, ...gauges } };
}

const GAUGES = { activeStreams: 0, activeReaders: 0, bufferedEvents: 0, fillRate: 0 };

function said(shard: string, flushes: number) {
  return { shard, counters: { flushes: { "": flushes } }, histograms: {} };
}

function grown(flushes: number): Sums {
  return { counters: { flushes: { "": flushes } }, histograms: {} };
}

test("what a shard has said more is what has grown; the same again is nothing", () => {
  const tallies = new Tallies();
  expect(tallies.take(0, said("0-a", 5))?.grown).toEqual(grown(5));
  expect(tallies.take(0, said("0-a", 5))).toBeUndefined();
  expect(tallies.take(0, said("0-a", 7))?.grown).toEqual(grown(2));
  expect(countOf(tallies.total(), "flushes")).toBe(7);
});

test("T1: another life adds to what the old one has said, and is stored as such", () => {
  const tallies = new Tallies();
  tallies.take(0, said("0-a", 5));
  const change = tallies.take(0, said("0-b", 2));
  expect(change).toMatchObject({ grown: grown(2), tally: said("0-b", 2), ended: grown(5) });
  expect(countOf(tallies.total(), "flushes")).toBe(7);
  const restored = new Tallies(change?.ended ?? NO_SUMS, [[0, said("0-b", 2)]]);
  restored.take(0, said("0-b", 3));
  expect(countOf(restored.total(), "flushes")).toBe(8);
});

test("T1: no course of shards, lives and lost memories lets a sum fall", () => {
  const step = fc.record({ index: fc.nat(2), life: fc.nat(2), flushes: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const tallies = new Tallies();
      let total = 0;
      for (const { index, life, flushes } of steps) {
        const change = tallies.take(index, said(`${index}-${life}`, flushes));
        const next = countOf(tallies.total(), "flushes");
        expect(next - total).toBe(countOf(change?.grown ?? NO_SUMS, "flushes"));
        total = next;
      }
    }),
    { seed: 5 },
  );
});

function histogram(counts: number[], sum: number) {
  return { shard: "0-a", counters: {}, histograms: { resume_latency_ms: { counts, sum } } };
}

test("histograms grow by bucket", () => {
  const tallies = new Tallies();
  tallies.take(0, histogram([1, 2, 0], 30));
  expect(tallies.take(0, histogram([1, 4, 1], 90))?.grown.histograms).toEqual({
    resume_latency_ms: { counts: [0, 2, 1], sum: 60 },
  });
  tallies.take(1, histogram([1], 5));
  expect(tallies.total().histograms.resume_latency_ms).toEqual({ counts: [2, 4, 1], sum: 95 });
});

test("a minute adds up its looks", () => {
  const minutes = new Minutes();
  minutes.add(START_MS, found([{ index: 0, grown: grown(1) }]));
  minutes.add(START_MS + 30_000, found([{ index: 1, grown: grown(2) }], { bufferedEvents: 7 }));
  minutes.add(START_MS + 5 * MINUTE_MS, found([{ index: 0, grown: grown(4) }]));
  expect(minutes.list().map(({ counts }) => counts.flushes)).toEqual([3, 4]);
  expect(minutes.list()[0]?.gauges.bufferedEvents).toBe(7);
});

test("a window holds what was found in it, to the look; of the time before a restart whole minutes", () => {
  const window = new SlidingWindow(10_000, [
    { endsAtMs: START_MS, counts: { flushes: 8 }, flushFailures: { 1: 2 } },
    { endsAtMs: START_MS - 10_000, counts: { flushes: 16 }, flushFailures: {} },
  ]);
  const look = (afterMs: number, flushes?: number) => {
    const shards = flushes === undefined ? [] : [{ index: 0, grown: grown(flushes) }];
    return window.add(START_MS + afterMs, shards).counts.flushes ?? 0;
  };
  expect([look(0, 1), look(4000), look(5000, 2), look(9999), look(10_000)]).toEqual([9, 9, 11, 11, 2]);
  expect([look(14_999), look(15_000)]).toEqual([2, 0]);
});

test("three hours are kept", () => {
  const minutes = new Minutes();
  for (let at = 0; at < 200; at++) minutes.add(START_MS + at * MINUTE_MS, found([]));
  expect(minutes.list()).toHaveLength(MINUTES_KEPT);
  expect(minutes.list()[0]?.atMs).toBe(START_MS + 20 * MINUTE_MS);
});

function answer(events: number, isReachable = true) {
  return { index: 0, digest: undefined, status: { ...QUIET_STATUS, events }, isReachable };
}

function flushed(events: number, isFirst = false) {
  const grownSums = { counters: { flushed_events: { "": events } }, histograms: {} };
  return { grown: grownSums, tally: said("0-a", 0), isFirst, ended: undefined };
}

test("events taken are what left the buffers and what they hold more, whoever cannot be asked meanwhile", () => {
  const count = new TakenCount();
  expect(count.take(answer(100), flushed(5, true))).toBe(105);
  expect(count.take(answer(0, false), undefined)).toBe(0);
  expect(count.take(answer(130), undefined)).toBe(30);
  expect(count.take(answer(40), flushed(100))).toBe(10);
  // A restart has forgotten what was in the buffer, and does not count it again.
  expect(new TakenCount().take(answer(40), undefined)).toBe(0);
});

test("a quantile lies within its bucket, as Prometheus estimates it", () => {
  expect(quantile([], 0.95)).toBeNull();
  expect(quantile([0, 0, 0], 0.95)).toBeNull();
  expect(quantile([100], 0.95, [10, 20])).toBe(9.5);
  expect(quantile([50, 50], 0.75, [10, 20])).toBe(15);
  // Above the last bound nobody knows how far.
  expect(quantile([0, 0, 3], 0.95, [10, 20])).toBe(20);
});
