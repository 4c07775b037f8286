/**
 * What a nightly run comes to: whether all holds, and each thing that does not. Pure.
 */
import { judge, strayCells, type CellReport, type Matrix } from "./matrices.ts";
import { mutantText } from "./report.ts";
import type { Sums } from "./sums.ts";
import { HALVES, type Half, type MutantResult, type Task } from "./tasks.ts";

const INTERRUPTED = 130;

export interface Verdict {
  /** Of each half that ran seeds. */
  readonly reports: readonly { readonly matrix: Matrix; readonly report: CellReport }[];
  /** Why the run has failed; none where all holds. */
  readonly complaints: readonly string[];
  readonly caught: number;
}

/** A deliberate fault is caught by a broken promise, in a seed that keeps it without the fault. */
export function isCaught({ finding }: MutantResult): boolean {
  return finding?.invariant !== undefined && finding.isClean;
}

/** @param tasks what was to be done */
export function verdictOf(sums: Sums, tasks: readonly Task[], matrices: readonly Matrix[]): Verdict {
  const halves = HALVES.filter((half) => tasks.some((task) => task.kind === "seeds" && task.half === half));
  const reports = matrices
    .filter(({ half }) => halves.includes(half))
    .map((matrix) => ({ matrix, report: judge(matrix, sums.strikes, sums.seeds[matrix.half]) }));
  const complaints = [
    ...sums.failures.map(({ half, seed, replay }) => `${half} seed ${seed} fails: ${replay}`),
    ...sums.troubles.map(
      ({ kind, task, seed, message }) =>
        `A THREAD ${kind.toUpperCase()} at seed ${seed ?? "none"} of ${JSON.stringify(task)}: ${message}`,
    ),
    ...sums.mutants.filter((mutant) => !isCaught(mutant)).map(mutantText),
    ...reports.flatMap(({ report }) => [
      ...report.missing.map((cell) => `NEVER REACHED: ${cell}`),
      ...report.surprising.map((cell) => `REACHED, AND SAID TO BE IMPOSSIBLE: ${cell}`),
    ]),
    ...strayCells(matrices, sums.strikes).map((cell) => `STRUCK, AND IN NO LIST: ${cell}`),
    ...halves.flatMap((half) => undone(`seeds of the ${half}`, sums.seeds[half], seedsOf(tasks, half))),
    ...undone("deliberate faults", sums.mutants.length, tasks.filter(({ kind }) => kind === "mutant").length),
  ];
  return { reports, complaints, caught: sums.mutants.filter(isCaught).length };
}

export function exitCodeOf({ complaints }: Pick<Verdict, "complaints">, isInterrupted: boolean): number {
  if (isInterrupted) return INTERRUPTED;
  return complaints.length === 0 ? 0 : 1;
}

function seedsOf(tasks: readonly Task[], half: Half): number {
  let seeds = 0;
  for (const task of tasks) if (task.kind === "seeds" && task.half === half) seeds += task.last - task.first + 1;
  return seeds;
}

function undone(what: string, done: number, wanted: number): string[] {
  return done === wanted ? [] : [`NOT ALL WAS RUN: ${done} of ${wanted} ${what}`];
}
