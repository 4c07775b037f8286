/**
 * What a run leaves behind: `perf-sse-live-results.json`, `perf-sse-live-windowed.json` and the series as CSV.
 * Pure. Names with underscores are the files' own and read by others: docs/perf-gate.md.
 */
import type { Slope } from "../soak/slope.ts";
import { figuresOf, figuresOfEach, leastOf, mostOf, stretchesOf, type Figures, type Latency } from "./figures.ts";
import type { Failure } from "./judge.ts";
import { WINDOW_SEC, type Limits } from "./limits.ts";
import { loadShareOf, type LoadShare } from "./load-share.ts";
import type { Machine, Versions } from "./machine.ts";
import { memoryGrowthOf } from "./memory-growth.ts";
import type { Sample } from "./samples.ts";

export interface RunRecord {
  readonly date: string;
  readonly command: string;
  readonly samples: readonly Sample[];
  readonly endMs: number;
  readonly failures: readonly Failure[];
  readonly isInterrupted?: boolean;
  /** What its service does not tell, and no rule has seen. */
  readonly notMeasured: readonly string[];
  readonly options: {
    readonly seconds: number;
    readonly streams: number;
    readonly cut_share: number;
    readonly rate: number;
    readonly seed: number;
    readonly url: string | null;
    readonly route: string | null;
  };
  readonly limits: Limits;
  readonly machine: Machine;
  readonly versions: Versions;
}

const SECOND_MS = 1000;

export function resultsOf(run: RunRecord): object {
  const { date, command, failures, options, limits, machine, versions, endMs, samples } = run;
  const growth = memoryGrowthOf(samples, endMs);
  return {
    kind: "sse-live",
    date,
    verdict: verdictOf(run),
    failures: failures.map(roundedFailure),
    not_measured: run.notMeasured,
    command,
    options: { ...options, window_sec: WINDOW_SEC, limits },
    machine,
    versions,
    seconds_run: rounded(endMs / SECOND_MS),
    summary: {
      ...summaryOf(figuresOf(samples, { fromMs: 0, toMs: endMs })),
      load: roundedLoad(loadShareOf(samples, { ...options, endMs })),
      memory_growth_mb: rounded(growth?.growthMb),
      memory_growth_mb_per_hour: rounded(growth?.perHourMb),
      memory_growth_kb_per_request: roundedSlope(growth?.kbPerRequest),
    },
  };
}

export function verdictOf({ failures, isInterrupted }: Pick<RunRecord, "failures" | "isInterrupted">): string {
  if (failures.length > 0) return "failed";
  return isInterrupted === true ? "interrupted" : "passed";
}

export function windowedOf(run: RunRecord): object {
  const { date, failures, samples, endMs } = run;
  const sliding = slidingOf(samples, endMs);
  return {
    kind: "sse-live-windowed",
    date,
    window_sec: WINDOW_SEC,
    windows: stretchesOf(samples, endMs, WINDOW_SEC).map((figures) => ({
      from_sec: rounded(figures.fromSec),
      to_sec: rounded(figures.toSec),
      ...summaryOf(figures),
    })),
    failures: failures.map(roundedFailure),
    worst: {
      min_resume_success_rate: extreme(
        leastOf,
        sliding.map(({ resumeSuccessRate }) => resumeSuccessRate),
      ),
      max_trim_rate: extreme(
        mostOf,
        sliding.map(({ trimRate }) => trimRate),
      ),
      max_error_rate: extreme(
        mostOf,
        sliding.map(({ errorRate }) => errorRate),
      ),
      max_resume_ms: extreme(
        mostOf,
        sliding.map(({ resumeLatencyMs }) => resumeLatencyMs.max),
      ),
    },
    series: seriesOf(samples, endMs),
  };
}

/** One line a second, for spreadsheets. */
export function seriesCsv(samples: readonly Sample[], endMs: number): string {
  const rows = seriesOf(samples, endMs);
  const names = Object.keys(rows[0] ?? {});
  const lines = rows.map((row) => names.map((name) => Reflect.get(row, name) ?? "").join(","));
  return `${[names.join(","), ...lines].join("\n")}\n`;
}

