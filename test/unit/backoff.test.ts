/**
 * How long is waited before the next try.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";

import { backoffMs } from "../../durable-objects/backoff.ts";

const SETTINGS = { firstMs: 1000, maxMs: 300_000 };

it("doubles from attempt to attempt up to its most", () => {
  const most = [1, 2, 3, 8, 9, 10, 1000].map((attempts) => backoffMs(attempts, 1, SETTINGS));
  expect(most).toEqual([1000, 2000, 4000, 128_000, 256_000, 300_000, 300_000]);
});

it("is always from half of that to all of it, in whole milliseconds, and never nothing", () => {
  const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fraction, (attempts, random) => {
      const waitMs = backoffMs(attempts, random, SETTINGS);
      const most = backoffMs(attempts, 1, SETTINGS);
      expect(Number.isInteger(waitMs)).toBe(true);
      expect(waitMs).toBeGreaterThanOrEqual(most / 2);
      expect(waitMs).toBeLessThanOrEqual(most);
    }),
  );
});

it("differs where chance does, so that many do not come back in step", () => {
  const waits = Array.from({ length: 100 }, (_, at) => backoffMs(5, at / 100, SETTINGS));
  expect(new Set(waits).size).toBe(100);
});
