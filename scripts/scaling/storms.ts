/**
 * A data centre's readers are cut off together and come back together: what that does to the threads that
 * their streams share, and to the shards that are told of it. Both have their steady work besides.
 */
import { waitsOfBurst } from "./burst-among.ts";
import type { Figures } from "./figures.ts";
import { handOverSec, type ServiceLoad } from "./service-load.ts";
import { shardArrivals, threadArrivals, type SteadyWaits } from "./waits.ts";

const MS_PER_SEC = 1000;

export interface Storm {
  readonly readers: number;
  /** Of a reader for its replay's begin: one of all on its thread. `undefined`: never, the thread is full anyway. */
  readonly resume: SteadyWaits;
  readonly handOversPerShard: number;
  /** Until all shards have taken what they were told. */
  readonly shardDrainSec: number;
  /** Of a hand-over for its shard. */
  readonly handOverP50Sec: number;
  readonly handOverP99Sec: number;
  /** Share of the hand-overs that wait longer than a stream does before it tries again. */
  readonly lateShare: number;
}

export function stormOf(load: ServiceLoad, figures: Figures): Storm {
  const { streams, readers, stormShare, stormSpreadMs, streamsPerThread, shards, deployments, seed } = load.workload;
  const cutOff = Math.ceil(streams * readers * stormShare);
  const withinSec = stormSpreadMs / MS_PER_SEC;
  const onThread = Math.min(streams, streamsPerThread);
  const resume = waitsOfBurst(
    {
      jobs: Math.min(cutOff, Math.floor(onThread * readers)),
      withinSec,
      serviceSec: figures.resumeCpuMs / MS_PER_SEC,
      steady: threadArrivals(onThread, load.workload, figures),
    },
    seed,
  );
  const handOversPerShard = Math.ceil((cutOff * figures.resumeHandOvers) / shards / deployments);
  return { readers: cutOff, resume, handOversPerShard, ...shardBurst(handOversPerShard, load, figures) };
}

function shardBurst(jobs: number, load: ServiceLoad, figures: Figures) {
  const { stormSpreadMs, seed } = load.workload;
  // Going and coming are told within a second after each.
  const withinSec = (stormSpreadMs + figures.gatherMs) / MS_PER_SEC;
  const waits = waitsOfBurst(
    { jobs, withinSec, serviceSec: handOverSec(figures), steady: shardArrivals(load, figures) },
    seed,
    figures.handOffPatienceMs / MS_PER_SEC,
  );
  return {
    shardDrainSec: waits?.endSec ?? Number.POSITIVE_INFINITY,
    handOverP50Sec: waits?.p50Sec ?? Number.POSITIVE_INFINITY,
    handOverP99Sec: waits?.p99Sec ?? Number.POSITIVE_INFINITY,
    lateShare: waits?.lateShare ?? 1,
  };
}
