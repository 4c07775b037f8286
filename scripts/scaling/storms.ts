/**
 * A data centre's readers are cut off together and come back together: what that does to the threads that
 * their streams share, and to the shards that are told of it.
 */
import type { Figures } from "./figures.ts";
import { longestWaitOfBurstSec } from "./queueing.ts";
import { seededRandom } from "./random.ts";
import type { ServiceLoad } from "./service-load.ts";
import { burstJobs, serve, type Waits } from "./simulated-queue.ts";
import type { Workload } from "./workload.ts";

const MS_PER_SEC = 1000;
/** Beyond, the exact longest wait is given instead of playing it. */
const PLAYED_MAX = 2_000_000;
const NEVER_THROUGH = {
  shardDrainSec: Number.POSITIVE_INFINITY,
  handOverP50Sec: Number.POSITIVE_INFINITY,
  handOverP99Sec: Number.POSITIVE_INFINITY,
  lateShare: 1,
};

export interface Storm {
  readonly readers: number;
  /** Of a reader for its replay's begin: one of all on its thread. */
  readonly resume: Waits;
  readonly handOversPerShard: number;
  /** Until all shards have taken what they were told. */
  readonly shardDrainSec: number;
  /** Of a hand-over for its shard, at the soft limit of an object. */
  readonly handOverP50Sec: number;
  readonly handOverP99Sec: number;
  /** Share of the hand-overs that wait longer than a stream does before it tries again. */
  readonly lateShare: number;
}

export function stormOf({ workload, shard }: ServiceLoad, figures: Figures): Storm {
  const { streams, readers, stormShare, stormSpreadMs, streamsPerThread, shards, deployments, seed } = workload;
  const cutOff = Math.ceil(streams * readers * stormShare);
  const spreadSec = stormSpreadMs / MS_PER_SEC;
  const onOneThread = Math.min(cutOff, streamsPerThread * readers);
  const resume = serve(
    burstJobs(
      { jobs: onOneThread, withinSec: spreadSec, serviceSec: figures.resumeCpuMs / MS_PER_SEC },
      seededRandom(seed),
    ),
  );
  const handOvers = Math.ceil((cutOff * figures.resumeHandOvers) / shards / deployments);
  return { readers: cutOff, resume, handOversPerShard: handOvers, ...shardBurst(handOvers, shard, workload, figures) };
}

/** Served with what the steady traffic leaves of the object's limit. */
function shardBurst(
  handOvers: number,
  { handOversPerSec }: ServiceLoad["shard"],
  { stormSpreadMs, seed }: Workload,
  figures: Figures,
) {
  // Going and coming are told within a second after each.
  const withinSec = (stormSpreadMs + figures.gatherMs) / MS_PER_SEC;
  const leftPerSec = figures.objectRequestsPerSec - handOversPerSec;
  if (leftPerSec <= 0) return NEVER_THROUGH;
  const serviceSec = 1 / leftPerSec;
  const patienceSec = figures.handOffPatienceMs / MS_PER_SEC;
  if (handOvers <= PLAYED_MAX) {
    const burst = burstJobs({ jobs: handOvers, withinSec, serviceSec }, seededRandom(seed));
    const waits = serve(burst, patienceSec);
    return {
      shardDrainSec: waits.endSec,
      handOverP50Sec: waits.p50Sec,
      handOverP99Sec: waits.p99Sec,
      lateShare: waits.lateShare,
    };
  }
  // So many more than can be served that waits grow in a straight line from the first to the last.
  const longestSec = longestWaitOfBurstSec(handOvers, withinSec, serviceSec);
  return {
    shardDrainSec: handOvers * serviceSec,
    handOverP50Sec: longestSec * 0.5,
    handOverP99Sec: longestSec * 0.99,
    lateShare: Math.max(0, 1 - patienceSec / longestSec),
  };
}
