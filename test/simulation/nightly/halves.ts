/**
 * The two simulators as the nightly runs them: one seed, and all deliberate faults of each.
 */
import type { Coverage } from "../coverage.ts";
import { DELIBERATE_FAULTS } from "../deliberate-faults.ts";
import { FURTHER_FAULTS } from "../further-faults.ts";
import { FURTHER_LAKE_FAULTS } from "../lake/further-lake-faults.ts";
import { LAKE_FAULTS, withLakeFault } from "../lake/lake-faults.ts";
import { LakeViolation } from "../lake/lake-violation.ts";
import { runLakeSeed } from "../lake/run-lake-seed.ts";
import { runSeed } from "../run-seed.ts";
import { NO_HOOKS } from "../sim-object.ts";
import { Violation } from "../violation.ts";
import type { Half } from "./tasks.ts";

const STREAM_FAULTS = [...DELIBERATE_FAULTS, ...FURTHER_FAULTS];
const ALL_LAKE_FAULTS = [...LAKE_FAULTS, ...FURTHER_LAKE_FAULTS];

export function mutantsOf(half: Half): readonly string[] {
  return (half === "stream" ? STREAM_FAULTS : ALL_LAKE_FAULTS).map(({ name }) => name);
}

/** @throws SeedFailure where anything does not hold */
export async function runOne(half: Half, seed: number, steps: number): Promise<Coverage> {
  return half === "stream" ? runSeed(seed, { steps, hooks: NO_HOOKS }) : runLakeSeed(seed, { steps });
}

/** Runs seeds with a deliberate fault in place, for as long as `run` likes. */
export async function withMutant<T>(
  half: Half,
  name: string,
  run: (one: (seed: number, steps: number) => Promise<Coverage>) => Promise<T>,
): Promise<T> {
  if (half === "lake") {
    return withLakeFault(named(ALL_LAKE_FAULTS, name), () => run((seed, steps) => runLakeSeed(seed, { steps })));
  }
  const fault = named(STREAM_FAULTS, name);
  const remove = fault.install?.();
  try {
    const hooks = { ...NO_HOOKS, ...fault.hooks };
    return await run(async (seed, steps) => runSeed(seed, { steps, hooks }));
  } finally {
    remove?.();
  }
}

/** Which promise a failure says is broken; `undefined` where it is no word of the checker's. */
export function brokenPromise(error: unknown): string | undefined {
  if (error instanceof Violation) return error.invariant;
  return error instanceof LakeViolation ? error.promise : undefined;
}

function named<T extends { readonly name: string }>(faults: readonly T[], name: string): T {
  const fault = faults.find((candidate) => candidate.name === name);
  if (fault === undefined) throw new Error(`there is no deliberate fault: ${name}`);
  return fault;
}
