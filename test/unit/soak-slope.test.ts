/** Slopes with known answers, and what the soak makes of them. */
import { describe, expect, test } from "vitest";

import { slopeOf, studentT, type Point, type Slope } from "../../bench/soak/slope.ts";
import { findingsOf, growthOf, isWide, warmUpSecOf, type Facts, type MemorySample } from "../../bench/soak/verdict.ts";
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
    limitKbPerStream: 2,
    leftovers: { objects: 0, alarms: 0, objectBytes: 0, bucketBytes: 0, afterSec: 10 },
    incomplete: [],
    errors: 0,
    flushes: 5,
    flushFailures: 0,
  });

  test("warming up does not count", () => {
    expect(warmUpSecOf(SECONDS)).toBe(60);
    expect(warmUpSecOf(3600)).toBe(120);
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

  test("a wide interval is not growth, and is said to be wide", () => {
    const draw = noise(5);
    const facts = factsOf((second) => 300 + (second * 20 * 5) / 1024 + 80 * draw());
    expect(findingsOf(facts)).toEqual([]);
    expect(facts.growth !== undefined && isWide(facts.growth.workerd, 2)).toBe(true);
  });

  test("incomplete streams, errors, leftovers and a lake that does not flush are each a finding", () => {
    const flat = factsOf(() => 300);
    const rules = (changed: Partial<Facts>) => findingsOf({ ...flat, ...changed }).map(({ rule }) => rule);
    expect(rules({ incomplete: ["silent"] })).toEqual(["streams"]);
    expect(rules({ errors: 1 })).toEqual(["streams"]);
    expect(rules({ leftovers: { ...flat.leftovers, objects: 1 } })).toEqual(["storage"]);
    expect(rules({ leftovers: { ...flat.leftovers, alarms: 1 } })).toEqual(["storage"]);
    expect(rules({ flushes: 0 })).toEqual(["analytics"]);
    expect(rules({ flushFailures: 2 })).toEqual(["analytics"]);
    expect(rules({ growth: undefined })).toEqual(["memory"]);
  });
});
