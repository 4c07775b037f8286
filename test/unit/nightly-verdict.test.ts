/**
 * What makes a nightly simulation fail: each by itself, with all else sound.
 */
import { describe, expect, it } from "vitest";

import { cellName } from "../simulation/coverage.ts";
import { MATRICES } from "../simulation/nightly/all-matrices.ts";
import { judge, type Matrix } from "../simulation/nightly/matrices.ts";
import { newSums, take, takeTrouble, type Sums } from "../simulation/nightly/sums.ts";
import type { Failure, Finding, Task } from "../simulation/nightly/tasks.ts";
import { exitCodeOf, verdictOf } from "../simulation/nightly/verdict.ts";

const MATRIX: Matrix = {
  half: "stream",
  title: "states",
  states: ["a", "b"],
  faults: ["x", "y"],
  impossible: (state, fault) => (state === "b" && fault === "y" ? "never" : undefined),
  askedFrom: (state, fault) => (state === "b" ? undefined : fault === "x" ? 10 : 20),
};
const SEEDS: Task = { kind: "seeds", half: "stream", first: 1, last: 10, steps: 5 };
const MUTANT: Task = { kind: "mutant", half: "stream", name: "m", seeds: 400 };
const CAUGHT: Finding = { seed: 3, invariant: "B1", message: "B1: lost", isClean: true };
const FAILURE: Failure = { half: "stream", seed: 7, steps: 2, message: "B1: lost", replay: "npm run sim -- --seed 7" };

interface Found {
  readonly cells?: readonly string[];
  readonly finding?: Finding | undefined;
  readonly failures?: readonly Failure[];
  readonly seeds?: number;
}

function sumsOf(found: Found): Sums {
  const { cells = ["a × x"], failures = [], seeds = 10 } = found;
  const sums = newSums();
  const strikes = cells.map((cell) => [cell, 1] as const);
  take(sums, { kind: "seeds", half: "stream", seeds, steps: 50, busyMs: 9, notes: [], strikes, failures });
  const finding = "finding" in found ? found.finding : CAUGHT;
  take(sums, { kind: "mutant", half: "stream", name: "m", seeds: 3, finding });
  return sums;
}

function complaintsOf(sums: Sums, tasks: readonly Task[] = [SEEDS, MUTANT]): readonly string[] {
  const verdict = verdictOf(sums, tasks, [MATRIX]);
  expect(exitCodeOf(verdict, false)).toBe(verdict.complaints.length === 0 ? 0 : 1);
  return verdict.complaints;
}

describe("a nightly simulation", () => {
  it("passes where all holds, and not where it was interrupted", () => {
    expect(complaintsOf(sumsOf({}))).toEqual([]);
    expect(exitCodeOf({ complaints: [] }, true)).toBe(130);
  });

  it.each<[string, Found, RegExp]>([
    ["a failing seed", { failures: [FAILURE] }, /stream seed 7 fails: npm run sim/],
    ["a cell that had to be reached", { cells: ["b × x"] }, /NEVER REACHED: a × x/],
    ["a cell said to be impossible", { cells: ["a × x", "b × y"] }, /IMPOSSIBLE: b × y/],
    ["a cell of no list", { cells: ["a × x", "c × x"] }, /IN NO LIST: c × x/],
    ["a fault that no seed finds", { finding: undefined }, /SURVIVED {2}stream: m \(3 seeds\)/],
    ["a fault found by a crash", { finding: { ...CAUGHT, invariant: undefined } }, /m: seed 3 fails by no broken/],
    ["a fault found in a failing seed", { finding: { ...CAUGHT, isClean: false } }, /m: seed 3 fails without it/],
    ["seeds that were not run", { seeds: 9 }, /NOT ALL WAS RUN: 9 of 10 seeds of the stream/],
  ])("fails for %s", (_, found, complaint) => {
    const complaints = complaintsOf(sumsOf(found));
    expect(complaints).toHaveLength(1);
    expect(complaints[0]).toMatch(complaint);
  });

  it("fails for a deliberate fault that was not tried", () => {
    const complaints = complaintsOf(sumsOf({}), [SEEDS, MUTANT, { ...MUTANT, name: "n" }]);
    expect(complaints).toEqual(["NOT ALL WAS RUN: 1 of 2 deliberate faults"]);
  });

  it.each(["hung", "died"] as const)("fails for a thread that %s, and keeps what it had found", (kind) => {
    const sums = sumsOf({});
    takeTrouble(sums, { kind, task: SEEDS, seed: 8, message: "out of memory" }, [FAILURE]);
    const complaints = complaintsOf(sums).join("\n");
    expect(complaints).toMatch(/stream seed 7 fails/);
    expect(complaints).toMatch(new RegExp(`A THREAD ${kind.toUpperCase()} at seed 8 of .*out of memory`));
  });

  it("asks for a cell from so many seeds on", () => {
    const strikes = new Map([[cellName("a", "x"), 1]]);
    expect(judge(MATRIX, strikes, 19)).toMatchObject({ missing: [], rare: ["a × y", "b × x"], reached: 1 });
    expect(judge(MATRIX, strikes, 20)).toMatchObject({ missing: ["a × y"], rare: ["b × x"], possible: 3 });
  });
});

describe("the matrices", () => {
  /** Cells that the default of 20,000 seeds need not reach. */
  const leftToChance = MATRICES.flatMap((matrix) =>
    matrix.states.flatMap((state) =>
      matrix.faults
        .filter(
          (fault) =>
            matrix.impossible(state, fault) === undefined && (matrix.askedFrom(state, fault) ?? 20_001) > 20_000,
        )
        .map((fault) => cellName(state, fault)),
    ),
  );

  it("leave few cells to chance, and none of a crash, a clock, storage or a call", () => {
    const possible = MATRICES.reduce((sum, matrix) => sum + judge(matrix, new Map(), 0).possible, 0);
    expect(leftToChance.length / possible).toBeLessThan(0.05);
    expect(leftToChance.filter((cell) => /^(?:shard|table|call):|× (?:crash|clock|refused)/.test(cell))).toEqual([]);
  });
});
