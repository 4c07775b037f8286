/**
 * Both simulators at scale: many seeds on all cores, the coverage of states by faults, and deliberate faults
 * that have to be found. For one seed by hand: `npm run sim`, `npm run sim:lake`.
 */
import { writeFileSync } from "node:fs";

import { endWith, print } from "../many-seeds.ts";
import { mutantsOf } from "./halves.ts";
import { MATRICES } from "./all-matrices.ts";
import { judge } from "./matrices.ts";
import { HELP, readOptions, type NightlyOptions } from "./options.ts";
import { SeedPool } from "./pool.ts";
import { failureText, matrixText, mutantText } from "./report.ts";
import { newSums, take, type Sums } from "./sums.ts";
import type { Task } from "./tasks.ts";

const SEEDS_PER_TASK = 25;
/** By far more than a task takes on a busy machine. */
const TASK_MAX_MS = 600_000;
/** So few seeds need not reach everything. */
const MIN_SEEDS_TO_JUDGE = 10_000;
const PROGRESS_MS = 10_000;
const INTERRUPTED = 130;

function tasksOf({ halves, range, steps, hasSeeds, hasMutants, mutantSeeds }: NightlyOptions): Task[] {
  const tasks: Task[] = [];
  for (const half of halves) {
    if (hasMutants) for (const name of mutantsOf(half)) tasks.push({ kind: "mutant", half, name, seeds: mutantSeeds });
  }
  for (const half of hasSeeds ? halves : []) {
    for (let first = range.first; first <= range.last; first += SEEDS_PER_TASK) {
      const last = Math.min(range.last, first + SEEDS_PER_TASK - 1);
      tasks.push({ kind: "seeds", half, first, last, steps: steps[half] });
    }
  }
  return tasks;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    print(HELP);
    return 0;
  }
  const sums = newSums();
  const pool = new SeedPool({
    workers: options.workers,
    taskMaxMs: TASK_MAX_MS,
    onOutcome: (outcome) => take(sums, outcome),
    onHang: (task) => sums.hung.push(task),
  });
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
    void pool.end();
  };
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  const wanted = options.hasSeeds ? (options.range.last - options.range.first + 1) * options.halves.length : 0;
  const tell = () => process.stderr.write(`${progressText(sums, wanted)}\n`);
  const telling = setInterval(tell, PROGRESS_MS);
  const startedAtMs = performance.now();
  try {
    await pool.run(tasksOf(options));
  } finally {
    clearInterval(telling);
  }
  tell();
  return conclude(options, sums, { seconds: (performance.now() - startedAtMs) / 1000, isInterrupted });
}

function progressText(sums: Sums, wanted: number): string {
  const { seeds, failures, mutants } = sums;
  return `${seeds.stream + seeds.lake} of ${wanted} seeds, ${mutants.length} deliberate faults, ${failures.length} failures`;
}

function conclude(
  options: NightlyOptions,
  sums: Sums,
  { seconds, isInterrupted }: { readonly seconds: number; readonly isInterrupted: boolean },
): number {
  const seedsPerSec: Record<string, number> = {};
  const coverage: object[] = [];
  let isMissing = false;
  for (const half of options.hasSeeds ? options.halves : []) {
    seedsPerSec[half] = rateOf(sums, half, options.workers);
    const isJudged = sums.seeds[half] >= MIN_SEEDS_TO_JUDGE;
    for (const matrix of MATRICES.filter((one) => one.half === half)) {
      const report = judge(matrix, sums.strikes);
      const { reached, possible, missing, rare, surprising, unreachable } = report;
      print(`\n${matrixText(matrix, report)}\n${reached} of ${possible} cells reached`);
      isMissing ||= (isJudged && missing.length > 0) || surprising.length > 0;
      coverage.push({
        half,
        title: matrix.title,
        reached,
        possible,
        missing,
        rare,
        surprising,
        unreachable: unreachable.length,
      });
    }
    print(`\n${half}: ${sums.seeds[half]} seeds, ${sums.steps[half]} steps, ${seedsPerSec[half].toFixed(1)} seeds/s`);
  }
  const mutants = sums.mutants.toSorted((a, b) => (a.half + a.name < b.half + b.name ? -1 : 1));
  if (mutants.length > 0) print(`\n${mutants.map(mutantText).join("\n")}`);
  if (sums.failures.length > 0) print(failureText(sums.failures));
  for (const task of sums.hung) print(`HUNG: ${JSON.stringify(task)}`);
  const survivors = mutants.filter(({ finding }) => finding?.isClean !== true);
  const isGood = !isMissing && sums.failures.length + sums.hung.length + survivors.length === 0;
  const { strikes, notes } = sums;
  const result = {
    at: new Date().toISOString(),
    node: process.version,
    workers: options.workers,
    seeds: sums.seeds,
    steps: sums.steps,
    seconds: Math.round(seconds),
    seeds_per_sec: seedsPerSec,
    is_complete: !isInterrupted,
    ok: isGood && !isInterrupted,
    coverage,
    cells: Object.fromEntries(strikes),
    counts: Object.fromEntries(notes),
    failures: sums.failures,
    hung: sums.hung,
    mutants: mutants.map(({ half, name, seeds, finding }) => ({
      half,
      name,
      seeds,
      caught: finding !== undefined,
      ...finding,
    })),
  };
  writeFileSync(options.out, `${JSON.stringify(result, undefined, 2)}\n`);
  const caught = mutants.length - survivors.length;
  print(
    `\n${sums.failures.length} failures, ${caught} of ${mutants.length} deliberate faults caught, ${Math.round(seconds)} s; ${options.out}`,
  );
  return isInterrupted ? INTERRUPTED : isGood ? 0 : 1;
}

/** Seeds a second of all threads, by the time that was spent on this half's seeds alone. */
function rateOf(sums: Sums, half: "stream" | "lake", workers: number): number {
  return sums.busyMs[half] === 0 ? 0 : (sums.seeds[half] / sums.busyMs[half]) * 1000 * workers;
}

await endWith(main, HELP);
