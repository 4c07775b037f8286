/**
 * The lake's simulator by hand: replays one seed, or runs many and says what they reached.
 *
 * `npm run sim:lake -- --seed 7 --steps 200 --verbose`
 */
import { parseArgs } from "node:util";

import { endWith, print, readCount, readRange, runMany, UsageError } from "../many-seeds.ts";
import { LAKE_FAULTS, withLakeFault } from "./lake-faults.ts";
import { runLakeSeed } from "./run-lake-seed.ts";

const HELP = `Runs the lake under the deterministic simulator: one seed, one schedule.

  --seed N        replay one seed
  --seeds A..B    run many; failures are listed, the rest goes on
  --steps M       steps of each seed before its faults stop (default 200)
  --fault NAME    with a deliberate fault, by part of its name
  --verbose       every step of a single seed
  --help          this`;

const DEFAULT_STEPS = 200;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      steps: { type: "string" },
      fault: { type: "string" },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    print(HELP);
    return 0;
  }
  const steps = values.steps === undefined ? DEFAULT_STEPS : readCount(values.steps, "steps");
  if ((values.seed === undefined) === (values.seeds === undefined)) {
    throw new UsageError("either --seed N or --seeds A..B is needed");
  }
  const range = readRange(values.seeds ?? values.seed ?? "");
  const options = values.verbose && values.seed !== undefined ? { steps, verbose: print } : { steps };
  const run = () => runMany(range, steps, (seed) => runLakeSeed(seed, options));
  if (values.fault === undefined) return (await run()) ? 0 : 1;
  const wanted = values.fault;
  const fault = LAKE_FAULTS.find(({ name }) => name.includes(wanted));
  if (fault === undefined) {
    throw new UsageError(
      `--fault: found ${wanted}, allowed are\n  ${LAKE_FAULTS.map(({ name }) => name).join("\n  ")}`,
    );
  }
  return (await withLakeFault(fault, run)) ? 0 : 1;
}

await endWith(main, HELP);
