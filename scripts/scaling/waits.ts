/**
 * How long things wait: telemetry for its shard, an event for the thread that its object shares with others.
 * Played through by simulated-queue.ts; what has an exact answer is held against it in agreement.ts.
 */
import type { Figures } from "./figures.ts";
import { utilization } from "./queueing.ts";
import { seededRandom } from "./random.ts";
import type { ServiceLoad } from "./service-load.ts";
import { serve, steadyJobs, type SteadyArrivals, type Waits } from "./simulated-queue.ts";

const US_PER_SEC = 1_000_000;
const MS_PER_SEC = 1000;
/** Enough that the 99th percentile has hundreds beyond it. */
const JOBS = 50_000;

/** `undefined` where more comes than can be served: there is no steady wait. */
export type SteadyWaits = Waits | undefined;

/** Of a hand-over until its shard takes it: behind others, and behind the writing of files. */
export function shardWaits({ shard, workload }: ServiceLoad, figures: Figures): SteadyWaits {
  const perJobUs = figures.handOverCpuUs - shard.traffic.events * figures.encodeUs;
  const rows = shard.rowsPerFile;
  return steadyWaits(
    {
      perSec: shard.handOversPerSec,
      jobs: JOBS,
      serviceSec: perJobUs / US_PER_SEC,
      pause: {
        everyJobs: Math.max(1, Math.round(rows / shard.traffic.events)),
        sec: (rows * figures.encodeUs) / US_PER_SEC,
      },
    },
    workload.seed,
  );
}

/** Of an event for its thread, where so many streams share one. */
export function threadWaits(streamsPerThread: number, { workload }: ServiceLoad, figures: Figures): SteadyWaits {
  return steadyWaits(threadArrivals(streamsPerThread, workload, figures), workload.seed);
}

/** An event is one job for all readers of it; starts and ends are jobs as well. */
function threadArrivals(
  streamsPerThread: number,
  { eventsPerSec, readers, streamSec }: ServiceLoad["workload"],
  figures: Figures,
): SteadyArrivals {
  const perStream = eventsPerSec + 1 / streamSec;
  const cpuSec =
    (eventsPerSec * readers * figures.eventCpuUs) / US_PER_SEC + figures.streamCpuMs / MS_PER_SEC / streamSec;
  return { perSec: streamsPerThread * perStream, jobs: JOBS, serviceSec: cpuSec / perStream };
}

function steadyWaits(arrivals: SteadyArrivals, seed: number): SteadyWaits {
  const { perSec, serviceSec, pause } = arrivals;
  const paused = pause === undefined ? 0 : pause.sec / pause.everyJobs;
  if (utilization({ arrivalsPerSec: perSec, serviceSec: serviceSec + paused }) >= 1) return undefined;
  return serve(steadyJobs(arrivals, seededRandom(seed)));
}
