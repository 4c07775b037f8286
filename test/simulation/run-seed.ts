/**
 * Runs one seed to its end, and says everything needed to see a failure again.
 */
import type { Coverage } from "./coverage.ts";
import { SeedFailure } from "./seed-failure.ts";
import { Simulation } from "./simulation.ts";
import type { SimHooks } from "./sim-object.ts";

const TRACE_LINES = 30;

export interface SeedOptions {
  readonly steps: number;
  readonly hooks?: SimHooks;
  /** Told every step. */
  readonly verbose?: (line: string) => void;
}

/** @throws with seed, step and the last steps, when anything does not hold */
export function runSeed(seed: number, options: SeedOptions): Coverage {
  const lines: string[] = [];
  let step = 0;
  const trace = (line: string) => {
    lines.push(`${step}: ${line}`);
    if (lines.length > TRACE_LINES) lines.shift();
    options.verbose?.(`${step}: ${line}`);
  };
  const hooks = options.hooks === undefined ? {} : { hooks: options.hooks };
  const simulation = new Simulation(seed, { steps: options.steps, trace, ...hooks });
  try {
    for (step = 1; step <= options.steps; step++) simulation.step();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const replay = `npm run sim -- --seed ${seed} --steps ${options.steps} --verbose`;
    throw new SeedFailure({ seed, step, replay, lines }, message, error);
  } finally {
    simulation.close();
  }
  return simulation.coverage;
}
