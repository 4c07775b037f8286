/**
 * The simulator by hand: replays one seed, or runs many and says what they reached.
 *
 * `npm run sim -- --seed 7 --steps 400 --verbose`
 */
import { parseArgs } from "node:util";

import { Coverage } from "./coverage.ts";
import { runSeed } from "./run-seed.ts";

const HELP = `Runs streams under the deterministic simulator: one seed, one schedule.

  --seed N        replay one seed
  --seeds A..B    run many; failures are listed, the rest goes on
  --steps M       steps of each seed (default 400)
  --verbose       every step of a single seed
  --help          this`;

const DEFAULT_STEPS = 400;
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

function printCoverage(coverage: Coverage): void {
  for (const [name, times] of coverage.entries()) print(`${String(times).padStart(10)}  ${name}`);
}

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

function runMany(range: { first: number; last: number }, steps: number): boolean {
  const coverage = new Coverage();
  const failures: string[] = [];
  const startedAtMs = performance.now();
  for (let seed = range.first; seed <= range.last; seed++) {
    try {
      coverage.add(runSeed(seed, { steps }));
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  const seeds = range.last - range.first + 1;
  const seconds = (performance.now() - startedAtMs) / 1000;
  printCoverage(coverage);
  for (const failure of failures.slice(0, FAILURES_SHOWN)) print(`\n${failure}`);
  print(`\n${seeds} seeds of ${steps} steps, ${(seeds / seconds).toFixed(1)} seeds/s, ${failures.length} failed`);
  for (const failure of failures.slice(FAILURES_SHOWN)) print(failure.split("\n", 1).join(""));
  return failures.length === 0;
}

function main(): number {
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
  if (values.seeds !== undefined) return runMany(readRange(values.seeds), steps) ? 0 : 1;
  throw new UsageError("--seed N or --seeds A..B is needed");
}

try {
  process.exitCode = main();
} catch (error) {
  // Unknown options come from parseArgs as a TypeError: the caller's mistake too.
  if (!(error instanceof UsageError || error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n\n${HELP}\n`);
  process.exitCode = 2;
}
