/**
 * Results put in a row: each figure over the runs of its class, every run judged by those before it. Pure.
 */
import type { Measure, MeasureSpec } from "./measures.ts";
import type { Reading } from "./readings.ts";
import { judge, type Judgement } from "./regression.ts";

export interface TrendPoint extends Judgement {
  readonly atMs: number;
  readonly value: number;
  readonly commit: string | undefined;
  readonly file: string;
}

/** What users feel comes first. */
const ORDER = ["sse-live", "peers", "bench", "soak", "sim-nightly"];

/** One figure of one class. */
export interface Trend {
  readonly spec: MeasureSpec;
  readonly kind: string;
  readonly runClass: string;
  /** The oldest first; at least one. */
  readonly points: readonly TrendPoint[];
  readonly latest: TrendPoint;
}

/** The same run twice, as a copy beside its original, counts once. */
export function withoutCopies(readings: readonly Reading[]): Reading[] {
  const seen = new Map<string, Reading>();
  for (const reading of readings) {
    const key = JSON.stringify([reading.kind, reading.atMs, reading.runClass, reading.measures]);
    if (!seen.has(key)) seen.set(key, reading);
  }
  return [...seen.values()];
}

export function trendsOf(readings: readonly Reading[]): Trend[] {
  const rows = new Map<string, { measure: Measure; reading: Reading }[]>();
  for (const reading of withoutCopies(readings).toSorted((left, right) => left.atMs - right.atMs)) {
    for (const measure of reading.measures) {
      const key = JSON.stringify([measure.id, reading.runClass]);
      const row = rows.get(key) ?? [];
      rows.set(key, row);
      row.push({ measure, reading });
    }
  }
  const place = ({ kind }: Trend) => ORDER.indexOf(kind);
  return [...rows.values()].flatMap(toTrend).toSorted((left, right) => place(left) - place(right));
}

/** Ended before it could say anything of the service. */
const NO_VERDICT = new Set<string | undefined>([undefined, "interrupted"]);

/** Latest runs of their class that did not pass, whatever they call it. */
export function failedRunsOf(readings: readonly Reading[]): Reading[] {
  const judged = readings.filter(({ verdict }) => !NO_VERDICT.has(verdict));
  const classes = Map.groupBy(judged, ({ kind, runClass }) => JSON.stringify([kind, runClass]));
  const latest = [...classes.values()].flatMap((runs) => runs.toSorted((a, b) => a.atMs - b.atMs).slice(-1));
  return latest.filter(({ verdict }) => verdict !== "passed");
}

/** Those whose latest run is one. */
export function regressionsOf(trends: readonly Trend[]): Trend[] {
  return trends.filter(({ latest }) => latest.verdict === "regression");
}

function toTrend(row: readonly { readonly measure: Measure; readonly reading: Reading }[]): Trend[] {
  const newest = row.at(-1);
  if (newest === undefined) return [];
  // What is worse, and from when on, is for the code of today to say.
  const { value: _, ...spec } = newest.measure;
  const values = row.map(({ measure }) => measure.value);
  const points = row.map(({ measure, reading }, at) => ({
    atMs: reading.atMs,
    value: measure.value,
    commit: reading.commit,
    file: reading.file,
    ...judge(values.slice(0, at), measure.value, spec),
  }));
  const latest = points.at(-1);
  if (latest === undefined) return [];
  return [{ spec, kind: newest.reading.kind, runClass: newest.reading.runClass, points, latest }];
}
