/**
 * Which record counts towards what. A table and its one reader; pure.
 */
import { COUNTERS, type CounterName, type HistogramName } from "../../protocol/rollup.ts";
import { countIn, textIn, type OwnRecord } from "./rollup-record.ts";
import type { RollupSeries } from "./rollup-series.ts";

interface CounterRule {
  readonly counter: CounterName;
  /** The field that says how much; without one, each record is one. */
  readonly by?: string;
  readonly isMeant?: (record: OwnRecord) => boolean;
  /** Whether what was held back before a record that is not meant counts here, too. */
  readonly takesSuppressed?: true;
}

interface HistogramRule {
  readonly histogram: HistogramName;
  readonly of: string;
}

const isGap = (record: OwnRecord) => textIn(record, "kind") === "gap";
const isRewind = (record: OwnRecord) => textIn(record, "kind") === "rewind";
const isBeginning = ({ fields }: OwnRecord) => fields["is_over"] !== true;

/** A key that is not known any more is no forgery: that is what a secret changed wrongly looks like. */
function isForged(record: OwnRecord): boolean {
  const code = textIn(record, "code");
  return code === "token_missing" || (code === "token_invalid" && textIn(record, "reason") !== "unknown_key");
}

/** What was held back was most likely of a flood, and a flood most likely of forgeries: it must not page anybody. */
const FORGED_RESUMES: CounterRule = { counter: "forged_resumes", isMeant: isForged, takesSuppressed: true };

/** Labels are the record's fields of the same names. */
const RULES: Readonly<Record<string, readonly (CounterRule | HistogramRule)[]>> = {
  SseStreamStarted: [{ counter: "streams_started" }],
  SseStreamEnded: [{ counter: "streams_ended" }, { histogram: "stream_duration_ms", of: "duration_ms" }],
  SseStartRefused: [{ counter: "starts_refused" }],
  SseResumeAttempt: [{ counter: "resume_attempts" }],
  SseResumeSuccess: [{ counter: "resume_successes" }],
  SseResumeFailed: [{ counter: "resume_failures" }, FORGED_RESUMES],
  SseResumeLiveStart: [{ histogram: "resume_latency_ms", of: "catch_up_ms" }],
  SseBufferTrimmed: [
    { counter: "trimmed_events", by: "events" },
    { counter: "unread_trimmed_events", by: "unread_events" },
  ],
  SseBufferFolded: [{ counter: "folded_events", by: "folded" }],
  SsePayloadTrimmed: [{ counter: "trimmed_payloads", by: "events" }],
  SseBufferCompressed: [{ counter: "compressed_segments", by: "segments" }],
  SsePartialRecovery: [
    { counter: "gaps", isMeant: isGap },
    { counter: "missing_events", by: "missing_events", isMeant: isGap },
    { counter: "rewinds", isMeant: isRewind },
  ],
  SseSnapshotCreated: [{ counter: "snapshots" }],
  SseReaderRemoved: [{ counter: "readers_removed" }],
  SseDegraded: [{ counter: "degraded", isMeant: isBeginning }],
  SseArchived: [{ counter: "archived_streams" }],
  SseArchiveRead: [{ counter: "archive_reads" }],
  SseArchiveFailed: [{ counter: "archive_failures" }],
  RateLimiterFailed: [{ counter: "rate_limiter_failures", by: "failures" }],
  BufferFlushSucceeded: [
    { counter: "flushes" },
    { counter: "flushed_events", by: "events" },
    { histogram: "flush_duration_ms", of: "duration_ms" },
  ],
  BufferFlushFailed: [{ counter: "flush_failures" }],
  DeadLettered: [{ counter: "dead_lettered_events", by: "events" }],
  IcebergCommitted: [{ counter: "commits" }, { histogram: "commit_duration_ms", of: "duration_ms" }],
  IcebergConflict: [{ counter: "commit_conflicts" }],
  IcebergCommitFailed: [{ counter: "commit_failures" }],
  TelemetryDropped: [{ counter: "telemetry_dropped_events", by: "events" }],
  AdminAction: [{ counter: "admin_actions" }],
  AdminRefused: [{ counter: "admin_actions" }],
  AlertFired: [{ counter: "alerts_fired" }],
};

const NOT_TOLD = "unknown";

export function countRecord(record: OwnRecord, series: RollupSeries): void {
  series.add("telemetry_events", [], 1);
  const suppressed = (countIn(record, "suppressed") ?? 0) + (countIn(record, "untold") ?? 0);
  series.add("telemetry_suppressed_events", [record.event], suppressed);
  const rules = Object.hasOwn(RULES, record.event) ? RULES[record.event] : undefined;
  for (const rule of rules ?? []) {
    if ("histogram" in rule) {
      const value = countIn(record, rule.of);
      if (value !== undefined) series.observe(rule.histogram, value);
      continue;
    }
    const { counter, by, isMeant, takesSuppressed } = rule;
    if (isMeant !== undefined && !isMeant(record)) {
      if (takesSuppressed === true) series.add(counter, [], suppressed);
      continue;
    }
    const labels = COUNTERS[counter].map((name) => textIn(record, name) ?? NOT_TOLD);
    series.add(counter, labels, by === undefined ? 1 : (countIn(record, by) ?? 0));
    // Of what was held back, no more is known than how many it were; each is at least one.
    series.add(counter, COUNTERS[counter].length === 0 ? [] : undefined, suppressed);
  }
}
