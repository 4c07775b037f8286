/**
 * What operators are told of streams, and what the Worker and a stream object say to each other for it.
 * The answers are a public contract: members are added, never changed. Times are ISO 8601, durations in
 * ms, sizes in bytes. Never an event's data, a token or a header.
 */
import type { ReadMode } from "./control-events.ts";
import type { StreamStatus } from "./stream-call.ts";
import type { StreamSummary } from "./stream-summary.ts";

/** What a stream object says of itself when an operator looks. */
export interface StreamInspection {
  readonly status: StreamStatus;
  readonly tenant: string;
  readonly readers: readonly InspectedReader[];
  readonly source: InspectedSource;
  readonly storage: InspectedStorage;
  readonly deadlines: InspectedDeadlines;
  readonly settings: InspectedSettings;
}

export interface InspectedReader {
  /** What it is being sent: `snapshot` until that is sent, then `live`. */
  readonly mode: ReadMode;
  /** Id of the last event it was sent. */
  readonly position: string;
  readonly attached_at: string;
  readonly age_ms: number;
  readonly sent_bytes: number;
  /** For how long it has left lying what it was sent; 0 while it takes it. */
  readonly waiting_ms: number;
}

export interface InspectedSource {
  /** Whether the upstream has answered and has not ended. */
  readonly is_open: boolean;
  /** When it last sent something, if only a comment; null where this life of the object has not heard of it. */
  readonly last_activity_at: string | null;
  /** Since then; null unless it is open. */
  readonly silent_ms: number | null;
}

export interface InspectedStorage {
  readonly is_degraded: boolean;
  /** Events that only memory holds. */
  readonly unstored_bytes: number;
  /** How long the oldest of them has waited, or, while storage refuses, since it was last tried; null without any. */
  readonly oldest_unstored_ms: number | null;
  readonly segments: number;
}

/** When what is due; null where it is not to come. */
export interface InspectedDeadlines {
  readonly keep_alive: string | null;
  readonly sweep: string | null;
  readonly abandon: string | null;
  readonly expire: string | null;
  readonly archive: string | null;
}

/** The settings it was started with. */
export interface InspectedSettings {
  readonly buffer_max_events: number;
  readonly buffer_max_bytes: number;
  readonly event_max_bytes: number;
  readonly commit_interval_ms: number;
  readonly state_ttl_ms: number;
  readonly snapshot_ttl_ms: number;
  readonly resume_ttl_ms: number;
  readonly heartbeat_ms: number;
  readonly retry_ms: number;
  readonly max_readers: number;
  readonly reader_limit_policy: "evict-oldest" | "reject";
  readonly reader_stall_ms: number;
  readonly reader_max_age_ms: number;
  readonly cleanup_interval_ms: number;
  readonly reader_buffer_bytes: number;
  readonly archives: boolean;
}

/** What a stream object did when it was asked to hand over what it holds back. */
export interface StreamHandOver {
  /** Whether storage holds all of its events. */
  readonly isStored: boolean;
  /** Telemetry events that have reached the stream's shard. */
  readonly telemetryEvents: number;
}

/** The stream's part of the answer to `POST /admin/flush?request_id=…`. */
export interface FlushedStream {
  readonly request_id: string;
  readonly stored: boolean;
  readonly telemetry_events: number;
  /** Why it is not known what the stream did. */
  readonly error: string | null;
}

export const STREAM_LISTS = ["recent", "hot", "stuck"] as const;
export type StreamList = (typeof STREAM_LISTS)[number];

/** Why a running stream counts as stuck. */
export type StuckReason = "source_silent" | "reader_waiting" | "not_heard_of";

export type ListedStream = StreamSummary & {
  /** Only where it is stuck. */
  readonly stuck?: StuckReason;
};

export interface AdminStreamList {
  readonly state: StreamList;
  readonly at: string;
  readonly streams: readonly ListedStream[];
  /** Shards that could not be asked: streams whose telemetry goes to them are missing. */
  readonly missing_shards: readonly string[];
}

/** One step of a stream as its telemetry told it: `at`, `event`, and the fields of that event. */
export type TimelineStep = Readonly<Record<string, string | number | boolean | null>>;

interface StreamTimeline {
  /** Oldest first. */
  readonly timeline: readonly TimelineStep[];
  /** Why there may be more than `timeline` shows. */
  readonly timeline_error: string | null;
}

/** The answer to `GET /admin/streams/{request_id}`. */
export type AdminStreamReport =
  | (StreamInspection & StreamTimeline)
  /** Its object holds nothing of it any more. */
  | ({ readonly status: null; readonly summary: StreamSummary | null } & StreamTimeline);
