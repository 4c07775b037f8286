/**
 * What is amiss in a sample: for each alert its value, and which of its levels it is beyond or clearly back
 * from. Pure; whether that is told is decided in {@link file://./alert-state.ts}.
 */
import type { AlertName, Severity } from "../../protocol/monitor-report.ts";
import type { AlertLevel, AlertSettings } from "../../protocol/monitor-settings.ts";
import { shardName } from "../../protocol/shard-choice.ts";
import { countIn, degradedStreams, resumeSuccess, trimShare, type Sample, type ShardAnswer } from "./sample.ts";

export interface LevelReading {
  readonly severity: Severity;
  readonly threshold: number;
  readonly isOver: boolean;
  /** So far back that it will not be over again at once. Neither over nor clear: it hovers. */
  readonly isClear: boolean;
}

export interface AlertReading {
  readonly alert: AlertName;
  readonly subject: string;
  readonly value: number | null;
  /** From the least to the most severe. */
  readonly levels: readonly LevelReading[];
  /** How long a level must be exceeded before it fires. */
  readonly forMs: number;
  readonly message: string;
}

/** A level is left only at this share of its threshold, or below. */
const CLEAR_SHARE = 0.9;
const MS_PER_MIN = 60_000;

export function readAlerts(sample: Sample, settings: AlertSettings): AlertReading[] {
  return [
    ...sample.shards.flatMap((shard) => shardAlerts(shard, sample, settings)),
    resumeAlert(sample, settings),
    trimAlert(sample, settings),
    catalogAlert(sample, settings),
    ...countAlerts(sample, settings),
  ];
}

/** Of one that has not answered since the monitor began, no more than that is read. */
function shardAlerts(shard: ShardAnswer, sample: Sample, settings: AlertSettings): AlertReading[] {
  return [...bufferAlerts(shard, sample, settings), unreachableAlert(shard, settings)];
}

function unreachableAlert({ index, isReachable }: ShardAnswer, { shardForMs }: AlertSettings): AlertReading {
  const subject = shardName(index);
  return {
    alert: "ShardUnreachable",
    subject,
    value: null,
    levels: [{ severity: "critical", threshold: 0, isOver: !isReachable, isClear: isReachable }],
    forMs: shardForMs,
    message: isReachable ? `${subject} answers.` : `${subject} does not answer: what is said of it is its last word.`,
  };
}

function bufferAlerts(shard: ShardAnswer, { window }: Sample, settings: AlertSettings): AlertReading[] {
  if (shard.status === undefined) return [];
  const { buffer_fill_rate: fillRate, events, last_error: lastError } = shard.status;
  const subject = shardName(shard.index);
  const failures = window.flushFailures[shard.index] ?? 0;
  const failing: LevelReading = {
    severity: "warning",
    threshold: settings.flushFailures,
    isOver: lastError !== null && failures >= settings.flushFailures,
    // Waits between tries grow: that few of them fit into the window does not mean that it works again.
    isClear: lastError === null,
  };
  return [
    {
      alert: "BufferFill",
      subject,
      value: fillRate,
      levels: above(fillRate, settings.fill.levels),
      forMs: settings.fill.forMs,
      message: `${subject} is ${percent(fillRate)} full, with ${events} events.`,
    },
    {
      alert: "FlushFailing",
      subject,
      value: failures,
      levels: [failing],
      forMs: 0,
      message: `Flushes of ${subject} that failed within ${minutes(settings.windowMs)} min: ${failures}.`,
    },
  ];
}

function resumeAlert({ window }: Sample, { resumeSuccess: limits, rateForMs }: AlertSettings): AlertReading {
  const { rate, resumes } = resumeSuccess(window);
  const isTelling = rate !== null && resumes >= limits.minResumes;
  return {
    alert: "ResumeSuccess",
    subject: "streams",
    value: rate,
    levels: limits.levels.map(({ severity, threshold }) => ({
      severity,
      threshold,
      isOver: isTelling && rate < threshold,
      isClear: !isTelling || 1 - rate <= CLEAR_SHARE * (1 - threshold),
    })),
    forMs: rateForMs,
    message: rate === null ? "No reader resumed." : `${percent(rate)} of ${resumes} resumes succeeded.`,
  };
}

function trimAlert({ window }: Sample, { trimRate: limits, rateForMs }: AlertSettings): AlertReading {
  const { rate, events } = trimShare(window);
  const value = events < limits.minEvents ? null : rate;
  return {
    alert: "TrimRate",
    subject: "streams",
    value: rate,
    levels: above(value, limits.levels),
    forMs: rateForMs,
    message: rate === null ? "No source sent an event." : `${percent(rate)} of ${events} events were lost to readers.`,
  };
}

function catalogAlert({ table, window }: Sample, { catalogForMs }: AlertSettings): AlertReading {
  const failures = countIn(window, "commit_failures");
  const error = table.error ?? table.status?.last_error ?? null;
  const level = { severity: "critical" as const, threshold: 0, isOver: error !== null, isClear: error === null };
  return {
    alert: "CatalogFailing",
    subject: "table",
    value: failures,
    levels: [level],
    forMs: catalogForMs,
    message: error === null ? "The catalog answers." : "The table cannot be read or committed to; its status says why.",
  };
}

function countAlerts({ window, shards }: Sample, settings: AlertSettings): AlertReading[] {
  const span = `within ${minutes(settings.windowMs)} min`;
  const letters = countIn(window, "dead_lettered_events");
  // One that began before the window is degraded all the same.
  const degraded = Math.max(countIn(window, "degraded"), degradedStreams(shards));
  const dropped = countIn(window, "telemetry_dropped_events");
  return [
    {
      ...counted("DeadLetters", "lake", letters, settings.deadLetters),
      message: `Events that became dead letters ${span}: ${letters}.`,
    },
    {
      ...counted("Degraded", "streams", degraded, settings.degraded),
      message: `Streams that went on without resume or without their object ${span}: ${degraded}.`,
    },
    {
      ...counted("TelemetryDropped", "service", dropped, settings.telemetryDropped),
      message: `Telemetry events that did not get into the table ${span}: ${dropped}.`,
    },
  ];
}

function counted(alert: AlertName, subject: string, value: number, threshold: number): Omit<AlertReading, "message"> {
  return { alert, subject, value, levels: above(value, [{ severity: "warning", threshold }]), forMs: 0 };
}

/** @param value `null`: there is too little to tell anything from */
function above(value: number | null, levels: readonly AlertLevel[]): LevelReading[] {
  return levels.map(({ severity, threshold }) => ({
    severity,
    threshold,
    isOver: value !== null && value > threshold,
    isClear: value === null || value <= CLEAR_SHARE * threshold,
  }));
}

function percent(rate: number): string {
  return `${Number((rate * 100).toFixed(2))} %`;
}

function minutes(ms: number): number {
  return Number((ms / MS_PER_MIN).toFixed(1));
}
