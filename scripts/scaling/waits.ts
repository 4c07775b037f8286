/**
 * How long things wait: telemetry for its shard, an event for the thread that its object shares with others.
 * Played through by simulated-queue.ts; what has an exact answer is held against it in agreement.ts.
 */
import type { Figures } from "./figures.ts";
import { meanWaitOfMixSec, utilization } from "./queueing.ts";
import { seededRandom } from "./random.ts";
import { handOverSec, streamJobs, type ServiceLoad } from "./service-load.ts";
import { serve, steadyJobs, type SteadyArrivals, type Waits } from "./simulated-queue.ts";
import type { Workload } from "./workload.ts";

const US_PER_SEC = 1_000_000;
/** Enough that the 99th percentile has hundreds beyond it. */
const JOBS = 60_000;

/** `undefined` where more comes than can be served: there is no steady wait. */
export type SteadyWaits = Waits | undefined;

/** Of a hand-over until its shard takes it: behind others, and behind the writing of files. */
export function shardWaits(load: ServiceLoad, figures: Figures): SteadyWaits {
  return steadyWaits(shardArrivals(load, figures), load.workload.seed);
}

/** Hand-overs to one shard, at the pace of its CPU or of an object's soft limit, whichever is slower. */
export function shardArrivals({ shard }: ServiceLoad, figures: Figures): SteadyArrivals {
  const rows = shard.rowsPerFile;
  const encodeSec = figures.encodeUs / US_PER_SEC;
  return {
    perSec: shard.handOversPerSec,
    // Writing a file is part of what its hand-overs cost, and comes all at once.
    mix: [{ share: 1, serviceSec: Math.max(0, handOverSec(figures) - shard.traffic.events * encodeSec) }],
    pause: { everyJobs: Math.max(1, Math.round(rows / shard.traffic.events)), sec: rows * encodeSec },
  };
}

/** Of an event, or anything else, for its thread, where so many streams share one. */
export function threadWaits(streams: number, { workload }: ServiceLoad, figures: Figures): SteadyWaits {
  return steadyWaits(threadArrivals(streams, workload, figures), workload.seed);
}

/** The same on average, exactly: M/G/1. */
export function meanThreadWaitSec(streams: number, { workload }: ServiceLoad, figures: Figures): number {
  const { perSec, mix } = threadArrivals(streams, workload, figures);
  return meanWaitOfMixSec(perSec, mix);
}

/** All that so many streams ask of a thread, each job as long as it is. */
export function threadArrivals(streams: number, workload: Workload, figures: Figures): SteadyArrivals {
  const jobs = streamJobs(workload, figures).filter(({ perSec }) => perSec > 0);
  const perStream = jobs.reduce((sum, { perSec }) => sum + perSec, 0);
  const mix = jobs.map(({ perSec, serviceSec }) => ({ share: perSec / perStream, serviceSec }));
  return { perSec: streams * perStream, mix };
}

/** Share of the time that the server works: from 1 on, the queue grows for ever. */
export function busyShareOf({ perSec, mix, pause }: SteadyArrivals): number {
  const paused = pause === undefined ? 0 : pause.sec / pause.everyJobs;
  const serviceSec = mix.reduce((sum, kind) => sum + kind.share * kind.serviceSec, paused);
  return utilization({ arrivalsPerSec: perSec, serviceSec });
}

function steadyWaits(arrivals: SteadyArrivals, seed: number): SteadyWaits {
  if (busyShareOf(arrivals) >= 1) return undefined;
  return serve(steadyJobs(arrivals, { jobs: JOBS }, seededRandom(seed)));
}
