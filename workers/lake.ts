/**
 * The Worker's only way to the lake's objects: shards and the table.
 */
import type { AdminFlushReport, AdminStatus, ShardFlushEntry, ShardStatusEntry } from "../protocol/admin-report.ts";
import type {
  AppendAnswer,
  AppendCall,
  CommitReport,
  CompactionReport,
  ExpiryReport,
  ShardFlushReport,
  ShardStatus,
} from "../protocol/lake-call.ts";
import type { LakeSettings } from "../protocol/lake-settings.ts";
import { shardName, TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";

const FLUSHES_AT_ONCE = 2;

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
    const table = this.settings.sink === "iceberg" && error === null ? await this.table.status() : null;
    return { sink: this.settings.sink, shards, table, table_error: error };
  }

  async compact(): Promise<CompactionReport> {
    return this.table.compact();
  }

  async expireSnapshots(keep: number | undefined): Promise<ExpiryReport> {
    return this.table.expireSnapshots(keep);
  }

  /** `undefined` where another catalog keeps the table. */
  async tableMetadata(): Promise<{ metadataLocation: string; metadata: string } | undefined> {
    return this.table.metadata();
  }

  /** The configured shards, and whichever ever took an event. */
  async findShards(): Promise<FoundShards> {
    const indexes = new Set(Array.from({ length: this.settings.shards }, (_, index) => index));
    try {
      for (const { index } of await this.table.listShards()) indexes.add(index);
      return { indexes: [...indexes].toSorted((left, right) => left - right), error: null };
    } catch {
      return { indexes: [...indexes], error: "the table object cannot be reached" };
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
      const status: ShardStatus | undefined = await this.shard(index).status();
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
      return { ok: false, reason: "the table object cannot be reached", staged_files: 0 };
    }
  }

  private shard(index: number) {
    return this.shards.getByName(shardName(index));
  }

  private get table() {
    return this.tables.getByName(TABLE_OBJECT_NAME);
  }
}

/** A shard that never took an event. */
const UNUSED_SHARD: ShardStatus = {
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
