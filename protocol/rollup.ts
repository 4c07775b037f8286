/**
 * What one shard has seen of the service's own telemetry, summed up. Shards are told every telemetry record
 * exactly once, whichever isolate it came from: their sums are the service's.
 *
 * Counters only grow within one life of a shard (`shard`); a reader of two of them subtracts.
 */
import type { StreamState } from "./stream-call.ts";

/** Names as in `/metrics`, without prefix and `_total`; each with its labels' values in this order. */
export const COUNTERS = {
  /** Records of the service itself, of whatever name. */
  telemetry_events: [],
  /** Records that were held back where they arose, too many of a kind at once; also counted for what they are. */
  telemetry_suppressed_events: ["event"],
  streams_started: ["route"],
  streams_ended: ["route", "state"],
  starts_refused: ["code"],
  resume_attempts: ["route"],
  resume_successes: ["route"],
  /** By problem code; `token_invalid` and the like were refused before any stream was asked. */
  resume_failures: ["code"],
  /** Of those: without a token, or with one that no key of ours has signed. Anybody can cause them. */
  forged_resumes: [],
  /** Events of sources, as far as telemetry of their streams has told: late for quiet streams, never too many. */
  source_events: [],
  trimmed_events: ["reason", "priority"],
  /** Of those: no reader had been handed them. */
  unread_trimmed_events: [],
  folded_events: [],
  trimmed_payloads: [],
  compressed_segments: [],
  gaps: [],
  missing_events: [],
  rewinds: [],
  snapshots: [],
  readers_removed: ["reason"],
  degraded: ["kind"],
  archived_streams: [],
  archive_reads: [],
  archive_failures: ["action"],
  rate_limiter_failures: ["budget"],
  flushes: [],
  flushed_events: [],
  flush_failures: [],
  dead_lettered_events: [],
  commits: ["operation"],
  commit_conflicts: [],
  commit_failures: [],
  telemetry_dropped_events: ["reason"],
  admin_actions: ["action", "result"],
  alerts_fired: ["alert", "severity"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type CounterName = keyof typeof COUNTERS;

/** Upper bounds of buckets in ms; one more bucket holds what is above the last. */
export const HISTOGRAMS = {
  /** From a reader's coming back to its having caught up: `SseResumeLiveStart.catch_up_ms`. */
  resume_latency_ms: [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000],
  stream_duration_ms: [100, 1000, 5000, 15_000, 60_000, 300_000, 900_000, 3_600_000],
  flush_duration_ms: [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000, 60_000],
  commit_duration_ms: [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000, 60_000],
} as const satisfies Readonly<Record<string, readonly number[]>>;

export type HistogramName = keyof typeof HISTOGRAMS;

export interface Histogram {
  /** Observations in each bucket by itself (not cumulative), the one above the last bound included. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** A stream as its telemetry has told of it. Times in ms since 1970. */
export interface KnownStream {
  readonly requestId: string;
  readonly route: string;
  readonly tenant: string;
  /** `streaming` until its end is told. */
  readonly state: StreamState;
  readonly reason: string | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  readonly lastHeardAtMs: number;
  /** Source events it is known to have had, at least; exact once it has ended. */
  readonly events: number;
  readonly trimmedEvents: number;
  readonly foldedEvents: number;
  readonly resumes: number;
  /** As last told, with a token or a removal. 0 once it has ended: its readers are told so and leave. */
  readonly readers: number;
  readonly isDegraded: boolean;
}

export interface FlushNote {
  readonly atMs: number;
  readonly shard: string;
  readonly events: number;
  readonly files: number;
  readonly bytes: number;
  readonly durationMs: number;
  readonly error: string | null;
}

export interface CommitNote {
  readonly atMs: number;
  readonly operation: string;
  readonly snapshotId: string | null;
  readonly files: number;
  readonly records: number;
  readonly attempts: number;
  readonly durationMs: number;
  readonly error: string | null;
}

export interface AdminActionNote {
  readonly atMs: number;
  readonly action: string;
  readonly actor: string;
  readonly result: string;
  readonly target: string | null;
}

export interface ShardRollup {
  /** The shard's life: another one means that counters have begun anew. */
  readonly shard: string;
  readonly index: number;
  /** Label values joined by `|` (`""` where there are none), for each counter that has counted. */
  readonly counters: Readonly<Partial<Record<CounterName, Readonly<Record<string, number>>>>>;
  readonly histograms: Readonly<Partial<Record<HistogramName, Histogram>>>;
  /** Streams that have not ended, as far as is known. */
  readonly activeStreamCount: number;
  /** At most {@link ROLLUP_LIMITS}.activeStreams of them, the newest, the newest first. */
  readonly activeStreams: readonly KnownStream[];
  /** Those that have ended, the newest first. */
  readonly endedStreams: readonly KnownStream[];
  /** Newest first. */
  readonly flushes: readonly FlushNote[];
  readonly commits: readonly CommitNote[];
  readonly adminActions: readonly AdminActionNote[];
}

/** One record told of a stream. */
export interface TimelineEntry {
  readonly atMs: number;
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

/** What one shard keeps at most: below 1 MB as it is saved, a few MB in memory, whatever happens. */
export const ROLLUP_LIMITS = {
  activeStreams: 1000,
  endedStreams: 100,
  notes: 30,
  /** Series of one counter; more label values are counted as `other`. */
  series: 100,
  /** Streams with a timeline, and entries of each, those told last. */
  timelines: 200,
  timelineEntries: 40,
} as const;
