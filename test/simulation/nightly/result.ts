/**
 * The file that a nightly run leaves behind. Pure.
 */
import type { NightlyOptions } from "./options.ts";
import type { Sums } from "./sums.ts";
import { HALVES, type Half } from "./tasks.ts";
import { isCaught, type Verdict } from "./verdict.ts";

export interface RunFacts {
  readonly atMs: number;
  readonly seconds: number;
  /** Whether there was nothing left to do. */
  readonly isComplete: boolean;
}

export function resultOf(options: NightlyOptions, sums: Sums, verdict: Verdict, facts: RunFacts): object {
  const { strikes, notes, failures, troubles } = sums;
  const { first, last } = options.range;
  const halves = options.hasSeeds ? options.halves : [];
  return {
    at: new Date(facts.atMs).toISOString(),
    node: process.version,
    workers: options.workers,
    range: { first, last },
    seeds: sums.seeds,
    steps: sums.steps,
    seconds: Math.round(facts.seconds),
    seeds_per_sec: Object.fromEntries(halves.map((half) => [half, rateOf(sums, half, options.workers)])),
    is_complete: facts.isComplete,
    ok: facts.isComplete && verdict.complaints.length === 0,
    complaints: verdict.complaints,
    coverage: verdict.reports.map(({ matrix: { half, title }, report }) => {
      const { reached, possible, missing, rare, surprising, unreachable } = report;
      return { half, title, reached, possible, missing, rare, surprising, unreachable: unreachable.length };
    }),
    cells: Object.fromEntries(strikes),
    counts: Object.fromEntries(notes),
    failures,
    troubles,
    mutants: sums.mutants.map((mutant) => {
      const { half, name, seeds, finding } = mutant;
      return { half, name, seeds, caught: isCaught(mutant), ...finding };
    }),
  };
}

/** Seeds a second of all threads, by the time that was spent on this half's seeds alone. */
export function rateOf(sums: Sums, half: Half, workers: number): number {
  return sums.busyMs[half] === 0 ? 0 : (sums.seeds[half] / sums.busyMs[half]) * 1000 * workers;
}

export function progressText(sums: Sums, wanted: number): string {
  const { seeds, failures, mutants, troubles } = sums;
  const done = HALVES.reduce((sum, half) => sum + seeds[half], 0);
  const lost = troubles.length === 0 ? "" : `, ${troubles.length} tasks lost`;
  return `${done} of ${wanted} seeds, ${mutants.length} deliberate faults, ${failures.length} failures${lost}`;
}
