/**
 * What the monitor says of the service: the answers of `/admin/overview` and `/admin/alerts`. A public
 * contract: members are added, never changed. Times are ISO 8601, durations ms, sizes bytes, rates 0 to 1.
 */
import type { ShardStatusEntry } from "./admin-report.ts";
import type { TableStatus } from "./lake-call.ts";
import type { StreamSummary } from "./stream-summary.ts";

export const ALERT_NAMES = [
  "BufferFill",
  "ResumeSuccess",
  "TrimRate",
  "FlushFailing",
  "ShardUnreachable",
  "CatalogFailing",
  "DeadLetters",
  "Degraded",
  "TelemetryDropped",
] as const;

export type AlertName = (typeof ALERT_NAMES)[number];

/** From the least to the most. */
export const SEVERITIES = ["info", "warning", "critical"] as const;

export type Severity = (typeof SEVERITIES)[number];

export interface Alert {
  /** `Test` is what an operator sends to see whether alerts arrive. */
  readonly alert: AlertName | "Test";
  readonly severity: Severity;
  /** What it is about: a shard's name, or `streams`, `lake`, `table`, `service`. */
  readonly subject: string;
  readonly value: number | null;
  readonly threshold: number;
  /** When it began to fire, at whatever severity. */
  readonly since: string;
  readonly resolved_at: string | null;
  readonly message: string;
  /** Its section of the runbook. */
  readonly runbook: string;
}

export interface AlertReport {
  readonly firing: readonly Alert[];
  /** Resolved ones, the newest first. */
  readonly recent: readonly Alert[];
}

export interface TestAlertReport {
  /** Whether ALERT_WEBHOOK_URL is set; without one the log alone has it. */
  readonly has_webhook: boolean;
  readonly delivered: boolean;
  /** What the webhook answered; `null` where there is none, or where it did not answer. */
  readonly status: number | null;
}

/** Over the last {@link MonitorReport.window_sec}; gauges as they are now. */
export interface MonitorNow {
  readonly active_streams: number;
  readonly active_readers: number;
  readonly streams_per_min: number;
  /** Of the resumes that succeeded or failed; `null` where there were none. */
  readonly resume_success_rate: number | null;
  /** Resumes that succeeded or failed. */
  readonly resume_attempts: number;
  /** Events that were dropped, of those that came; `null` where none came. */
  readonly trim_rate: number | null;
  readonly folded_events: number;
  readonly gaps: number;
  readonly buffered_events: number;
  /** Of the fullest shard. */
  readonly buffer_fill_rate: number;
  readonly dead_letters: number;
  readonly degraded_streams: number;
}

/** One minute: counts of what happened in it, and gauges as they were at its last look. */
export interface MonitorPoint {
  readonly at: string;
  readonly streams_started: number;
  readonly streams_ended: number;
  readonly active_streams: number;
  readonly active_readers: number;
  readonly resume_attempts: number;
  readonly resume_successes: number;
  readonly resume_failures: number;
  readonly source_events: number;
  readonly trimmed_events: number;
  /** Given up before any reader was handed them, or told to a reader as missing: what the trim rate is of. */
  readonly lost_events: number;
  readonly folded_events: number;
  readonly gaps: number;
  readonly events_taken: number;
  readonly buffered_events: number;
  readonly buffer_fill_rate: number;
  readonly flushes: number;
  readonly flush_failures: number;
  readonly commits: number;
  readonly commit_failures: number;
  readonly resume_latency_p95_ms: number | null;
}

export interface FlushEntry {
  readonly at: string;
  readonly shard: string;
  readonly events: number;
  readonly files: number;
  readonly bytes: number;
  readonly duration_ms: number;
  readonly error: string | null;
}

export interface CommitEntry {
  readonly at: string;
  readonly operation: string;
  readonly snapshot_id: string | null;
  readonly files: number;
  readonly records: number;
  readonly attempts: number;
  readonly duration_ms: number;
  readonly error: string | null;
}

export interface AdminActionEntry {
  readonly at: string;
  readonly action: string;
  readonly actor: string;
  readonly result: string;
  readonly target: string | null;
}

export interface MonitorReport {
  readonly at: string;
  /** When the monitor began to watch. */
  readonly started_at: string;
  readonly interval_sec: number;
  readonly window_sec: number;
  readonly now: MonitorNow;
  /** The oldest first; a minute in which nobody looked is missing. */
  readonly points: readonly MonitorPoint[];
  /** Of a shard out of reach: its last values, where there are any. */
  readonly shards: readonly ShardStatusEntry[];
  readonly table: TableStatus | null;
  readonly table_error: string | null;
  readonly flushes: readonly FlushEntry[];
  readonly commits: readonly CommitEntry[];
  readonly alerts: AlertReport;
  readonly streams: { readonly slowest: readonly StreamSummary[]; readonly largest: readonly StreamSummary[] };
  readonly admin_actions: readonly AdminActionEntry[];
}
