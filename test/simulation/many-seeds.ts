/**
 * What running simulators by hand has in common: numbers read from the command line, many seeds run and
 * summed up, and how it ends.
 */
import { Coverage } from "./coverage.ts";

const FAILURES_SHOWN = 5;

export class UsageError extends Error {}

export interface SeedRange {
  readonly first: number;
  readonly last: number;
}

export function readCount(text: string, option: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 0)
    throw new UsageError(`--${option}: found ${text}, allowed is a whole number`);
  return count;
}

export function readRange(text: string): SeedRange {
  const [first = "", last = first, ...more] = text.split("..");
  const range = { first: readCount(first, "seeds"), last: readCount(last, "seeds") };
  if (more.length > 0 || range.last < range.first) throw new UsageError(`--seeds: found ${text}, allowed is A..B`);
  return range;
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function printCoverage(coverage: Coverage): void {
  for (const [name, times] of coverage.entries()) print(`${String(times).padStart(10)}  ${name}`);
}

/** @returns whether everything held */
export async function runMany(
  range: SeedRange,
  steps: number,
  run: (seed: number) => Coverage | Promise<Coverage>,
): Promise<boolean> {
  const coverage = new Coverage();
  const failures: string[] = [];
  const startedAtMs = performance.now();
  for (let seed = range.first; seed <= range.last; seed++) {
    try {
      coverage.add(await run(seed));
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

/** The process ends with what `main` returns, or with 2 and the help where the caller was mistaken. */
export async function endWith(main: () => Promise<number>, help: string): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    // Unknown options come from parseArgs as a TypeError: the caller's mistake too.
    if (!(error instanceof UsageError || error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\n\n${help}\n`);
    process.exitCode = 2;
  }
}
