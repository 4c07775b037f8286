/**
 * The service's numbers as metrics. Pure.
 */
import { ALERT_NAMES, SEVERITIES, type AlertReport } from "../../protocol/monitor-report.ts";
import { COUNTERS, HISTOGRAMS, type CounterName, type HistogramName } from "../../protocol/rollup.ts";
import { VERSION } from "../../protocol/version.ts";
import { familyText, histogramText, type MetricSample } from "./exposition.ts";
import { boundsOf, counterFamily, GAUGES, histogramFamily, type MetricFamily } from "./metric-families.ts";
import { degradedStreams, gaugesOf, statusEntry, type Sample } from "./sample.ts";
import { COUNTER_NAMES, HISTOGRAM_NAMES, type Sums } from "./tally.ts";

const MS_PER_SEC = 1000;
/** Label values beyond a shard's limit are counted under it. */
const OTHER = "other";

export interface MetricParts {
  readonly sample: Sample;
  readonly sums: Sums;
  readonly alerts: AlertReport;
  readonly webhooksWaiting: number;
}

export function metricsText({ sample, sums, alerts, webhooksWaiting }: MetricParts): string {
  const gauges = [
    ...serviceGauges(sample),
    ...shardGauges(sample),
    ...tableGauges(sample),
    familyText(GAUGES.alertsFiring, firingSamples(alerts)),
    familyText(GAUGES.webhooksWaiting, [plain(webhooksWaiting)]),
    familyText(GAUGES.lastLook, [plain(sample.atMs / MS_PER_SEC)]),
  ];
  const counters = COUNTER_NAMES.map((name) => counterText(name, sums));
  const histograms = HISTOGRAM_NAMES.map((name) => durationText(name, sums));
  return [...gauges, ...counters, ...histograms].join("");
}

function serviceGauges({ shards }: Sample): string[] {
  const gauges = gaugesOf(shards);
  return [
    familyText(GAUGES.buildInfo, [{ labelValues: [VERSION], value: 1 }]),
    familyText(GAUGES.activeStreams, [plain(gauges.activeStreams)]),
    familyText(GAUGES.activeReaders, [plain(gauges.activeReaders)]),
    familyText(GAUGES.degradedStreams, [plain(degradedStreams(shards))]),
  ];
}

function shardGauges({ shards }: Sample): string[] {
  const entries = shards.map(statusEntry);
  // A shard that has never answered says nothing of itself.
  const known = shards.filter(({ status, isReachable }) => status !== undefined || isReachable).map(statusEntry);
  const perShard = (family: MetricFamily, value: (entry: (typeof entries)[number]) => number): string => {
    return familyText(
      family,
      known.map((entry) => ({ labelValues: [entry.name], value: value(entry) })),
    );
  };
  const up = entries.map(({ name, is_reachable: isUp }) => ({ labelValues: [name], value: isUp ? 1 : 0 }));
  return [
    familyText(GAUGES.shardUp, up),
    perShard(GAUGES.bufferFill, (entry) => entry.buffer_fill_rate),
    perShard(GAUGES.bufferEvents, (entry) => entry.events),
    perShard(GAUGES.bufferBytes, (entry) => entry.bytes),
    perShard(GAUGES.bufferOldest, (entry) => (entry.oldest_age_ms ?? 0) / MS_PER_SEC),
    perShard(GAUGES.pendingBatches, (entry) => entry.pending_batches),
    perShard(GAUGES.deadLetters, (entry) => entry.dead_letters),
  ];
}

/** A number nobody knows just now is left out. */
function tableGauges({ table: { status, error } }: Sample): string[] {
  const maybe = (value: number | null | undefined) => (value === null || value === undefined ? [] : [plain(value)]);
  const hasTable = status !== null || error !== null;
  const isUp = error === null && status?.last_error === null;
  const lastCommitMs = typeof status?.last_commit_at === "string" ? Date.parse(status.last_commit_at) : null;
  return [
    familyText(GAUGES.tableUp, hasTable ? [plain(isUp ? 1 : 0)] : []),
    familyText(GAUGES.tableFiles, maybe(status?.files)),
    familyText(GAUGES.tableRows, maybe(status?.rows)),
    familyText(GAUGES.tableSnapshots, maybe(status?.snapshots)),
    familyText(GAUGES.stagedFiles, maybe(status?.staged_files)),
    familyText(GAUGES.lastCommit, maybe(lastCommitMs === null ? null : lastCommitMs / MS_PER_SEC)),
  ];
}

/** Also those that do not fire, so that a dashboard has a line to draw. */
function firingSamples({ firing }: AlertReport): MetricSample[] {
  return ALERT_NAMES.flatMap((alert) =>
    SEVERITIES.map((severity) => {
      const value = firing.filter((found) => found.alert === alert && found.severity === severity).length;
      return { labelValues: [alert, severity], value };
    }),
  );
}

function counterText(name: CounterName, { counters }: Sums): string {
  const family = counterFamily(name);
  const labels = COUNTERS[name];
  if (labels.length === 0) return familyText(family, [plain(counters[name]?.[""] ?? 0)]);
  const samples = new Map<string, MetricSample>();
  for (const [joined, count] of Object.entries(counters[name] ?? {})) {
    const labelValues = labelValuesOf(joined, labels.length);
    const key = labelValues.join("|");
    // The same labels twice would make a scrape fail as a whole.
    samples.set(key, { labelValues, value: count + (samples.get(key)?.value ?? 0) });
  }
  const keys = [...samples.keys()].toSorted();
  return familyText(
    family,
    keys.flatMap((key) => samples.get(key) ?? []),
  );
}

function durationText(name: HistogramName, { histograms }: Sums): string {
  const { counts, sum } = histograms[name] ?? { counts: HISTOGRAMS[name].map(() => 0), sum: 0 };
  return histogramText(histogramFamily(name), { bounds: boundsOf(name), counts, sum: sum / MS_PER_SEC });
}

/** The last one takes what is left, where a value holds the separator itself. */
function labelValuesOf(joined: string, count: number): string[] {
  if (joined === OTHER) return Array.from({ length: count }, () => OTHER);
  const parts = joined.split("|");
  return [...parts.slice(0, count - 1), parts.slice(count - 1).join("|")];
}

function plain(value: number): MetricSample {
  return { labelValues: [], value };
}
