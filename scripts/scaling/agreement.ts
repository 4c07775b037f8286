/**
 * The simulation held against what has an exact answer: a simulation that is wrong where it can be checked is not
 * to be believed where it cannot. For `scripts/simulate --check`, and for the tests. Pure.
 */
import { waitsOfBurst } from "./burst-among.ts";
import { DEFAULT_FIGURES } from "./figures.ts";
import { longestWaitOfBurstSec, meanWaitOfMixSec, meanWaitSec, shareWithin } from "./queueing.ts";
import { seededRandom } from "./random.ts";
import { burstJobs, serve, steadyJobs } from "./simulated-queue.ts";
import { flushRhythm, playFlushes, type ShardTraffic } from "./simulated-shard.ts";
import { threadArrivals } from "./waits.ts";
import { DEFAULT_WORKLOAD } from "./workload.ts";

export interface Agreement {
  readonly what: string;
  readonly exact: number;
  readonly simulated: number;
  /** As a share of the exact answer. */
  readonly allowed: number;
  readonly agrees: boolean;
}

const JOBS = 100_000;
const SERVICE_SEC = 0.001;
const MS_PER_SEC = 1000;
const BUSY = [0.3, 0.6, 0.8];
const THREAD_STREAMS = [100, 200, 300];
/** Waits follow each other, so that even so many leave some chance: half as much again as the worst of 40 seeds. */
const MEAN_ALLOWED = 0.1;
/** The seldom long job counts for much: as above. */
const MIX_ALLOWED = 0.15;
const SHARE_ALLOWED = 0.04;
const RHYTHM_ALLOWED = 0.03;
const FLUSHES = 200;

const TRAFFIC: ShardTraffic = {
  handOversPerSec: 500,
  events: 1.5,
  flushEvents: 2000,
  flushAgeSec: 30,
  ownEvents: 2,
};

export function agreements(seed: number): Agreement[] {
  return [
    ...BUSY.flatMap((busy) => steadyAgreements(busy, seed)),
    ...THREAD_STREAMS.map((streams) => threadAgreement(streams, seed)),
    burstAgreement(seed),
    burstAmongAgreement(seed),
    ...rhythmAgreements(seed),
  ];
}

function steadyAgreements(busy: number, seed: number): Agreement[] {
  const queue = { arrivalsPerSec: busy / SERVICE_SEC, serviceSec: SERVICE_SEC };
  const arrivals = { perSec: queue.arrivalsPerSec, mix: [{ share: 1, serviceSec: SERVICE_SEC }] };
  const waits = serve(steadyJobs(arrivals, { jobs: JOBS }, seededRandom(seed)), 2 * SERVICE_SEC);
  const within = shareWithin(queue, 2 * SERVICE_SEC);
  return [
    compare(`M/D/1, ${busy * 100} % busy: mean wait, services`, {
      exact: meanWaitSec(queue) / SERVICE_SEC,
      simulated: waits.meanSec / SERVICE_SEC,
      allowed: MEAN_ALLOWED,
    }),
    compare(`… share that waits for two services at most`, {
      exact: within,
      simulated: 1 - waits.lateShare,
      allowed: SHARE_ALLOWED,
    }),
  ];
}

/** Events, starts and resumes of so many streams on one thread, each as long as it is. */
function threadAgreement(streams: number, seed: number): Agreement {
  const arrivals = threadArrivals(streams, { ...DEFAULT_WORKLOAD, resumes: 1 }, DEFAULT_FIGURES);
  return compare(`M/G/1, a thread of ${streams} streams: mean wait, ms`, {
    exact: meanWaitOfMixSec(arrivals.perSec, arrivals.mix) * MS_PER_SEC,
    simulated: serve(steadyJobs(arrivals, { jobs: JOBS }, seededRandom(seed))).meanSec * MS_PER_SEC,
    allowed: MIX_ALLOWED,
  });
}

/** A flood on a server that is half busy anyway: for it there is half of the time. */
function burstAmongAgreement(seed: number): Agreement {
  const flood = { jobs: 20_000, withinSec: 2, serviceSec: SERVICE_SEC };
  const steady = { perSec: 0.5 / SERVICE_SEC, mix: [{ share: 1, serviceSec: SERVICE_SEC }] };
  return compare("… on a server that is half busy anyway", {
    exact: longestWaitOfBurstSec(flood.jobs, flood.withinSec / 2, flood.serviceSec),
    simulated: waitsOfBurst({ ...flood, steady }, seed)?.longestSec ?? Number.NaN,
    allowed: SHARE_ALLOWED,
  });
}

function burstAgreement(seed: number): Agreement {
  const burst = { jobs: 20_000, withinSec: 2, serviceSec: SERVICE_SEC };
  const waits = serve(burstJobs(burst, seededRandom(seed)));
  return compare("20,000 within 2 s, 1,000 served a second: longest wait, s", {
    exact: longestWaitOfBurstSec(burst.jobs, burst.withinSec, burst.serviceSec),
    simulated: waits.longestSec,
    allowed: SHARE_ALLOWED,
  });
}

function rhythmAgreements(seed: number): Agreement[] {
  const bySize = flushRhythm(TRAFFIC);
  const slow = { ...TRAFFIC, handOversPerSec: 5 };
  return [
    compare("flushes by number: rows of a file", {
      exact: bySize.rowsPerFile,
      simulated: playFlushes(TRAFFIC, FLUSHES, seededRandom(seed)).rowsPerFile,
      allowed: RHYTHM_ALLOWED,
    }),
    compare("… a second", {
      exact: bySize.perSec,
      simulated: playFlushes(TRAFFIC, FLUSHES, seededRandom(seed)).perSec,
      allowed: RHYTHM_ALLOWED,
    }),
    compare("flushes by age: rows of a file", {
      exact: flushRhythm(slow).rowsPerFile,
      simulated: playFlushes(slow, FLUSHES, seededRandom(seed)).rowsPerFile,
      allowed: RHYTHM_ALLOWED,
    }),
    compare("… a second", {
      exact: flushRhythm(slow).perSec,
      simulated: playFlushes(slow, FLUSHES, seededRandom(seed)).perSec,
      allowed: RHYTHM_ALLOWED,
    }),
  ];
}

function compare(what: string, numbers: Pick<Agreement, "exact" | "simulated" | "allowed">): Agreement {
  const { exact, simulated, allowed } = numbers;
  return { what, ...numbers, agrees: Math.abs(simulated - exact) <= allowed * Math.abs(exact) };
}
