/**
 * What all threads of a nightly run have found so far.
 */
import type { Failure, Half, MutantResult, Outcome, Trouble } from "./tasks.ts";

export interface Sums {
  readonly seeds: Record<Half, number>;
  readonly steps: Record<Half, number>;
  /** Spent on seeds by all threads together. */
  readonly busyMs: Record<Half, number>;
  readonly notes: Map<string, number>;
  readonly strikes: Map<string, number>;
  readonly failures: Failure[];
  readonly mutants: MutantResult[];
  readonly troubles: Trouble[];
}

function nothing(): Record<Half, number> {
  return { stream: 0, lake: 0 };
}

export function newSums(): Sums {
  const counts = { seeds: nothing(), steps: nothing(), busyMs: nothing() };
  return { ...counts, notes: new Map(), strikes: new Map(), failures: [], mutants: [], troubles: [] };
}

export function take(sums: Sums, outcome: Outcome): void {
  if (outcome.kind === "mutant") {
    const { half, name, seeds, finding } = outcome;
    sums.mutants.push({ half, name, seeds, finding });
    return;
  }
  const { half, seeds, steps, busyMs, notes, strikes, failures } = outcome;
  sums.seeds[half] += seeds;
  sums.steps[half] += steps;
  sums.busyMs[half] += busyMs;
  add(
    sums.notes,
    notes.map(([name, times]) => [`${half}: ${name}`, times] as const),
  );
  add(sums.strikes, strikes);
  sums.failures.push(...failures);
}

/** @param failures what the task had found before it was lost */
export function takeTrouble(sums: Sums, trouble: Trouble, failures: readonly Failure[]): void {
  sums.troubles.push(trouble);
  sums.failures.push(...failures);
}

function add(sum: Map<string, number>, counts: readonly (readonly [string, number])[]): void {
  for (const [name, times] of counts) sum.set(name, (sum.get(name) ?? 0) + times);
}
