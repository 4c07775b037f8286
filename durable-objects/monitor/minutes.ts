/**
 * What happened minute by minute: the last three hours, for charts. Pure but for what it holds.
 */
import { HISTOGRAMS, type CounterName } from "../../protocol/rollup.ts";
import { growthOf, sumOf, type ShardGrowth, type Span } from "./window.ts";

export const MINUTE_MS = 60_000;
/** Minutes that are kept. */
export const MINUTES_KEPT = 180;

export interface Gauges {
  readonly activeStreams: number;
  readonly activeReaders: number;
  readonly bufferedEvents: number;
  /** Of the fullest shard. */
  readonly fillRate: number;
}

/** What happened in a minute. Counters without their labels. */
export interface Minute {
  /** Its beginning. */
  readonly atMs: number;
  readonly counts: Readonly<Partial<Record<CounterName, number>>>;
  /** By shard index. */
  readonly flushFailures: Readonly<Record<string, number>>;
  readonly eventsTaken: number;
  /** Observations of {@link HISTOGRAMS}.resume_latency_ms, by bucket. */
  readonly resumeLatency: readonly number[];
  readonly gauges: Gauges;
}

/** What one look at all shards has found. */
export interface Growth {
  readonly shards: readonly ShardGrowth[];
  readonly eventsTaken: number;
  readonly gauges: Gauges;
}

export class Minutes {
  private readonly minutes: Map<number, Minute>;

  constructor(minutes: readonly Minute[] = []) {
    this.minutes = new Map(minutes.map((minute) => [minute.atMs, minute]));
  }

  /** @returns the minute as it is now */
  add(nowMs: number, { shards, eventsTaken: taken, gauges }: Growth): Minute {
    const atMs = minuteOf(nowMs);
    const before = this.minutes.get(atMs);
    const { counts, flushFailures } = sumOf([...(before === undefined ? [] : [before]), growthOf(shards)]);
    const latencies = shards.map(({ grown }) => grown.histograms.resume_latency_ms?.counts ?? []);
    const resumeLatency = [before?.resumeLatency ?? [], ...latencies].reduce(addCounts);
    const eventsTaken = (before?.eventsTaken ?? 0) + taken;
    const minute = { atMs, counts, flushFailures, eventsTaken, resumeLatency, gauges };
    this.minutes.set(atMs, minute);
    for (const old of this.minutes.keys()) if (old <= forgottenUpto(nowMs)) this.minutes.delete(old);
    return minute;
  }

  /** The oldest first. */
  list(): Minute[] {
    return [...this.minutes.values()].toSorted((left, right) => left.atMs - right.atMs);
  }
}

/** The minute as a part of the past; the present one ends now. */
export function spanOf({ atMs, counts, flushFailures }: Minute, nowMs: number): Span {
  return { endsAtMs: Math.min(atMs + MINUTE_MS, nowMs), counts, flushFailures };
}

/** Minutes that begin here or before are not kept any more. */
export function forgottenUpto(nowMs: number): number {
  return minuteOf(nowMs) - MINUTES_KEPT * MINUTE_MS;
}

function minuteOf(timeMs: number): number {
  return timeMs - (timeMs % MINUTE_MS);
}

function addCounts(left: readonly number[], right: readonly number[]): readonly number[] {
  const [longer, shorter] = left.length >= right.length ? [left, right] : [right, left];
  return longer.map((count, at) => count + (shorter[at] ?? 0));
}

/**
 * The value below which a share of the observations lies, as Prometheus' `histogram_quantile` estimates it:
 * evenly spread within a bucket, and the last bound where it lies above that.
 *
 * @param counts by bucket, not cumulative
 * @returns `null` without observations
 */
export function quantile(
  counts: readonly number[],
  share: number,
  bounds: readonly number[] = HISTOGRAMS.resume_latency_ms,
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let rest = share * total;
  let lower = 0;
  for (const [at, bound] of bounds.entries()) {
    const count = counts[at] ?? 0;
    if (rest <= count) return lower + ((bound - lower) * rest) / Math.max(count, 1);
    rest -= count;
    lower = bound;
  }
  return lower;
}
