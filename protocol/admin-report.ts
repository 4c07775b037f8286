/**
 * What the admin API answers about the lake. A public contract: members are added, never changed.
 */
import type { ShardFlushReport, ShardStatus, TableStatus } from "./lake-call.ts";

/** `name` is what the shard is addressed by, `shard` its present life; empty of one that never took an event. */
export type ShardFlushEntry = ShardFlushReport & { readonly name: string };
export type ShardStatusEntry = ShardStatus & { readonly name: string; readonly is_reachable: boolean };

export interface AdminFlushReport {
  /** Whether every shard was flushed and everything is committed. */
  readonly ok: boolean;
  readonly shards: readonly ShardFlushEntry[];
  /** Names of the shards that failed. */
  readonly failed: readonly string[];
  /** Decimal text: 63-bit ids are not exact as JSON numbers. `null` while the table has no rows. */
  readonly snapshot_id: string | null;
  readonly committed_files: number;
  readonly committed_records: number;
  /** Events that are still in a shard. */
  readonly remaining_events: number;
  /** Files that are in the bucket and not yet in the table. */
  readonly staged_files: number;
  readonly commit_error: string | null;
}

export interface AdminStatus {
  readonly sink: "iceberg" | "pipelines";
  readonly shards: readonly ShardStatusEntry[];
  readonly table: TableStatus | null;
  readonly table_error: string | null;
}

/** A shard that never took an event. */
export const UNUSED_SHARD: ShardStatus = {
  shard: "",
  events: 0,
  bytes: 0,
  buffer_fill_rate: 0,
  oldest_age_ms: null,
  pending_batches: 0,
  dead_letters: 0,
  last_flush_at: null,
  last_error: null,
  next_attempt_at: null,
};
