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
export function serve(jobs: Iterable<Job>, lateSec?: number): Waits {
  return summaryOf([played(jobs)], lateSec);
}

/** Every wait of one play, and when the last job was through. */
interface Play {
  readonly waits: readonly number[];
  readonly endSec: number;
}

/** @param jobs in the order of their times */
export function played(jobs: Iterable<Job>): Play {
  const waits: number[] = [];
  // Jobs may come before time nought: what a queue is like when something begins.
  let freeAtSec = Number.NEGATIVE_INFINITY;
  for (const { atSec, serviceSec, isInternal = false } of jobs) {
    const beginsSec = Math.max(atSec, freeAtSec);
    freeAtSec = beginsSec + serviceSec;
    if (!isInternal) waits.push(beginsSec - atSec);
  }
  return { waits, endSec: freeAtSec };
}

/** Of all waits of all plays; the end is the mean of theirs. */
export function summaryOf(plays: readonly Play[], lateSec: number = Number.POSITIVE_INFINITY): Waits {
  const sorted = Float64Array.from(plays.flatMap(({ waits }) => waits)).sort();
  return {
    jobs: sorted.length / plays.length,
    meanSec: sorted.reduce((sum, wait) => sum + wait, 0) / sorted.length,
    p50Sec: quantile(sorted, 0.5),
    p99Sec: quantile(sorted, 0.99),
    longestSec: sorted.at(-1) ?? Number.NaN,
    endSec: plays.reduce((sum, { endSec }) => sum + endSec, 0) / plays.length,
    lateShare: sorted.reduce((late, wait) => late + (wait > lateSec ? 1 : 0), 0) / sorted.length,
  };
}

export interface SteadyArrivals {
  readonly perSec: number;
  /** Of how many kinds jobs are; shares add up to one. */
  readonly mix: readonly JobKind[];
  /** After each so many jobs the server has work of its own. */
  readonly pause?: { readonly everyJobs: number; readonly sec: number };
}

interface JobKind {
  readonly share: number;
  readonly serviceSec: number;
}

/** How much of steady arrivals is played. */
interface Stretch {
  readonly jobs: number;
  readonly fromSec?: number;
  /** Whether their waits are nobody's: they only hold others up. */
  readonly isInternal?: boolean;
}

/** Arrivals that know nothing of each other: what many streams together send. */
export function* steadyJobs(
  { perSec, mix, pause }: SteadyArrivals,
  { jobs, fromSec = 0, isInternal = false }: Stretch,
  random: () => number,
): Generator<Job> {
  let atSec = fromSec;
  for (let job = 1; job <= jobs; job++) {
    atSec += exponential(random, perSec);
    yield { atSec, serviceSec: serviceOf(mix, random), isInternal };
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

/** By chance, as often as its share says. */
function serviceOf(mix: readonly JobKind[], random: () => number): number {
  let left = mix.length > 1 ? random() : 0;
  for (const { share, serviceSec } of mix) {
    if (left < share) return serviceSec;
    left -= share;
  }
  // Shares that add up to a little less than one.
  return mix.at(-1)?.serviceSec ?? Number.NaN;
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
