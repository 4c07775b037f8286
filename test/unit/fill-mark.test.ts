/**
 * How full a shard is, in steps that are not told again and again.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";

import { fillMarkOf } from "../../durable-objects/analytics/fill-mark.ts";

it("is the highest mark that is reached", () => {
  const rates = [0, 0.49, 0.5, 0.69, 0.7, 0.89, 0.9, 1, 1.2];
  expect(rates.map((rate) => fillMarkOf(rate, 0))).toEqual([0, 0, 0.5, 0.5, 0.7, 0.7, 0.9, 0.9, 0.9]);
});

it("is left only well below", () => {
  expect(fillMarkOf(0.88, 0.9)).toBe(0.9);
  expect(fillMarkOf(0.86, 0.9)).toBe(0.9);
  expect(fillMarkOf(0.84, 0.9)).toBe(0.7);
  expect(fillMarkOf(0.46, 0.5)).toBe(0.5);
  expect(fillMarkOf(0.44, 0.5)).toBe(0);
  expect(fillMarkOf(0, 0.9)).toBe(0);
});

it("is told twice at most, however a fill hovers around it", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.66, max: 0.74, noNaN: true }), { minLength: 1 }), (rates) => {
      let mark = 0;
      let told = 0;
      for (const rate of rates) {
        const next = fillMarkOf(rate, mark);
        if (next !== mark) told++;
        mark = next;
      }
      expect(told).toBeLessThanOrEqual(2);
    }),
  );
});

it("is always one of the marks, and never more than the fill has reached at some time", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (rates) => {
      let mark = 0;
      let highest = 0;
      for (const rate of rates) {
        highest = Math.max(highest, rate);
        mark = fillMarkOf(rate, mark);
        expect([0, 0.5, 0.7, 0.9]).toContain(mark);
        expect(mark).toBeLessThanOrEqual(highest);
      }
    }),
  );
});
