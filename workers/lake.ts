/**
 * The Worker's only way to the lake's objects: shards and the table.
 */
import {
  UNUSED_SHARD,
  type AdminFlushReport,
  type AdminStatus,
  type ShardFlushEntry,
  type ShardStatusEntry,
} from "../protocol/admin-report.ts";
import type {
  AppendAnswer,
  AppendCall,
  CommitReport,
  CompactionReport,
  ExpiryReport,
  ShardFlushReport,
  ShardStatus,
  TableStatus,
} from "../protocol/lake-call.ts";
import type { LakeSettings } from "../protocol/lake-settings.ts";
import { shardName, TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";
import type { Result } from "../protocol/stream-call.ts";
import { within } from "../protocol/timing.ts";

const FLUSHES_AT_ONCE = 2;
/** Whoever asks how things are wants an answer when they are bad, too. */
const SHARD_TIMEOUT_MS = 5_000;
/** The table itself gives the catalog five seconds. */
const TABLE_TIMEOUT_MS = 8_000;
const RETRY_AFTER_SEC = 5;
const TABLE_UNREACHABLE = "the table object cannot be reached";

interface FoundShards {
  readonly indexes: readonly number[];
  /** Why there may be more. */
  readonly error: string | null;
}

export class Lake {
  private readonly shards: Env["EVENT_BUFFER_DO"];
  private readonly tables: Env["ICEBERG_TABLE_DO"];
  private readonly settings: LakeSettings;

  constructor(env: Pick<Env, "EVENT_BUFFER_DO" | "ICEBERG_TABLE_DO">, settings: LakeSettings) {
    this.shards = env.EVENT_BUFFER_DO;
    this.tables = env.ICEBERG_TABLE_DO;
    this.settings = settings;
  }

  /** Rejects where the shard cannot be reached or broke before it answered. */
  async appendToShard(call: AppendCall): Promise<AppendAnswer> {
    try {
      return await this.shard(call.shardIndex).append(call);
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      console.log(JSON.stringify({ event: "InternalError", shard: shardName(call.shardIndex), name }));
      throw error;
    }
  }

  /** Flushes every shard there is, and then commits what they staged. */
  async flushAll(): Promise<AdminFlushReport> {
    return this.flushFound(await this.findShards());
  }

  /** Flushes these shards alone, and then commits what is staged. */
  async flushShards(indexes: readonly number[]): Promise<AdminFlushReport> {
    return this.flushFound({ indexes, error: null });
  }

  private async flushFound({ indexes, error }: FoundShards): Promise<AdminFlushReport> {
    const shards = await this.flushInTurns(indexes);
    const commit = await this.commit();
    const failed = shards.filter((shard) => shard.error !== null).map((shard) => shard.name);
    return {
      ok: failed.length === 0 && error === null && (commit === null || commit.ok),
      shards,
      failed,
      snapshot_id: commit?.ok === true ? commit.snapshot_id : null,
      committed_files: commit?.ok === true ? commit.committed_files : 0,
      committed_records: commit?.ok === true ? commit.committed_records : 0,
      remaining_events: shards.reduce((sum, shard) => sum + shard.remaining, 0),
      staged_files: commit?.staged_files ?? 0,
      commit_error: error ?? (commit?.ok === false ? commit.reason : null),
    };
  }

  async status(): Promise<AdminStatus> {
    const { indexes, error } = await this.findShards();
    const shards = await Promise.all(indexes.map((index) => this.shardStatus(index)));
    const { sink } = this.settings;
    if (sink !== "iceberg" || error !== null) return { sink, shards, table: null, table_error: error };
    try {
      const status: Promise<TableStatus> = this.table.status();
      return { sink, shards, table: await within(status, "the table object", TABLE_TIMEOUT_MS), table_error: null };
    } catch {
      return { sink, shards, table: null, table_error: TABLE_UNREACHABLE };
    }
  }

  /** Takes as long as it takes. */
  async compact(): Promise<Result<CompactionReport>> {
    return reached(this.table.compact());
  }

  /** Takes as long as it takes. */
  async expireSnapshots(keep: number | undefined): Promise<Result<ExpiryReport>> {
    return reached(this.table.expireSnapshots(keep));
  }

  /** `undefined` where another catalog keeps the table. */
  async tableMetadata(): Promise<{ metadataLocation: string; metadata: string } | undefined> {
    return this.table.metadata();
  }

  /** The configured shards, and whichever ever took an event. */
  async findShards(): Promise<FoundShards> {
    const indexes = new Set(Array.from({ length: this.settings.shards }, (_, index) => index));
    try {
      const known: Promise<readonly { readonly index: number }[]> = this.table.listShards();
      for (const { index } of await within(known, "the table object", SHARD_TIMEOUT_MS)) indexes.add(index);
      return { indexes: [...indexes].toSorted((left, right) => left - right), error: null };
    } catch {
      return { indexes: [...indexes], error: TABLE_UNREACHABLE };
    }
  }

  /** A few at a time: objects of one class may share the memory of one isolate. */
  private async flushInTurns(indexes: readonly number[]): Promise<ShardFlushEntry[]> {
    const entries: ShardFlushEntry[] = [];
    for (let at = 0; at < indexes.length; at += FLUSHES_AT_ONCE) {
      const turn = indexes.slice(at, at + FLUSHES_AT_ONCE);
      entries.push(...(await Promise.all(turn.map((index) => this.flushShard(index)))));
    }
    return entries;
  }

  private async flushShard(index: number): Promise<ShardFlushEntry> {
    const nothing: ShardFlushReport = { shard: "", events: 0, files: 0, bytes: 0, remaining: 0, error: null };
    try {
      const report: ShardFlushReport | undefined = await this.shard(index).flush();
      return { name: shardName(index), ...(report ?? nothing) };
    } catch {
      return { name: shardName(index), ...nothing, error: "the shard cannot be reached" };
    }
  }

  private async shardStatus(index: number): Promise<ShardStatusEntry> {
    const name = shardName(index);
    try {
      const asked: Promise<ShardStatus | undefined> = this.shard(index).status();
      const status = await within(asked, "the shard", SHARD_TIMEOUT_MS);
      return { name, is_reachable: true, ...(status ?? UNUSED_SHARD) };
    } catch {
      return { name, is_reachable: false, ...UNUSED_SHARD };
    }
  }

  private async commit(): Promise<CommitReport | null> {
    if (this.settings.sink !== "iceberg") return null;
    try {
      return await this.table.commitNow();
    } catch {
      return { ok: false, reason: TABLE_UNREACHABLE, staged_files: 0 };
    }
  }

  private shard(index: number) {
    return this.shards.getByName(shardName(index));
  }

  private get table() {
    return this.tables.getByName(TABLE_OBJECT_NAME);
  }
}

/** It rejects where the table object is out of reach: what it does itself it answers for. */
async function reached<T>(call: Promise<T>): Promise<Result<T>> {
  try {
    return { ok: true, value: await call };
  } catch {
    const error = { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC, reason: TABLE_UNREACHABLE } as const;
    return { ok: false, error };
  }
}
