/**
 * The monitor's report to operators. Pure.
 */
import type { AlertReport, MonitorNow, MonitorPoint, MonitorReport } from "../../protocol/monitor-report.ts";
import { ROLLUP_LIMITS } from "../../protocol/rollup.ts";
import { summaryOf, type StreamSummary } from "../../protocol/stream-summary.ts";
import { MINUTE_MS, quantile, type Minute } from "./minutes.ts";
import {
  countIn,
  deadLettersOf,
  degradedStreams,
  gaugesOf,
  resumeSuccess,
  statusEntry,
  lostEvents,
  trimShare,
  type Sample,
} from "./sample.ts";
import { STREAMS_LISTED, type ShardDigest } from "./shard-digest.ts";

const LATENCY_SHARE = 0.95;
const MS_PER_SEC = 1000;

export interface ReportParts {
  readonly sample: Sample;
  readonly minutes: readonly Minute[];
  readonly alerts: AlertReport;
  readonly startedAtMs: number;
  readonly windowMs: number;
}

export function monitorReport({ sample, minutes, alerts, startedAtMs, windowMs }: ReportParts): MonitorReport {
  const digests = sample.shards.flatMap(({ digest }) => (digest === undefined ? [] : [digest]));
  return {
    at: iso(sample.atMs),
    started_at: iso(startedAtMs),
    interval_sec: MINUTE_MS / MS_PER_SEC,
    window_sec: windowMs / MS_PER_SEC,
    now: nowOf(sample, windowMs),
    points: minutes.map(toPoint),
    shards: sample.shards.map(statusEntry),
    table: sample.table.status,
    table_error: sample.table.error,
    flushes: newest(digests.flatMap(({ flushes }) => flushes)).map(({ atMs, durationMs, ...note }) => ({
      at: iso(atMs),
      ...note,
      duration_ms: durationMs,
    })),
    commits: newest(digests.flatMap(({ commits }) => commits)).map(({ atMs, snapshotId, durationMs, ...note }) => ({
      at: iso(atMs),
      ...note,
      snapshot_id: snapshotId,
      duration_ms: durationMs,
    })),
    alerts,
    streams: streamLists(digests, sample.atMs),
    admin_actions: newest(digests.flatMap(({ adminActions }) => adminActions)).map(({ atMs, ...note }) => ({
      at: iso(atMs),
      ...note,
    })),
  };
}

function nowOf({ window, shards }: Sample, windowMs: number): MonitorNow {
  const gauges = gaugesOf(shards);
  const resumes = resumeSuccess(window);
  return {
    active_streams: gauges.activeStreams,
    active_readers: gauges.activeReaders,
    streams_per_min: (countIn(window, "streams_started") * MINUTE_MS) / windowMs,
    resume_success_rate: resumes.rate,
    resume_attempts: resumes.resumes,
    trim_rate: trimShare(window).rate,
    folded_events: countIn(window, "folded_events"),
    gaps: countIn(window, "gaps"),
    buffered_events: gauges.bufferedEvents,
    buffer_fill_rate: gauges.fillRate,
    dead_letters: deadLettersOf(shards),
    degraded_streams: degradedStreams(shards),
  };
}

function toPoint({ atMs, counts, eventsTaken, resumeLatency, gauges }: Minute): MonitorPoint {
  return {
    at: iso(atMs),
    streams_started: counts.streams_started ?? 0,
    streams_ended: counts.streams_ended ?? 0,
    active_streams: gauges.activeStreams,
    active_readers: gauges.activeReaders,
    resume_attempts: counts.resume_attempts ?? 0,
    resume_successes: counts.resume_successes ?? 0,
    resume_failures: counts.resume_failures ?? 0,
    source_events: counts.source_events ?? 0,
    trimmed_events: counts.trimmed_events ?? 0,
    lost_events: lostEvents(counts),
    folded_events: counts.folded_events ?? 0,
    gaps: counts.gaps ?? 0,
    events_taken: eventsTaken,
    buffered_events: gauges.bufferedEvents,
    buffer_fill_rate: gauges.fillRate,
    flushes: counts.flushes ?? 0,
    flush_failures: counts.flush_failures ?? 0,
    commits: counts.commits ?? 0,
    commit_failures: counts.commit_failures ?? 0,
    resume_latency_p95_ms: quantile(resumeLatency, LATENCY_SHARE),
  };
}

function streamLists(digests: readonly ShardDigest[], nowMs: number): MonitorReport["streams"] {
  const streams = digests.flatMap((digest) => digest.streams).map((stream) => summaryOf(stream, nowMs));
  const first = (measure: (stream: StreamSummary) => number) =>
    streams.toSorted((left, right) => measure(right) - measure(left)).slice(0, STREAMS_LISTED);
  return { slowest: first((stream) => stream.duration_ms), largest: first((stream) => stream.events) };
}

function newest<T extends { readonly atMs: number }>(notes: readonly T[]): T[] {
  return notes.toSorted((left, right) => right.atMs - left.atMs).slice(0, ROLLUP_LIMITS.notes);
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
