/**
 * Whether the simulation would see a fault: each of a list of deliberate ones must be found.
 */
import { describe, expect, it } from "vitest";

import { someOf } from "../fixtures/thoroughness.ts";
import { DELIBERATE_FAULTS, withFault } from "./deliberate-faults.ts";
import type { DeliberateFault } from "./fault-tools.ts";
import { runSeed } from "./run-seed.ts";
import { Violation } from "./violation.ts";

const SEEDS = 120;
const STEPS = 200;

/** The first seed that finds the fault, and what it says. */
function firstFinding(fault: DeliberateFault): { seed: number; violation: unknown } {
  return withFault(fault, (hooks) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        runSeed(seed, { steps: STEPS, hooks });
      } catch (error) {
        return { seed, violation: error instanceof Error ? error.cause : error };
      }
    }
    throw new Error(`no seed of ${SEEDS} finds it`);
  });
}

describe("the checker of the simulation", () => {
  it.each(someOf(DELIBERATE_FAULTS))("finds that $name", (fault) => {
    const finding = firstFinding(fault);
    expect(finding.violation).toBeInstanceOf(Violation);
    // It was the fault that was found, and not something that is wrong without it.
    expect(() => runSeed(finding.seed, { steps: STEPS })).not.toThrow();
  });
});
