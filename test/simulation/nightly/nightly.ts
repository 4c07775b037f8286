/**
 * One nightly run, apart from where its threads, its output and its file come from (run.ts): what is to be
 * done, and that whatever comes of it is written down.
 */
import { MATRICES } from "./all-matrices.ts";
import type { NightlyOptions } from "./options.ts";
import type { PoolOptions } from "./pool.ts";
import { failureText, matrixText, mutantText } from "./report.ts";
import { progressText, rateOf, resultOf } from "./result.ts";
import { newSums, take, takeTrouble, type Sums } from "./sums.ts";
import type { Failure, Half, Task } from "./tasks.ts";
import { exitCodeOf, verdictOf } from "./verdict.ts";

const SEEDS_PER_TASK = 25;
const PROGRESS_MS = 10_000;

export interface NightlyDeps {
  readonly runTasks: (
    tasks: readonly Task[],
    listener: Pick<PoolOptions, "onOutcome" | "onFailure" | "onTrouble">,
  ) => Promise<void>;
  readonly isInterrupted: () => boolean;
  /** To the end of the output, and to where progress is told. */
  readonly print: (text: string) => void;
  readonly tell: (text: string) => void;
  /** Puts the results in the place of those before. */
  readonly write: (result: object) => void;
  readonly nowMs: () => number;
}

/** @param mutantsOf names of the deliberate faults */
export function tasksOf(options: NightlyOptions, mutantsOf: (half: Half) => readonly string[]): Task[] {
  const { halves, range, steps, hasSeeds, hasMutants, mutantSeeds } = options;
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

/** @returns the exit code */
export async function runNightly(options: NightlyOptions, tasks: readonly Task[], deps: NightlyDeps): Promise<number> {
  const sums = newSums();
  const { first, last } = options.range;
  const wanted = options.hasSeeds ? (last - first + 1) * options.halves.length : 0;
  if (options.hasSeeds) deps.tell(`seeds ${first}..${last} of ${options.halves.join(" and ")}`);
  const startedAtMs = deps.nowMs();
  const write = (isComplete: boolean) => {
    const atMs = deps.nowMs();
    const verdict = verdictOf(sums, tasks, MATRICES);
    deps.write(resultOf(options, sums, verdict, { atMs, seconds: (atMs - startedAtMs) / 1000, isComplete }));
    return verdict;
  };
  const progress = () => {
    deps.tell(progressText(sums, wanted));
    // What kills all threads at once leaves at least this behind.
    write(false);
  };
  const telling = setInterval(progress, PROGRESS_MS);
  let broken: string | undefined;
  try {
    await deps.runTasks(tasks, listenerOf(sums, deps));
  } catch (error) {
    broken = error instanceof Error ? (error.stack ?? error.message) : String(error);
  } finally {
    clearInterval(telling);
  }
  const isInterrupted = deps.isInterrupted();
  const verdict = write(!isInterrupted && broken === undefined);
  printSums(options, sums, deps.print);
  for (const { matrix, report } of verdict.reports) {
    deps.print(`\n${matrixText(matrix, report)}\n${report.reached} of ${report.possible} cells reached`);
  }
  if (sums.failures.length > 0) deps.print(failureText(sums.failures));
  const complaints =
    broken === undefined ? verdict.complaints : [`THE RUN BROKE OFF: ${broken}`, ...verdict.complaints];
  deps.print(`\n${complaints.join("\n")}`);
  const seconds = Math.round((deps.nowMs() - startedAtMs) / 1000);
  deps.print(
    `${sums.failures.length} failures, ${verdict.caught} of ${sums.mutants.length} deliberate faults caught, ${complaints.length} complaints, ${seconds} s; ${options.out}`,
  );
  return exitCodeOf({ complaints }, isInterrupted);
}

function listenerOf(sums: Sums, { tell }: NightlyDeps): Pick<PoolOptions, "onOutcome" | "onFailure" | "onTrouble"> {
  return {
    onOutcome: (outcome) => take(sums, outcome),
    onFailure: ({ half, seed, replay }: Failure) => tell(`${half} seed ${seed} fails: ${replay}`),
    onTrouble: (trouble, failures) => {
      takeTrouble(sums, trouble, failures);
      tell(`a thread ${trouble.kind} at seed ${trouble.seed ?? "none"} of ${JSON.stringify(trouble.task)}`);
    },
  };
}

function printSums(options: NightlyOptions, sums: Sums, print: (text: string) => void): void {
  const mutants = sums.mutants.toSorted((a, b) => (a.half + a.name < b.half + b.name ? -1 : 1));
  if (mutants.length > 0) print(mutants.map(mutantText).join("\n"));
  for (const half of options.hasSeeds ? options.halves : []) {
    const rate = rateOf(sums, half, options.workers).toFixed(1);
    print(`\n${half}: ${sums.seeds[half]} seeds, ${sums.steps[half]} steps, ${rate} seeds/s`);
  }
}
