/** Slopes with known answers, and what the soak makes of them. */
import { describe, expect, test } from "vitest";

import { readOptions } from "../../bench/soak/options.ts";
import { detectableSlope, slopeOf, studentT, type Point, type Slope } from "../../bench/soak/slope.ts";
import {
  detectableKbOf,
  findingsOf,
  findingsSoFar,
  growthOf,
  LEAST_STREAMS,
  memoryVerdictOf,
  warmUpSecOf,
  type Facts,
  type MemorySample,
} from "../../bench/soak/verdict.ts";
import { createRandom } from "../fixtures/process-random.ts";

/** Roughly normal, of variance 1. */
function noise(seed: number): () => number {
  const random = createRandom(seed);
  return () => Array.from({ length: 12 }, () => random.int(0, 1e6) / 1e6).reduce((sum, value) => sum + value, -6);
}

function slope(points: readonly Point[]): Slope {
  const found = slopeOf(points);
  if (found === undefined) throw new Error("there is a slope");
  return found;
}

function noisySlope(draw: () => number, perX: number): Slope {
  return slope(Array.from({ length: 60 }, (_, x): Point => [x, perX * x + 10 * draw()]));
}

function read(...args: string[]) {
  return readOptions(args, () => 1);
}

describe("slopeOf", () => {
  test("a line: its slope, without doubt", () => {
    const found = slope(Array.from({ length: 50 }, (_, x): Point => [x, 3 * x + 7]));
    expect(found.perX).toBeCloseTo(3, 9);
    expect(found.robustPerX).toBeCloseTo(3, 9);
    expect(found.high - found.low).toBeLessThan(1e-6);
  });

  test("a textbook case: slope 0.6, its interval with three degrees of freedom", () => {
    // x 1–5, y 2 4 5 4 5: slope 0.6, standard error 0.2828, residuals −0.8 0.6 1 −0.6 −0.2 (correlation below 0).
    const found = slope([
      [1, 2],
      [2, 4],
      [3, 5],
      [4, 4],
      [5, 5],
    ]);
    expect(found.perX).toBeCloseTo(0.6, 9);
    expect(found.correlation).toBe(0);
    expect(found.high - found.perX).toBeCloseTo(3.182 * 0.2828, 1);
    expect(found.robustPerX).toBeCloseTo(0.7083, 3);
  });

  test("the interval holds the true slope in about 95 of 100 cases", () => {
    let held = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const draw = noise(seed);
      const { low, high } = slope(Array.from({ length: 40 }, (_, x): Point => [x, 0.5 * x + 20 * draw()]));
      if (low <= 0.5 && high >= 0.5) held++;
    }
    expect(held).toBeGreaterThan(88);
    expect(held).toBeLessThan(100);
  });

  test("samples that follow each other count for less: a random walk is not called a slope", () => {
    let claims = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const draw = noise(seed);
      let y = 0;
      const { low, high, correlation } = slope(
        Array.from({ length: 120 }, (_, x): Point => [x, (y = 0.9 * y + draw())]),
      );
      expect(correlation).toBeGreaterThan(0.4);
      if (low > 0 || high < 0) claims++;
    }
    expect(claims).toBeLessThan(8);
  });

  test("one outlier moves least squares, and not Theil–Sen", () => {
    const points = Array.from({ length: 40 }, (_, x): Point => [x, x === 39 ? 1000 : 2 * x]);
    expect(slope(points).perX).toBeGreaterThan(5);
    expect(slope(points).robustPerX).toBeCloseTo(2, 9);
  });

  test("too few points, or all at one x, have no slope", () => {
    expect(
      slopeOf([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    ).toBeUndefined();
    expect(slopeOf(Array.from({ length: 9 }, (_, y): Point => [4, y]))).toBeUndefined();
  });

  test("Student's t, as tables have it", () => {
    for (const [degrees, t] of [
      [1, 12.706],
      [2, 4.303],
      [3, 3.182],
      [5, 2.571],
      [10, 2.228],
      [30, 2.042],
      [1e6, 1.96],
    ] as const) {
      expect(Math.abs(studentT(degrees) / t - 1)).toBeLessThan(0.01);
    }
  });
});

