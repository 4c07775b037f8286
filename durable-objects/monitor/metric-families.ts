/**
 * Every metric of `/metrics`: its name, kind, labels and help text.
 *
 * Names follow https://prometheus.io/docs/practices/naming/: base units, counters end in `_total`.
 */
import { COUNTERS, HISTOGRAMS, type CounterName, type HistogramName } from "../../protocol/rollup.ts";
import { COUNTER_NAMES, HISTOGRAM_NAMES } from "./tally.ts";

export interface MetricFamily {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
}

const PREFIX = "spillway_";
const MS_PER_SEC = 1000;

const COUNTER_HELP: Readonly<Record<CounterName, string>> = {
  telemetry_events: "Records the service told of itself.",
  telemetry_suppressed_events: "Records that were held back, too many of a kind at once, by name.",
  streams_started: "Streams that began.",
  streams_ended: "Streams that ended, by how.",
  starts_refused: "Starts refused before there was a stream, by problem code.",
  resume_attempts: "Resumes that reached their stream.",
  resume_successes: "Resumes that were let in.",
  resume_failures: "Resumes that were refused, by problem code, those refused before their stream was asked included.",
  forged_resumes: "Those of them without a token, or with one that no key has signed.",
  source_events: "Events of sources, as far as telemetry of their streams has told.",
  trimmed_events: "Events that left their buffer before their stream was over, by reason and priority.",
  unread_trimmed_events: "Those of them that no reader had been handed.",
  folded_events: "Events that live on in a later one.",
  trimmed_payloads: "Events that lost verbose fields.",
  compressed_segments: "Stored segments that were deflated.",
  gaps: "Readers told that events are missing.",
  missing_events: "Events those gaps stand for.",
  rewinds: "Readers told that they have seen events that died with their object.",
  snapshots: "Snapshots sent.",
  readers_removed: "Readers that were removed, by reason.",
  degraded: "Streams that went on without resume or without their object, by kind.",
  archived_streams: "Finished streams put into the archive.",
  archive_reads: "Streams read from the archive.",
  archive_failures: "Failures of the archive, by what was tried.",
  rate_limiter_failures: "Calls of a rate limiter that failed, and limited nobody.",
  flushes: "Flushes of event shards that succeeded.",
  flushed_events: "Events those flushes delivered.",
  flush_failures: "Flushes of event shards that failed.",
  dead_lettered_events: "Events that could not be delivered and were set aside.",
  commits: "Commits to the table, by operation.",
  commit_conflicts: "Commits that met another writer's, and were done again.",
  commit_failures: "Commits that failed.",
  telemetry_dropped_events: "Telemetry events that are not in the table, by reason.",
  admin_actions: "Actions of operators, by result.",
  alerts_fired: "Alerts that fired, or changed their severity.",
};

const HISTOGRAM_HELP: Readonly<Record<HistogramName, string>> = {
  resume_latency_ms: "From a reader's coming back to a running stream until it had caught up.",
  stream_duration_ms: "From a stream's beginning to its end.",
  flush_duration_ms: "Length of flushes that succeeded.",
  commit_duration_ms: "Length of commits that succeeded.",
};

function gauge(name: string, help: string, labels: readonly string[] = []): MetricFamily {
  return { name: PREFIX + name, kind: "gauge", labels, help };
}

export const GAUGES = {
  buildInfo: gauge("build_info", "1, with the version that runs.", ["version"]),
  activeStreams: gauge("active_streams", "Streams that have not ended, as far as telemetry has told."),
  activeReaders: gauge("active_readers", "Readers of those streams."),
  degradedStreams: gauge("degraded_streams", "Streams that are going on without resume."),
  shardUp: gauge("shard_up", "Whether the shard answered; if not, what is said of it is its last word.", ["shard"]),
  bufferFill: gauge("buffer_fill_ratio", "Buffered events or bytes as a share of what the shard may hold.", ["shard"]),
  bufferEvents: gauge("buffer_events", "Events in the shard's buffer.", ["shard"]),
  bufferBytes: gauge("buffer_bytes", "Bytes in the shard's buffer.", ["shard"]),
  bufferOldest: gauge("buffer_oldest_event_age_seconds", "Age of the oldest event in the shard's buffer.", ["shard"]),
  pendingBatches: gauge("buffer_pending_batches", "Batches that are sealed and not yet delivered.", ["shard"]),
  deadLetters: gauge("dead_letters", "Dead letters the shard keeps.", ["shard"]),
  tableUp: gauge("table_up", "Whether the catalog could be read and the last commit succeeded."),
  tableFiles: gauge("table_files", "Data files of the table's current snapshot."),
  tableRows: gauge("table_rows", "Rows of the table's current snapshot."),
  tableSnapshots: gauge("table_snapshots", "Snapshots the table keeps."),
  stagedFiles: gauge("table_staged_files", "Data files that are in the bucket and not yet in the table."),
  lastCommit: gauge("table_last_commit_timestamp_seconds", "When something was last committed."),
  alertsFiring: gauge("alerts_firing", "Alerts that fire now.", ["alert", "severity"]),
  webhooksWaiting: gauge("alert_webhooks_waiting", "Messages the alert webhook has not taken yet."),
  lastLook: gauge("monitor_last_look_timestamp_seconds", "When the shards were last asked for these numbers."),
} as const satisfies Readonly<Record<string, MetricFamily>>;

export function counterFamily(name: CounterName): MetricFamily {
  return { name: `${PREFIX}${name}_total`, kind: "counter", labels: COUNTERS[name], help: COUNTER_HELP[name] };
}

export function histogramFamily(name: HistogramName): MetricFamily {
  const inSeconds = `${PREFIX}${name.replace(/_ms$/, "_seconds")}`;
  return { name: inSeconds, kind: "histogram", labels: [], help: HISTOGRAM_HELP[name] };
}

/** Upper bounds in seconds. */
export function boundsOf(name: HistogramName): number[] {
  return HISTOGRAMS[name].map((boundMs) => boundMs / MS_PER_SEC);
}

/** In the order in which they are exported. */
export const METRIC_FAMILIES: readonly MetricFamily[] = [
  ...Object.values(GAUGES),
  ...COUNTER_NAMES.map(counterFamily),
  ...HISTOGRAM_NAMES.map(histogramFamily),
];
