/**
 * What the monitor keeps of one shard's rollup: its lists of streams alone may be a megabyte, and there may be
 * hundreds of shards. Pure.
 */
import type { AdminActionNote, CommitNote, FlushNote, KnownStream, ShardRollup } from "../../protocol/rollup.ts";
import type { ShardTally } from "./tally.ts";

/** Streams each of the report's lists names. */
export const STREAMS_LISTED = 10;

export interface ShardDigest {
  readonly tally: ShardTally;
  readonly activeStreams: number;
  readonly activeReaders: number;
  readonly degradedStreams: number;
  /** Each that may be among the slowest or the largest of the service. */
  readonly streams: readonly KnownStream[];
  readonly flushes: readonly FlushNote[];
  readonly commits: readonly CommitNote[];
  readonly adminActions: readonly AdminActionNote[];
}

/**
 * A degraded stream that nothing was heard of for longer counts no more: what its object lost is perhaps its end,
 * too, and nobody would ever tell.
 */
const DEGRADED_HEARD_MS = 3_600_000;

export function digestOf(rollup: ShardRollup, nowMs: number): ShardDigest {
  const { shard, counters, histograms, activeStreams: active, endedStreams: ended } = rollup;
  const slowest = [
    ...first(active, ({ startedAtMs }) => -startedAtMs),
    ...first(ended, ({ startedAtMs, endedAtMs }) => (endedAtMs ?? startedAtMs) - startedAtMs),
  ];
  const largest = first([...active, ...ended], ({ events }) => events);
  return {
    tally: { shard, counters, histograms },
    activeStreams: rollup.activeStreamCount,
    activeReaders: active.reduce((total, { readers }) => total + readers, 0),
    degradedStreams: active.filter(
      ({ isDegraded, lastHeardAtMs }) => isDegraded && nowMs - lastHeardAtMs < DEGRADED_HEARD_MS,
    ).length,
    streams: [...new Set([...slowest, ...largest])],
    flushes: rollup.flushes,
    commits: rollup.commits,
    adminActions: rollup.adminActions,
  };
}

function first(streams: readonly KnownStream[], measure: (stream: KnownStream) => number): KnownStream[] {
  return streams.toSorted((left, right) => measure(right) - measure(left)).slice(0, STREAMS_LISTED);
}
