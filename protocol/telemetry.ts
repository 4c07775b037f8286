/**
 * Telemetry events: their names and fields (the contract of logs, table and runbook), and the one
 * function that makes a log line of them. Never a token, a secret or a payload.
 */
import type { DegradedKind } from "./control-events.ts";
import type { ErrorCode, TokenFault } from "./errors.ts";
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
  | { readonly event: "SseResumeIssued"; readonly position: string }
  | { readonly event: "SseResumeAttempt"; readonly position: string }
  | { readonly event: "SseResumeSuccess"; readonly position: string; readonly replayed_events: number }
  | { readonly event: "SseResumeFailed"; readonly code: ErrorCode; readonly reason?: TokenFault }
  | { readonly event: "SseResumeLiveStart"; readonly position: string; readonly catch_up_ms: number }
  | { readonly event: "SseResumeLiveEnd"; readonly state: StreamState; readonly duration_ms: number }
  | {
      readonly event: "SseBufferTrimmed";
      readonly seq: number;
      readonly priority: PriorityName;
      readonly reason: "max_events" | "max_bytes" | "storage_lost";
      readonly events: number;
      readonly bytes: number;
    }
  | {
      readonly event: "SsePartialRecovery";
      readonly kind: "gap" | "rewind";
      readonly position: string;
      readonly missing_events: number;
    }
  | { readonly event: "SseReaderRemoved"; readonly reason: ReaderRemovalReason; readonly age_ms: number }
  | { readonly event: "SseDegraded"; readonly kind: DegradedKind; readonly is_over?: true };

/** Who an event is about. */
export interface TelemetrySubject {
  readonly request_id: string;
  readonly route: string;
  readonly tenant: string;
  readonly correlation_id?: string;
}

export type TelemetryRecord = StreamTelemetry & Partial<TelemetrySubject> & { readonly time: string };

/** Takes a record; must not throw and must not block a stream. */
export type TelemetrySink = (record: TelemetryRecord) => void;

/** Most log lines per kind and second in one isolate; the rest is counted, not written. */
const LINES_PER_KIND_AND_SEC = 50;

interface KindWindow {
  startMs: number;
  lines: number;
  suppressed: number;
}

/**
 * One JSON line per record, at most {@link LINES_PER_KIND_AND_SEC} per kind and second. The first
 * line after a flood carries `suppressed`: how many of its kind were not written.
 */
export function createLogSink(write: (line: string) => void): TelemetrySink {
  const windows = new Map<string, KindWindow>();
  return (record) => {
    const nowMs = Date.parse(record.time);
    const window = windows.get(record.event) ?? { startMs: nowMs, lines: 0, suppressed: 0 };
    windows.set(record.event, window);
    if (nowMs - window.startMs >= 1000 || nowMs < window.startMs) {
      window.startMs = nowMs;
      window.lines = 0;
    }
    if (window.lines >= LINES_PER_KIND_AND_SEC) {
      window.suppressed++;
      return;
    }
    window.lines++;
    write(JSON.stringify(window.suppressed === 0 ? record : { ...record, suppressed: window.suppressed }));
    window.suppressed = 0;
  };
}
