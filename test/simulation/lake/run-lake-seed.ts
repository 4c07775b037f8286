/**
 * Runs one seed of the lake to its end, and says everything needed to see a failure again.
 */
import type { Coverage } from "../coverage.ts";
import { SeedFailure } from "../seed-failure.ts";
import { LakeSimulation } from "./lake-simulation.ts";

const TRACE_LINES = 30;
/** One seed in so many is read by another reader in the end. */
const ICEBIRD_EVERY = 20;

export interface LakeSeedOptions {
  readonly steps: number;
  /** Told every step. */
  readonly verbose?: (line: string) => void;
}

/** @throws with seed, step and the last steps, when anything does not hold */
export async function runLakeSeed(seed: number, options: LakeSeedOptions): Promise<Coverage> {
  const lines: string[] = [];
  let step = 0;
  const trace = (line: string) => {
    lines.push(`${step}: ${line}`);
    if (lines.length > TRACE_LINES) lines.shift();
    options.verbose?.(`${step}: ${line}`);
  };
  const simulation = new LakeSimulation(seed);
  try {
    await simulation.prepare();
    for (step = 1; step <= options.steps; step++) {
      trace(await simulation.step());
    }
    trace("faults stop");
    await simulation.rest();
    if (seed % ICEBIRD_EVERY === 0) await simulation.compareWithIcebird();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const replay = `npm run sim:lake -- --seed ${seed} --steps ${options.steps} --verbose`;
    throw new SeedFailure({ seed, step, replay, lines }, message, error);
  } finally {
    simulation.close();
  }
  return simulation.coverage;
}
