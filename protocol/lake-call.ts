/**
 * What the Worker, the shards and the table object say to each other: RPC with plain results. Both ends
 * are ours and deployed together: these shapes are no public contract, but for the reports, which the
 * admin API passes on as they are.
 */
import type { LakeEvent } from "./lake-event.ts";

/** Where an event was when it was exported. */
export interface EventPlace {
  /** Name of the shard's life. */
  readonly life: string;
  /** From 1. */
  readonly seq: number;
}

export interface AppendCall {
  /** The shard's index: an object does not know the name it was found by. */
  readonly shardIndex: number;
  readonly events: readonly LakeEvent[];
  /**
   * Telemetry of the lake itself, which waits for the next flush that something else causes: otherwise
   * each flush would cause the next one.
   */
  readonly isRiding: boolean;
  /** An operator sends again what had been exported: what it tells of the service was counted when it came first. */
  readonly isReplayed?: boolean;
  /** Of each event, where its line names one: all of an event's lines must come to the same shard. */
  readonly places?: readonly (EventPlace | undefined)[];
}

export type AppendAnswer =
  /** `duplicates` are indexes into the call's events. */
  | { readonly ok: true; readonly accepted: number; readonly duplicates: readonly number[] }
  /** Nothing was taken. */
  | { readonly ok: false; readonly code: "buffer_full"; readonly retryAfterSec: number };

/** What one demanded flush of one shard did. Sizes in bytes. */
export interface ShardFlushReport {
  readonly shard: string;
  readonly events: number;
  readonly files: number;
  readonly bytes: number;
  /** Events that are still in the shard afterwards. */
  readonly remaining: number;
  /** Why it stopped early. */
  readonly error: string | null;
}

export interface ShardStatus {
  readonly shard: string;
  readonly events: number;
  readonly bytes: number;
  /** Buffered events or bytes as a share of what the shard may hold, whichever is more: 0 to 1. */
  readonly buffer_fill_rate: number;
  /** Age of the oldest buffered event. */
  readonly oldest_age_ms: number | null;
  readonly pending_batches: number;
  readonly dead_letters: number;
  readonly last_flush_at: string | null;
  readonly last_error: string | null;
  readonly next_attempt_at: string | null;
}

/** One batch of a shard, its files in the bucket, on its way into a snapshot. */
export interface StageCall {
  readonly shardIndex: number;
  /** Name of the shard's life; batches of one life are staged in the order of their numbers. */
  readonly shard: string;
  readonly batch: number;
  /** JSON of the batch's data files: the table object alone reads them. */
  readonly files: string;
}

/** `withdrawn`: its shard has given this batch up, and it is refused for good. */
export type StageAnswer = "taken" | "withdrawn";

export type CommitReport =
  | {
      readonly ok: true;
      /** Decimal text: 63-bit ids are not exact as JSON numbers. `null` while the table has no rows. */
      readonly snapshot_id: string | null;
      readonly committed_files: number;
      readonly committed_records: number;
      readonly staged_files: number;
    }
  | { readonly ok: false; readonly reason: string; readonly staged_files: number };

export interface TableStatus {
  readonly table: string;
  readonly catalog: "r2" | "rest";
  readonly location: string | null;
  readonly metadata_location: string | null;
  readonly snapshot_id: string | null;
  readonly snapshots: number;
  readonly files: number | null;
  readonly rows: number | null;
  readonly staged_files: number;
  readonly last_commit_at: string | null;
  readonly last_error: string | null;
  readonly next_attempt_at: string | null;
}

/** Whether the table object can use what the table stands on. */
export interface TableProbe {
  readonly catalog: "ok" | "failed";
  readonly bucket: "ok" | "failed";
}

export interface CompactionReport {
  readonly ok: boolean;
  readonly rewritten_files: number;
  readonly added_files: number;
  readonly records: number;
  readonly snapshot_id: string | null;
  /** Small files that one more run would rewrite. */
  readonly remaining_files: number;
  readonly reason: string | null;
}

export interface ExpiryReport {
  readonly ok: boolean;
  readonly expired_snapshots: number;
  readonly deleted_objects: number;
  /** Unreferenced objects that are still too young to delete. */
  readonly kept_young_objects: number;
  readonly reason: string | null;
}
