/**
 * One server with a queue, event by event: who comes when, how long each takes, and how long everybody waits.
 * Pure; chance comes from a seed.
 */
import { exponential } from "./random.ts";

export interface Job {
  readonly atSec: number;
  readonly serviceSec: number;
  /** Work of the server's own: it holds others up, and its wait is nobody's. */
  readonly isInternal?: boolean;
}

export interface Waits {
  readonly jobs: number;
  readonly meanSec: number;
  readonly p50Sec: number;
  readonly p99Sec: number;
  readonly longestSec: number;
  /** When the last one is through. */
  readonly endSec: number;
  /** Share of the jobs that waited longer than was asked about. */
  readonly lateShare: number;
}

/** @param jobs in the order of their times */
export function serve(jobs: Iterable<Job>, lateSec: number = Number.POSITIVE_INFINITY): Waits {
  const waits: number[] = [];
  let freeAtSec = 0;
  let sum = 0;
  let late = 0;
  for (const { atSec, serviceSec, isInternal = false } of jobs) {
    const beginsSec = Math.max(atSec, freeAtSec);
    freeAtSec = beginsSec + serviceSec;
    if (isInternal) continue;
    waits.push(beginsSec - atSec);
    sum += beginsSec - atSec;
    if (beginsSec - atSec > lateSec) late++;
  }
  const sorted = Float64Array.from(waits).sort();
  return {
    jobs: waits.length,
    meanSec: sum / waits.length,
    p50Sec: quantile(sorted, 0.5),
    p99Sec: quantile(sorted, 0.99),
    longestSec: sorted.at(-1) ?? Number.NaN,
    endSec: freeAtSec,
    lateShare: late / waits.length,
  };
}

export interface SteadyArrivals {
  readonly perSec: number;
  readonly jobs: number;
  readonly serviceSec: number;
  /** After each so many jobs the server has work of its own. */
  readonly pause?: { readonly everyJobs: number; readonly sec: number };
}

/** Arrivals that know nothing of each other: what many streams together send. */
export function* steadyJobs({ perSec, jobs, serviceSec, pause }: SteadyArrivals, random: () => number): Generator<Job> {
  let atSec = 0;
  for (let job = 1; job <= jobs; job++) {
    atSec += exponential(random, perSec);
    yield { atSec, serviceSec };
    if (pause !== undefined && job % pause.everyJobs === 0) {
      yield { atSec, serviceSec: pause.sec, isInternal: true };
    }
  }
}

/** Everybody within a short time, evenly spread over it. */
export function burstJobs(
  { jobs, withinSec, serviceSec }: { readonly jobs: number; readonly withinSec: number; readonly serviceSec: number },
  random: () => number,
): Job[] {
  const times = Float64Array.from({ length: jobs }, () => random() * withinSec).sort();
  return Array.from(times, (atSec) => ({ atSec, serviceSec }));
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
