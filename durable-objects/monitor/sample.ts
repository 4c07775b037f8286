/**
 * The service as one look at it has found it. Pure.
 */
import { UNUSED_SHARD, type ShardStatusEntry } from "../../protocol/admin-report.ts";
import type { ShardStatus, TableStatus } from "../../protocol/lake-call.ts";
import type { CounterName } from "../../protocol/rollup.ts";
import { shardName } from "../../protocol/shard-choice.ts";
import type { Gauges } from "./minutes.ts";
import type { ShardDigest } from "./shard-digest.ts";
import type { Window } from "./window.ts";

/** What one shard has answered. */
export interface ShardAnswer {
  readonly index: number;
  /** `undefined` of a shard that never took an event. */
  readonly digest: ShardDigest | undefined;
  readonly status: ShardStatus | undefined;
  /** Whether it has answered this time; otherwise these are its last words. */
  readonly isReachable: boolean;
}

export interface TableAnswer {
  /** `null` where there is none to ask, or it did not answer. */
  readonly status: TableStatus | null;
  readonly error: string | null;
}

export interface Sample {
  readonly atMs: number;
  /** In the order of their indexes. */
  readonly shards: readonly ShardAnswer[];
  readonly table: TableAnswer;
  readonly window: Window;
}

export function statusEntry({ index, status, isReachable }: ShardAnswer): ShardStatusEntry {
  return { name: shardName(index), is_reachable: isReachable, ...(status ?? UNUSED_SHARD) };
}

export function gaugesOf(shards: readonly ShardAnswer[]): Gauges {
  return {
    activeStreams: sumOf(shards, ({ digest }) => digest?.activeStreams ?? 0),
    activeReaders: sumOf(shards, ({ digest }) => digest?.activeReaders ?? 0),
    bufferedEvents: sumOf(shards, ({ status }) => status?.events ?? 0),
    fillRate: Math.max(0, ...shards.map(({ status }) => status?.buffer_fill_rate ?? 0)),
  };
}

export function deadLettersOf(shards: readonly ShardAnswer[]): number {
  return sumOf(shards, ({ status }) => status?.dead_letters ?? 0);
}

export function degradedStreams(shards: readonly ShardAnswer[]): number {
  return sumOf(shards, ({ digest }) => digest?.degradedStreams ?? 0);
}

export function countIn({ counts }: Window, name: CounterName): number {
  return counts[name] ?? 0;
}

/** Of the resumes that succeeded or failed, those aside that anybody could send: they say nothing of our readers. */
export function resumeSuccess(window: Window): { readonly rate: number | null; readonly resumes: number } {
  const successes = countIn(window, "resume_successes");
  const resumes = successes + Math.max(0, countIn(window, "resume_failures") - countIn(window, "forged_resumes"));
  return { rate: resumes === 0 ? null : successes / resumes, resumes };
}

/**
 * Events that were lost to readers: that gave way before any was handed them, or that one was told are missing.
 * One may be both: the larger number is taken. What a buffer gives up that its readers have had is not lost.
 */
export function lostEvents(counts: Window["counts"]): number {
  return Math.max(counts.unread_trimmed_events ?? 0, counts.missing_events ?? 0);
}

/** A share of the source events that came, which are heard of later than what was lost of them. */
export function trimShare({ counts }: Window): { readonly rate: number | null; readonly events: number } {
  const lost = lostEvents(counts);
  const events = Math.max(counts.source_events ?? 0, lost);
  return { rate: events === 0 ? null : lost / events, events };
}

function sumOf(items: readonly ShardAnswer[], value: (item: ShardAnswer) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
