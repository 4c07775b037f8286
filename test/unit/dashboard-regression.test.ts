/**
 * What is marked as a regression, and what is not: a real step is, noise is not, and nothing that became better.
 */
import { describe, expect, it } from "vitest";

import { judge, LEAST_RUNS, medianOf, WINDOW_RUNS } from "../../bench/dashboard/regression.ts";
import { seededRandom } from "../../scripts/scaling/random.ts";

const LATENCY = { better: "less", floor: 5, share: 0.3 } as const;
const RATE = { better: "more", floor: 10, share: 0.1 } as const;
const STEADY = [20, 22, 19, 21, 20, 23, 20, 21, 22, 20];

/** Roughly normal: the sum of twelve evenly spread numbers. */
function noise(random: () => number, mean: number, deviation: number): number {
  const twelve = Array.from({ length: 12 }, random).reduce((sum, value) => sum + value, -6);
  return mean + deviation * twelve;
}

describe("one value after others", () => {
  it("a step is a regression, the wrong way round it is better, in between it is steady", () => {
    expect(judge(STEADY, 42, LATENCY)).toMatchObject({ verdict: "regression", usual: 20.5 });
    expect(judge(STEADY, 8, LATENCY).verdict).toBe("better");
    expect(judge(STEADY, 25, LATENCY).verdict).toBe("steady");
    expect(judge([1000, 990, 1010, 1005], 700, RATE).verdict).toBe("regression");
    expect(judge([1000, 990, 1010, 1005], 1400, RATE).verdict).toBe("better");
  });

  it("all three bounds have to be passed: share, amount, spread", () => {
    // A third more, but 3 ms.
    expect(judge([9, 9, 9, 9], 12, LATENCY).verdict).toBe("steady");
    // 6 ms more, but a twentieth.
    expect(judge([120, 120, 120, 120], 126, LATENCY).verdict).toBe("steady");
    // Half as much again, where runs differ by as much anyway.
    expect(judge([100, 160, 70, 140, 90, 150], 175, LATENCY).verdict).toBe("steady");
    expect(judge([100, 101, 99, 102, 100, 98], 175, LATENCY).verdict).toBe("regression");
  });

  it("is exactly at the bound none yet", () => {
    const { limit } = judge([100, 100, 100, 100], 100, LATENCY);
    expect(limit).toBe(130);
    expect(judge([100, 100, 100, 100], 130, LATENCY).verdict).toBe("steady");
    expect(judge([100, 100, 100, 100], 130.1, LATENCY).verdict).toBe("regression");
  });

  it("says nothing before there are enough runs", () => {
    for (let runs = 0; runs < LEAST_RUNS; runs++) {
      expect(judge(STEADY.slice(0, runs), 1000, LATENCY).verdict).toBe("too few");
    }
    expect(judge(STEADY.slice(0, LEAST_RUNS), 1000, LATENCY).verdict).toBe("regression");
  });

  it("a few odd runs before it neither hide a step nor make one", () => {
    expect(judge([20, 22, 400, 21, 20, 1, 20, 21], 42, LATENCY).verdict).toBe("regression");
    expect(judge([20, 22, 400, 21, 20, 1, 20, 21], 22, LATENCY).verdict).toBe("steady");
  });

  it("what has always been nought is worse as soon as it passes the amount", () => {
    const none = { better: "less", floor: 0.1, share: 0 } as const;
    expect(judge([0, 0, 0, 0, 0], 0.1, none).verdict).toBe("steady");
    expect(judge([0, 0, 0, 0, 0], 0.2, none).verdict).toBe("regression");
  });
});

describe("a row of runs", () => {
  it.each([
    [0.05, 0],
    [0.1, 2 / 1000],
  ])(
    "noise of %d is marked in no more than %d of 5,000 runs, and a step to twice as much on the day",
    (noisy, most) => {
      const random = seededRandom(11);
      const values = Array.from({ length: 5000 }, () => noise(random, 40, 40 * noisy));
      const before = (at: number) => values.slice(Math.max(0, at - WINDOW_RUNS), at);
      const marked = values.filter((value, at) => judge(before(at), value, LATENCY).verdict === "regression");
      expect(marked.length / values.length).toBeLessThanOrEqual(most);
      const steps = Array.from({ length: 200 }, (_, at) =>
        judge(before(at + WINDOW_RUNS), noise(random, 80, 4), LATENCY),
      );
      expect(steps.filter(({ verdict }) => verdict !== "regression").length / steps.length).toBeLessThanOrEqual(0.02);
    },
  );

  it("a lasting step is marked until it is the median itself, and coming back is better and no regression", () => {
    const values = [...STEADY, ...Array.from({ length: 10 }, () => 42), 20, 21];
    const verdicts = values.map((value, at) => judge(values.slice(0, at), value, LATENCY).verdict);
    expect(new Set(verdicts.slice(10, 14))).toEqual(new Set(["regression"]));
    expect(new Set(verdicts.slice(16, 20))).toEqual(new Set(["steady"]));
    expect(verdicts.slice(20)).toEqual(["better", "better"]);
  });

  it("looks back on so many runs and no further", () => {
    const old = Array.from({ length: 50 }, () => 500);
    expect(judge([...old, ...STEADY], 42, LATENCY).verdict).toBe("regression");
    expect(STEADY).toHaveLength(WINDOW_RUNS);
  });
});

it("the median of an even number is between both in the middle", () => {
  expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  expect(medianOf([7])).toBe(7);
  expect(medianOf([])).toBeNaN();
});
