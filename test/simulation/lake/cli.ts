/**
 * The lake's simulator by hand: replays one seed, or runs many and says what they reached.
 *
 * `npm run sim:lake -- --seed 7 --steps 200 --verbose`
 */
import { parseArgs } from "node:util";

import { Coverage } from "../coverage.ts";
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
const FAILURES_SHOWN = 5;

class UsageError extends Error {}

function readCount(text: string, option: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 0)
    throw new UsageError(`--${option}: found ${text}, allowed is a whole number`);
  return count;
}

function readRange(text: string): { first: number; last: number } {
  const [first = "", last = first, ...more] = text.split("..");
  const range = { first: readCount(first, "seeds"), last: readCount(last, "seeds") };
  if (more.length > 0 || range.last < range.first) throw new UsageError(`--seeds: found ${text}, allowed is A..B`);
  return range;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** @returns whether everything held */
async function runAll(range: { first: number; last: number }, steps: number, isVerbose: boolean): Promise<boolean> {
  const coverage = new Coverage();
  const failures: string[] = [];
  const startedAtMs = performance.now();
  for (let seed = range.first; seed <= range.last; seed++) {
    try {
      coverage.add(await runLakeSeed(seed, isVerbose ? { steps, verbose: print } : { steps }));
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  const seeds = range.last - range.first + 1;
  const seconds = (performance.now() - startedAtMs) / 1000;
  for (const [name, times] of coverage.entries()) print(`${String(times).padStart(10)}  ${name}`);
  for (const failure of failures.slice(0, FAILURES_SHOWN)) print(`\n${failure}`);
  print(`\n${seeds} seeds of ${steps} steps, ${(seeds / seconds).toFixed(1)} seeds/s, ${failures.length} failed`);
  for (const failure of failures.slice(FAILURES_SHOWN)) print(failure.split("\n", 1).join(""));
  return failures.length === 0;
}

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
  const run = () => runAll(range, steps, values.verbose && values.seed !== undefined);
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

try {
  process.exitCode = await main();
} catch (error) {
  // Unknown options come from parseArgs as a TypeError: the caller's mistake too.
  if (!(error instanceof UsageError || error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n\n${HELP}\n`);
  process.exitCode = 2;
}
