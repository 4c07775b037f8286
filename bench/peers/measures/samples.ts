/**
 * What one run of a measure yields, and which figures there are. Pure.
 */
import { spreadOf } from "../../lib/statistics.ts";
import type { Ability } from "../system.ts";

export const MEASURE_NAMES = ["append", "live", "replay", "fan-out", "streams", "memory", "stored"] as const;
export type MeasureName = (typeof MEASURE_NAMES)[number];

export interface Metric {
  readonly id: string;
  readonly measure: MeasureName;
  readonly label: string;
  readonly unit: string;
  readonly better: "more" | "less";
}

/** One figure of one round. */
export interface Sample {
  readonly metric: string;
  readonly value: number;
  /** What was missing or wrong in the run that it comes from. */
  readonly flaws: readonly string[];
  readonly cores?: Cores;
  /** What else was seen, for those who ask: not compared. */
  readonly remark?: string;
}

/** Cores kept busy: 1 is one of them, all the time. */
export interface Cores {
  readonly system: number;
  readonly source: number;
  readonly producers: number;
  readonly readers: number;
}

/** Without which ability a measure is left out. */
export const NEEDED: Readonly<Partial<Record<MeasureName, Ability>>> = {
  replay: "replay",
  "fan-out": "fan-out",
  streams: "many-streams",
  memory: "many-streams",
  stored: "stored-bytes",
};

const metric = (
  measure: MeasureName,
  id: string,
  label: string,
  [unit, better]: readonly [string, Metric["better"]],
): Metric => ({ id, measure, label, unit, better });

const RATE = ["events/s", "more"] as const;
const TIME = ["ms", "less"] as const;

/** In the order of the tables. */
export const METRICS: readonly Metric[] = [
  metric("append", "append-1", "append, 1 connection", RATE),
  metric("append", "append-32-streams", "append, 32 connections, a stream each", RATE),
  metric("append", "append-32", "append, 32 connections onto one stream", RATE),
  metric("live", "live-p50", "live delivery, 100 events/s, p50", TIME),
  metric("live", "live-p99", "live delivery, 100 events/s, p99", TIME),
  metric("replay", "replay-256-first", "replay of 256: first event", TIME),
  metric("replay", "replay-256-last", "replay of 256: last event", TIME),
  metric("replay", "replay-1000-first", "replay of 1,000: first event", TIME),
  metric("replay", "replay-1000-last", "replay of 1,000: last event", TIME),
  metric("fan-out", "fan-out-50", "fan-out to 50 readers", ["delivered/s", "more"]),
  metric("fan-out", "fan-out-200", "fan-out to 200 readers", ["delivered/s", "more"]),
  metric("streams", "streams-delivered", "200 streams at once", ["delivered/s", "more"]),
  metric("streams", "streams-p99", "200 streams at once, delivery p99", TIME),
  metric("memory", "memory-idle", "memory of a live stream, idle", ["KiB", "less"]),
  metric("memory", "memory-256", "memory of a live stream, 256 events", ["KiB", "less"]),
  metric("stored", "stored-256", "stored, of a stream of 256", ["bytes/event", "less"]),
  metric("stored", "stored-1000", "stored, of a stream of 1,000", ["bytes/event", "less"]),
];

/** Of several runs; nothing, where nobody looked. */
export function medianCores(samples: readonly Cores[]): Cores | undefined {
  if (samples.length === 0) return undefined;
  const median = (name: keyof Cores) => spreadOf(samples.map((cores) => cores[name])).median;
  return {
    system: median("system"),
    source: median("source"),
    producers: median("producers"),
    readers: median("readers"),
  };
}

/** @returns why a reader's side of a run was not right; nothing, if it was */
export function flawsOfReading(
  { readers, wholeReaders }: { readonly readers: number; readonly wholeReaders: number },
  what = "readers",
): string[] {
  return wholeReaders === readers ? [] : [`${readers - wholeReaders} of ${readers} ${what} lacked events`];
}

export function flawsOfAppending(refusals: Readonly<Record<string, number>> | undefined): string[] {
  return Object.entries(refusals ?? {}).map(([reason, count]) => `${count} appends: ${reason}`);
}