function seriesOf(samples: readonly Sample[], endMs: number) {
  return stretchesOf(samples, endMs, 1).map((figures) => ({
    second: figures.fromSec,
    live_streams: figures.liveStreams?.max ?? null,
    streams_started: figures.streamsStarted,
    streams_completed: figures.streamsCompleted,
    streams_failed: figures.streamsFailed,
    events: figures.events,
    cuts: figures.cuts,
    resumes_sent: figures.resumesSent,
    resumes_settled: figures.resumesSettled,
    resumes_succeeded: figures.resumesSucceeded,
    resume_ms_p50: rounded(figures.resumeLatencyMs.p50),
    resume_ms_p95: rounded(figures.resumeLatencyMs.p95),
    resume_ms_max: rounded(figures.resumeLatencyMs.max),
    trimmed_events: figures.trimmedEvents,
    lost_events: figures.lostEvents,
    gaps: figures.gaps,
    requests: figures.requests,
    errors: figures.errors,
    memory_mb: rounded(figures.memoryMb?.last),
  }));
}

/** Of windows that end with each second. */
export function slidingOf(samples: readonly Sample[], endMs: number): Figures[] {
  const last = Math.floor(endMs / SECOND_MS) - WINDOW_SEC;
  const stretches = Array.from({ length: Math.max(0, last + 1) }, (_, from) => ({
    fromMs: from * SECOND_MS,
    toMs: (from + WINDOW_SEC) * SECOND_MS,
  }));
  return figuresOfEach(samples, stretches);
}

function summaryOf(figures: Figures) {
  const { fromSec, toSec } = figures;
  return {
    streams_started: figures.streamsStarted,
    streams_completed: figures.streamsCompleted,
    streams_failed: figures.streamsFailed,
    cuts: figures.cuts,
    resume_attempts: figures.resumesSettled,
    resume_successes: figures.resumesSucceeded,
    resume_success_rate: rounded(figures.resumeSuccessRate),
    resume_latency_ms: roundedLatency(figures.resumeLatencyMs),
    reconnect_wait_ms: roundedLatency(figures.reconnectWaitMs),
    buffer_trims: figures.lostEvents,
    buffer_trim_rate: rounded(figures.trimRate),
    buffer_trimmed_events: figures.trimmedEvents,
    gaps: figures.gaps,
    missing_events: figures.missingEvents,
    requests: figures.requests,
    errors: figures.errors,
    error_rate: rounded(figures.errorRate),
    error_kinds: figures.errorKinds,
    events_received: figures.events,
    throughput_events_per_sec: toSec > fromSec ? rounded(figures.events / (toSec - fromSec)) : null,
    live_streams: figures.liveStreams,
    memory_mb: roundedMembers(figures.memoryMb),
  };
}

function roundedLatency({ p50, p95, p99, max }: Latency) {
  return { p50: rounded(p50), p95: rounded(p95), p99: rounded(p99), max: rounded(max) };
}

function roundedFailure(failure: Failure) {
  return {
    ...failure,
    from_sec: rounded(failure.from_sec),
    to_sec: rounded(failure.to_sec),
    value: rounded(failure.value),
  };
}

function roundedLoad(load: LoadShare | undefined) {
  return load === undefined
    ? null
    : { live_share: rounded(load.liveShare), delivered_share: rounded(load.deliveredShare) };
}

function roundedSlope(slope: Slope | undefined) {
  return slope === undefined
    ? null
    : { slope: rounded(slope.perX), low: rounded(slope.low), high: rounded(slope.high) };
}

function roundedMembers(memory: Figures["memoryMb"]) {
  return memory === null
    ? null
    : { first: rounded(memory.first), last: rounded(memory.last), max: rounded(memory.max) };
}

function extreme(of: (values: readonly number[]) => number, values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : rounded(of(known));
}

/** Four places: enough for a share, and for ms. */
function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value * 10_000) / 10_000;
}
