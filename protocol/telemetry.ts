/**
 * Telemetry events: their names and fields (the contract of logs, table and runbook), and the one
 * function that makes a log line of them. Never a token, a secret or a payload.
 */
import type { DegradedKind } from "./control-events.ts";
import type { ErrorCode, RateBudget, TokenFault } from "./errors.ts";
import type { PriorityName } from "./priority.ts";
import type { StreamState } from "./stream-call.ts";

export type ReaderRemovalReason = "evicted" | "stalled" | "max_age" | "disconnected" | "fell_behind" | "stream_expired";

/** Event-specific fields. Durations in ms, sizes in bytes, ids as `<epoch>-<seq>`. */
export type StreamTelemetry =
  | { readonly event: "SseStreamStarted" }
  | {
      readonly event: "SseStreamEnded";
      readonly state: StreamState;
      readonly reason: string | null;
      readonly duration_ms: number;
      readonly events: number;
      readonly trimmed_events: number;
      readonly resumes: number;
    }
  /** Before there was a stream: the caller is over its budget. */
  | { readonly event: "SseStartRefused"; readonly code: ErrorCode }
  /** With the number of readers and of source events at the time. */
  | { readonly event: "SseResumeIssued"; readonly position: string; readonly readers: number; readonly events: number }
  | { readonly event: "SseResumeAttempt"; readonly position: string }
  | { readonly event: "SseResumeSuccess"; readonly position: string; readonly replayed_events: number }
  | { readonly event: "SseResumeFailed"; readonly code: ErrorCode; readonly reason?: TokenFault }
  | { readonly event: "SseResumeLiveStart"; readonly position: string; readonly catch_up_ms: number }
  | { readonly event: "SseResumeLiveEnd"; readonly state: StreamState; readonly duration_ms: number }
  | {
      readonly event: "SseBufferTrimmed";
      readonly seq: number;
      readonly priority: PriorityName;
      readonly reason: "max_events" | "max_bytes" | "storage_lost" | "sampled";
      readonly events: number;
      /** Those of them that no reader had been handed. */
      readonly unread_events: number;
      readonly bytes: number;
      readonly message: "buffer_trimmed";
    }
  /** `events` source events up to `seq` were looked at, `folded` of them live on in a later one. */
  | {
      readonly event: "SseBufferFolded";
      readonly seq: number;
      readonly events: number;
      readonly folded: number;
      readonly saved_bytes: number;
      readonly message: "Applied event folding";
    }
  | {
      readonly event: "SsePayloadTrimmed";
      readonly seq: number;
      readonly events: number;
      readonly saved_bytes: number;
      readonly message: "Applied payload trimming";
    }
  | {
      readonly event: "SseBufferCompressed";
      readonly seq: number;
      readonly segments: number;
      readonly saved_bytes: number;
      readonly message: "Applied event compression";
    }
  /** A reader was sent what the stream held as one event. */
  | {
      readonly event: "SseSnapshotCreated";
      readonly position: string;
      readonly entries: number;
      readonly bytes: number;
      readonly missing_events: number;
    }
  | { readonly event: "SseArchived"; readonly segments: number; readonly bytes: number; readonly duration_ms: number }
  | { readonly event: "SseArchiveRead"; readonly segments: number; readonly bytes: number }
  | {
      readonly event: "SseArchiveFailed";
      readonly action: "keep" | "read";
      readonly reason: string;
      /** The stream is deleted now, and not in the archive. */
      readonly is_final: boolean;
    }
  | {
      readonly event: "SsePartialRecovery";
      readonly kind: "gap" | "rewind";
      readonly position: string;
      readonly missing_events: number;
    }
  /** `bytes` were sent to it; `readers` are left, `events` are the source's so far. */
  | {
      readonly event: "SseReaderRemoved";
      readonly reason: ReaderRemovalReason;
      readonly age_ms: number;
      readonly bytes: number;
      readonly readers: number;
      readonly events: number;
    }
  | { readonly event: "SseDegraded"; readonly kind: DegradedKind; readonly is_over?: true };

/** Kinds of which several may share a record. */
export type GatheredTelemetry = Extract<
  StreamTelemetry,
  { event: "SseBufferTrimmed" | "SseBufferFolded" | "SsePayloadTrimmed" | "SseBufferCompressed" }
>;

