/**
 * The simulator by hand: replays one seed, or runs many and says what they reached.
 *
 * `npm run sim -- --seed 7 --steps 400 --verbose`
 */
import { parseArgs } from "node:util";

import { endWith, print, printCoverage, readCount, readRange, runMany, UsageError } from "./many-seeds.ts";
import { runSeed } from "./run-seed.ts";

const HELP = `Runs streams under the deterministic simulator: one seed, one schedule.

  --seed N        replay one seed
  --seeds A..B    run many; failures are listed, the rest goes on
  --steps M       steps of each seed (default 400)
  --verbose       every step of a single seed
  --help          this`;

const DEFAULT_STEPS = 400;

/** @returns whether everything held */
function replay(seed: number, steps: number, isVerbose: boolean): boolean {
  const options = isVerbose ? { steps, verbose: print } : { steps };
  try {
    printCoverage(runSeed(seed, options));
    print(`seed ${seed}, ${steps} steps: everything held`);
    return true;
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    return false;
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      steps: { type: "string" },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    print(HELP);
    return 0;
  }
  const steps = values.steps === undefined ? DEFAULT_STEPS : readCount(values.steps, "steps");
  if (values.seed !== undefined && values.seeds !== undefined) throw new UsageError("--seed or --seeds, not both");
  if (values.seed !== undefined) return replay(readCount(values.seed, "seed"), steps, values.verbose) ? 0 : 1;
  if (values.seeds !== undefined) {
    return (await runMany(readRange(values.seeds), steps, (seed) => runSeed(seed, { steps }))) ? 0 : 1;
  }
  throw new UsageError("--seed N or --seeds A..B is needed");
}

await endWith(main, HELP);