describe("the soak's verdict", () => {
  const SECONDS = 180;
  const samplesOf = (megabytesAt: (second: number) => number): MemorySample[] =>
    Array.from({ length: SECONDS }, (_, second) => ({
      second,
      streams: second * 20,
      workerdMb: megabytesAt(second),
      hostMb: 300 - second / 10,
    }));
  const factsOf = (megabytesAt: (second: number) => number): Facts => ({
    growth: growthOf(samplesOf(megabytesAt), SECONDS),
    limits: { kbPerStream: 2, ruledOutKbPerStream: 8 },
    leftovers: { objects: 0, alarms: 0, objectBytes: 0, bucketBytes: 0, afterSec: 10 },
    incomplete: [],
    errors: 0,
    streams: 3600,
    counts: {
      flushes: 5,
      flush_failures: 0,
      commits: 3,
      commit_failures: 0,
      dead_letters: 0,
      telemetry_dropped_events: 0,
      degraded: 0,
      streams_started: 3600,
    },
  });

  test("warming up does not count", () => {
    expect(warmUpSecOf(SECONDS)).toBe(60);
    expect(warmUpSecOf(3600)).toBe(300);
    const draw = noise(3);
    expect(findingsOf(factsOf((second) => (second < 60 ? second * 5 : 300 + draw())))).toEqual([]);
  });

  test("5 KB kept of each stream is growth, for each stream and by the hour", () => {
    const draw = noise(4);
    const facts = factsOf((second) => 300 + (second * 20 * 5) / 1024 + draw());
    expect(facts.growth?.workerd.kbPerStream.perX).toBeCloseTo(5, 0);
    expect(facts.growth?.workerd.mbPerHour.perX).toBeCloseTo((5 * 20 * 3600) / 1024, -2);
    // Also while the host gives back as much.
    expect(findingsOf(facts).map(({ rule }) => rule)).toEqual(["memory"]);
    expect(findingsOf(facts)[0]?.detail).toMatch(/^workerd grows by [45]/);
  });

  test("a wide interval is neither growth nor flat, whatever leak lies in it", () => {
    for (const leakKb of [0, 5]) {
      const draw = noise(5);
      const facts = factsOf((second) => 300 + (second * 20 * leakKb) / 1024 + 80 * draw());
      expect(findingsOf(facts)).toEqual([]);
      expect(memoryVerdictOf(facts)).toBe("undecided");
    }
  });

  test("flat is what rules growth out, by streams enough", () => {
    const draw = noise(6);
    const facts = factsOf(() => 300 + draw());
    expect(memoryVerdictOf(facts)).toBe("flat");
    expect(memoryVerdictOf({ ...facts, streams: LEAST_STREAMS - 1 })).toBe("undecided");
    expect(memoryVerdictOf({ ...facts, limits: { kbPerStream: 2, ruledOutKbPerStream: 0 } })).toBe("undecided");
    expect(memoryVerdictOf({ ...facts, growth: undefined })).toBe("not measured");
    expect(memoryVerdictOf(factsOf((second) => (second === 100 ? Number.NaN : 300 + draw())))).toBe("not measured");
  });

  test("what would have been found is found in about 8 of 10 runs", () => {
    const least = detectableSlope(noisySlope(noise(1000), 0), 2);
    let found = 0;
    for (let seed = 1; seed <= 100; seed++) if (noisySlope(noise(seed), least).low > 2) found++;
    expect(found).toBeGreaterThan(60);
    expect(found).toBeLessThan(96);
    const { growth, limits } = factsOf(() => 300);
    expect(growth === undefined ? undefined : detectableKbOf(growth.workerd, limits)).toBeCloseTo(2, 6);
  });

  test("a service that did not do its work, or not all of it, is a finding; so is a count that it does not tell", () => {
    const flat = factsOf(() => 300);
    const rules = (counts: Facts["counts"]) =>
      findingsOf({ ...flat, counts: { ...flat.counts, ...counts } }).map(({ rule }) => rule);
    expect(rules({})).toEqual([]);
    expect(rules({ commits: 0 })).toEqual(["analytics"]);
    for (const name of ["commit_failures", "dead_letters", "telemetry_dropped_events"]) {
      expect(rules({ [name]: 1 })).toEqual(["analytics"]);
    }
    expect(rules({ degraded: 1 })).toEqual(["service"]);
    expect(rules({ streams_started: 3599 })).toEqual(["service"]);
    for (const name of Object.keys(flat.counts)) {
      expect(rules({ [name]: undefined })).toHaveLength(1);
      expect(rules({ [name]: Number.NaN })).toHaveLength(1);
    }
  });

  test("broken off, what was found stands, and what is only known at the end is not held against it", () => {
    const draw = noise(4);
    const facts = { ...factsOf((second) => 300 + (second * 20 * 9) / 1024 + draw()), counts: {} };
    const leftovers = { ...facts.leftovers, objects: 7 };
    expect(findingsSoFar({ ...facts, leftovers }).map(({ rule }) => rule)).toEqual(["memory"]);
  });

  test("the command line: bounds that a run can keep", () => {
    expect(read()).toMatchObject({ minutes: 10, limits: { kbPerStream: 64, ruledOutKbPerStream: 128 }, plantedKb: 0 });
    for (const minutes of ["0.1", "10080", "NaN"]) expect(() => read("--minutes", minutes)).toThrow("--minutes");
    expect(() => read("--rule-out-kb", "-1")).toThrow("--rule-out-kb");
  });

  test("incomplete streams, errors, leftovers and a lake that does not flush are each a finding", () => {
    const flat = factsOf(() => 300);
    const rules = (changed: Partial<Facts>) => findingsOf({ ...flat, ...changed }).map(({ rule }) => rule);
    expect(rules({ incomplete: ["silent"] })).toEqual(["streams"]);
    expect(rules({ errors: 1 })).toEqual(["streams"]);
    expect(rules({ leftovers: { ...flat.leftovers, objects: 1 } })).toEqual(["storage"]);
    expect(rules({ leftovers: { ...flat.leftovers, alarms: 1 } })).toEqual(["storage"]);
    expect(rules({ counts: { ...flat.counts, flushes: 0 } })).toEqual(["analytics"]);
    expect(rules({ counts: { ...flat.counts, flush_failures: 2 } })).toEqual(["analytics"]);
    expect(rules({ growth: undefined })).toEqual(["memory"]);
  });
});
