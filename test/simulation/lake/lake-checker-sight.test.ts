/**
 * Whether the lake's simulation would see a fault: each of a list of deliberate ones must be found.
 */
import { describe, expect, it } from "vitest";

import { someOf } from "../../fixtures/thoroughness.ts";
import { LAKE_FAULTS, withLakeFault, type LakeFault } from "./lake-faults.ts";
import { LakeViolation } from "./lake-violation.ts";
import { runLakeSeed } from "./run-lake-seed.ts";

/** The first is about a table with a long past, and slow. */
const FIRST_SEED = 2;
const SEEDS = 90;
const STEPS = 200;

/** The first seed that finds the fault, and what it says. */
function firstFinding(fault: LakeFault): Promise<{ seed: number; violation: unknown }> {
  return withLakeFault(fault, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      try {
        await runLakeSeed(seed, { steps: STEPS });
      } catch (error) {
        return { seed, violation: error instanceof Error ? error.cause : error };
      }
    }
    throw new Error(`no seed of ${SEEDS} finds it`);
  });
}

describe("the checker of the lake's simulation", () => {
  it.each(someOf(LAKE_FAULTS))("finds that $name", async (fault) => {
    const finding = await firstFinding(fault);
    expect(finding.violation).toBeInstanceOf(LakeViolation);
    // It was the fault that was found, and not something that is wrong without it.
    await expect(runLakeSeed(finding.seed, { steps: STEPS })).resolves.toBeDefined();
  });
});
