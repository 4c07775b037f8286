/**
 * What happened minute by minute: the last three hours, for charts and for rates over a window. Pure but for
 * what it holds.
 */
import { HISTOGRAMS, type CounterName } from "../../protocol/rollup.ts";
import { COUNTER_NAMES, countOf, type Sums } from "./tally.ts";

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

/** What one look at one shard has added. */
export interface ShardGrowth {
  readonly index: number;
  readonly grown: Sums;
}

/** What one look at all shards has found. */
export interface Growth {
  readonly shards: readonly ShardGrowth[];
  readonly eventsTaken: number;
  readonly gauges: Gauges;
}

/** Sums over a window. */
export interface Window {
  readonly counts: Readonly<Partial<Record<CounterName, number>>>;
  readonly flushFailures: Readonly<Record<string, number>>;
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
    const counts: Partial<Record<CounterName, number>> = { ...before?.counts };
    const flushFailures: Record<string, number> = { ...before?.flushFailures };
    let resumeLatency = before?.resumeLatency ?? [];
    for (const { index, grown } of shards) {
      for (const name of COUNTER_NAMES) {
        const more = countOf(grown, name);
        if (more > 0) counts[name] = (counts[name] ?? 0) + more;
      }
      const failures = countOf(grown, "flush_failures");
      if (failures > 0) flushFailures[index] = (flushFailures[index] ?? 0) + failures;
      resumeLatency = addCounts(resumeLatency, grown.histograms.resume_latency_ms?.counts ?? []);
    }
    const eventsTaken = (before?.eventsTaken ?? 0) + taken;
    const minute = { atMs, counts, flushFailures, eventsTaken, resumeLatency, gauges };
    this.minutes.set(atMs, minute);
    for (const old of this.minutes.keys()) if (old <= forgottenUpto(nowMs)) this.minutes.delete(old);
    return minute;
  }

  /** Of the minutes that lie in the window at least in part. */
  window(nowMs: number, windowMs: number): Window {
    const counts: Partial<Record<CounterName, number>> = {};
    const flushFailures: Record<string, number> = {};
    for (const minute of this.minutes.values()) {
      if (minute.atMs + MINUTE_MS <= nowMs - windowMs) continue;
      for (const name of COUNTER_NAMES) {
        const count = minute.counts[name];
        if (count !== undefined) counts[name] = (counts[name] ?? 0) + count;
      }
      for (const [index, failures] of Object.entries(minute.flushFailures)) {
        flushFailures[index] = (flushFailures[index] ?? 0) + failures;
      }
    }
    return { counts, flushFailures };
  }

  /** The oldest first. */
  list(): Minute[] {
    return [...this.minutes.values()].toSorted((left, right) => left.atMs - right.atMs);
  }
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
