/**
 * What happened within the last few minutes, to the look: what rates and counts of alerts are taken from. Of the
 * time before this process began only whole minutes are known. Pure but for what it holds.
 */
import type { CounterName } from "../../protocol/rollup.ts";
import { COUNTER_NAMES, countOf, type Sums } from "./tally.ts";

/** What one look at one shard has added. */
export interface ShardGrowth {
  readonly index: number;
  readonly grown: Sums;
}

/** Sums over a window. */
export interface Window {
  readonly counts: Readonly<Partial<Record<CounterName, number>>>;
  /** By shard index. */
  readonly flushFailures: Readonly<Record<string, number>>;
}

/** A part of the past. */
export interface Span extends Window {
  readonly endsAtMs: number;
}

export class SlidingWindow {
  private readonly lengthMs: number;
  private spans: Span[];

  /** @param before what is known of the time before this process began */
  constructor(lengthMs: number, before: readonly Span[] = []) {
    this.lengthMs = lengthMs;
    this.spans = [...before];
  }

  /** Takes in a look's findings, and sums up what is in the window then. */
  add(nowMs: number, shards: readonly ShardGrowth[]): Window {
    const look = growthOf(shards);
    if (Object.keys(look.counts).length > 0) this.spans.push({ endsAtMs: nowMs, ...look });
    this.spans = this.spans.filter(({ endsAtMs }) => endsAtMs > nowMs - this.lengthMs);
    return sumOf(this.spans);
  }
}

/** What one look has found, over all labels and shards. */
export function growthOf(shards: readonly ShardGrowth[]): Window {
  return sumOf(
    shards.map(({ index, grown }) => {
      const counts = COUNTER_NAMES.map((name) => [name, countOf(grown, name)] as const).filter(([, more]) => more > 0);
      const failures = countOf(grown, "flush_failures");
      return { counts: Object.fromEntries(counts), flushFailures: failures === 0 ? {} : { [index]: failures } };
    }),
  );
}

export function sumOf(windows: readonly Window[]): Window {
  const counts: Partial<Record<CounterName, number>> = {};
  const flushFailures: Record<string, number> = {};
  for (const window of windows) {
    for (const name of COUNTER_NAMES) {
      const count = window.counts[name];
      if (count !== undefined) counts[name] = (counts[name] ?? 0) + count;
    }
    for (const [index, failures] of Object.entries(window.flushFailures)) {
      flushFailures[index] = (flushFailures[index] ?? 0) + failures;
    }
  }
  return { counts, flushFailures };
}