/** What the lake does. `shard` is the name of a shard's life, sizes in bytes, durations in ms. */
export type LakeTelemetry =
  | { readonly event: "BufferFillRate"; readonly shard: string; readonly fill_rate: number; readonly events: number }
  | { readonly event: "BufferFlushStarted"; readonly shard: string; readonly events: number }
  | {
      readonly event: "BufferFlushSucceeded";
      readonly shard: string;
      readonly events: number;
      readonly files: number;
      readonly bytes: number;
      readonly duration_ms: number;
    }
  | {
      readonly event: "BufferFlushFailed";
      readonly shard: string;
      readonly batch: number;
      readonly attempts: number;
      readonly reason: string;
      readonly retry_ms: number;
    }
  /** An operator has emptied the shard; what was dropped lies in the bucket, in `exports` objects. */
  | {
      readonly event: "BufferReset";
      readonly shard: string;
      readonly events: number;
      readonly bytes: number;
      readonly exports: number;
      readonly delivered_events: number;
      readonly kept_events: number;
    }
  | { readonly event: "DeadLettered"; readonly shard: string; readonly events: number; readonly reason: string }
  | {
      readonly event: "IcebergCommitted";
      readonly operation: "append" | "replace" | "expire";
      readonly snapshot_id: string | null;
      readonly files: number;
      readonly records: number;
      readonly attempts: number;
      readonly duration_ms: number;
    }
  | { readonly event: "IcebergConflict"; readonly reason: string; readonly attempts: number }
  | { readonly event: "IcebergCommitFailed"; readonly reason: string; readonly attempts: number }
  /** A turn of a day's work on the table. */
  | { readonly event: "IcebergMaintenanceFailed"; readonly step: "sweep" | "compact"; readonly reason: string }
  /** Events that could not be handed to a shard: `reason` says why they are not in the table. */
  | { readonly event: "TelemetryDropped"; readonly events: number; readonly reason: "queue_full" | "not_delivered" }
  /** By somebody who was let in: what was done, or could not be looked at. */
  | {
      readonly event: "AdminAction";
      readonly action: string;
      /** As configured. */
      readonly actor: string;
      /** The answer's status. */
      readonly result: string;
      /** A shard or a request id, where the action is on one. */
      readonly target?: string;
    }
  /** Nothing was done. Of a kind of its own: a flood of refusals must not hide what is done meanwhile. */
  | {
      readonly event: "AdminRefused";
      readonly action: string;
      /** `unknown`, but where another site used somebody's credential. */
      readonly actor: string;
      /** The problem's code. */
      readonly result: string;
      /** Refusals before this one that were too many to tell. */
      readonly untold?: number;
    }
  /** An alert fires, or does so at another severity. `value` as the alert measures it; `null` where there is none. */
  | ({ readonly event: "AlertFired" } & AlertTelemetry)
  | ({ readonly event: "AlertResolved" } & AlertTelemetry)
  /** A message that the alert webhook did not take, and that is not sent again. */
  | {
      readonly event: "AlertWebhookFailed";
      readonly message_id: string;
      readonly tries: number;
      readonly reason: string;
    };

interface AlertTelemetry {
  readonly alert: string;
  readonly severity: "info" | "warning" | "critical";
  /** What it is about: a shard's name, or `streams`, `lake`, `table`, `service`. */
  readonly subject: string;
  readonly value: number | null;
  readonly threshold: number;
  readonly message: string;
}

/** What the Worker itself does. */
interface EdgeTelemetry {
  /** A rate limiter broke, and nobody was limited by it. */
  readonly event: "RateLimiterFailed";
  readonly budget: RateBudget;
  /** The error's name. */
  readonly reason: string;
  /** Since it was last told, this one included. */
  readonly failures: number;
}

/** Of a kind that nothing more was told of since: how many records the volume limit held back. */
interface LimitTelemetry {
  readonly event: "TelemetrySuppressed";
  readonly kind: string;
  readonly suppressed: number;
}

type Telemetry = StreamTelemetry | LakeTelemetry | EdgeTelemetry | LimitTelemetry;

/** Who an event is about. */
export interface TelemetrySubject {
  readonly request_id: string;
  readonly route: string;
  readonly tenant: string;
  readonly correlation_id?: string;
}

export type TelemetryRecord = Telemetry & Partial<TelemetrySubject> & { readonly time: string };

/** Takes a record; must not throw and must not block a stream. */
export type TelemetrySink = (record: TelemetryRecord) => void;

/** Most records per kind and second that one isolate passes on; the rest is counted. */
const RECORDS_PER_KIND_AND_SEC = 50;
/** Told whatever comes: it takes a credential to cause one, and none may be hidden behind others. */
const UNLIMITED_KIND: TelemetryRecord["event"] = "AdminAction";
const WINDOW_MS = 1000;

interface KindWindow {
  startMs: number;
  passed: number;
  suppressed: number;
}

/**
 * One JSON line per record, at most {@link RECORDS_PER_KIND_AND_SEC} per kind and second; of what operators do, all. The first
 * line after a flood carries `suppressed`: how many of its kind were not written. Where the next line is of
 * another kind, a `TelemetrySuppressed` before it says so.
 */
export function createLogSink(write: (line: string) => void): TelemetrySink {
  return limitPerKind((record, suppressed) =>
    write(JSON.stringify(suppressed === 0 ? record : { ...record, suppressed })),
  );
}

/** Passes on what is within the limit, and all of {@link UNLIMITED_KIND}, with how many of the same kind were held back before it. */
export function limitPerKind(pass: (record: TelemetryRecord, suppressed: number) => void): TelemetrySink {
  const windows = new Map<string, KindWindow>();
  return (record) => {
    const nowMs = Date.parse(record.time);
    const window = windows.get(record.event) ?? { startMs: nowMs, passed: 0, suppressed: 0 };
    windows.set(record.event, window);
    for (const [kind, held] of windows) {
      if (kind === record.event || held.suppressed === 0 || nowMs - held.startMs < WINDOW_MS) continue;
      pass({ event: "TelemetrySuppressed", kind, suppressed: held.suppressed, time: record.time }, 0);
      held.suppressed = 0;
    }
    if (nowMs - window.startMs >= WINDOW_MS || nowMs < window.startMs) {
      window.startMs = nowMs;
      window.passed = 0;
    }
    if (window.passed >= RECORDS_PER_KIND_AND_SEC && record.event !== UNLIMITED_KIND) {
      window.suppressed++;
      return;
    }
    window.passed++;
    pass(record, window.suppressed);
    window.suppressed = 0;
  };
}
