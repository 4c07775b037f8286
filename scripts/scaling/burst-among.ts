/**
 * Many jobs at once on a server that has steady work besides: how long the many wait, behind each other and behind that.
 * Pure; chance comes from a seed.
 */
import { longestWaitOfBurstSec } from "./queueing.ts";
import { seededRandom } from "./random.ts";
import {
  burstJobs,
  played,
  steadyJobs,
  summaryOf,
  type Job,
  type SteadyArrivals,
  type Waits,
} from "./simulated-queue.ts";
import { busyShareOf } from "./waits.ts";

export interface BurstAmong {
  readonly jobs: number;
  readonly withinSec: number;
  readonly serviceSec: number;
  readonly steady: SteadyArrivals;
}

/** Beyond, the waits of a flood are given instead of playing it. */
const PLAYED_MAX = 2_000_000;
/** Steady jobs before the first of the burst: it finds a queue as there always is one. */
const WARM_UP_JOBS = 2000;
/** A small burst is played so often that its 99th percentile is not one wait. */
const LEAST_WAITS = 2000;
const MOST_PLAYS = 10;

/** @returns `undefined` where the steady work alone is more than can be done: the queue has no end already */
export function waitsOfBurst(burst: BurstAmong, seed: number, lateSec?: number): Waits | undefined {
  const { steady, withinSec } = burst;
  if (busyShareOf(steady) >= 1) return undefined;
  const steadyMeanwhile = steady.perSec * withinSec;
  if (burst.jobs + steadyMeanwhile > PLAYED_MAX) return waitsOfFlood(burst, lateSec);
  const random = seededRandom(seed);
  const stretch = { jobs: Number.POSITIVE_INFINITY, fromSec: -WARM_UP_JOBS / steady.perSec, isInternal: true };
  const plays = Math.min(MOST_PLAYS, Math.ceil(LEAST_WAITS / burst.jobs));
  const play = () => played(merged(burstJobs(burst, random), steadyJobs(steady, stretch, random)));
  return summaryOf(Array.from({ length: plays }, play), lateSec);
}

/** Until the last of the many: first come, first served, so that what comes later holds up none of them. */
function* merged(many: readonly Job[], steady: Iterator<Job, void>): Generator<Job> {
  let next = steady.next();
  for (const job of many) {
    for (; next.done !== true && next.value.atSec <= job.atSec; next = steady.next()) yield next.value;
    yield job;
  }
}

/** So many more than can be served that waits grow in a straight line from the first to the last. */
function waitsOfFlood({ jobs, withinSec, serviceSec, steady }: BurstAmong, lateSec = Number.POSITIVE_INFINITY): Waits {
  const longestSec = longestWaitOfBurstSec(jobs, withinSec * (1 - busyShareOf(steady)), serviceSec);
  return {
    jobs,
    meanSec: longestSec * 0.5,
    p50Sec: longestSec * 0.5,
    p99Sec: longestSec * 0.99,
    longestSec,
    endSec: withinSec + longestSec,
    lateShare: longestSec === 0 ? 0 : Math.max(0, 1 - lateSec / longestSec),
  };
}
