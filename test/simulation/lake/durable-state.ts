/**
 * What storage holds of a shard and of a table object, read without their own code.
 */
import type { DataFile } from "../../../durable-objects/iceberg/data-file.ts";
import type { CommitterRecord } from "../../../durable-objects/iceberg/table-store.ts";
import type { ShardRecord } from "../../../durable-objects/analytics/shard-store.ts";
import type { SimStorage } from "../sim-storage.ts";

interface DurableAppend {
  readonly firstSeq: number;
  readonly eventCount: number;
  readonly appendedAtMs: number;
  readonly isRiding: boolean;
}

export interface DurableBatch {
  readonly batch: number;
  readonly fromSeq: number;
  readonly uptoSeq: number;
}

interface DurableLetter {
  readonly letterId: number;
  readonly event: string;
}

export interface DurableShard {
  readonly record: ShardRecord;
  /** Those that still hold their events. */
  readonly appends: readonly DurableAppend[];
  readonly batches: readonly DurableBatch[];
  readonly letters: readonly DurableLetter[];
}

export interface DurableTable {
  readonly record: CommitterRecord;
  readonly lastBatches: ReadonlyMap<string, number>;
  /** `<shard>:<batch>` of batches that were given up. */
  readonly withdrawn: ReadonlySet<string>;
  readonly staged: readonly { readonly commitSeq: number | undefined; readonly files: readonly DataFile[] }[];
  readonly hasPending: boolean;
}

/** @returns `undefined` before the shard has taken anything */
export function readShard(storage: SimStorage): DurableShard | undefined {
  if (!storage.hasTable("shard")) return undefined;
  const [row] = storage.query("SELECT record FROM shard");
  const appends = storage
    .query(
      "SELECT first_seq, event_count, appended_at_ms, is_riding FROM append WHERE byte_size > 0 ORDER BY first_seq",
    )
    .map((append) => ({
      firstSeq: Number(append["first_seq"]),
      eventCount: Number(append["event_count"]),
      appendedAtMs: Number(append["appended_at_ms"]),
      isRiding: append["is_riding"] === 1,
    }));
  const batches = storage.query("SELECT batch, from_seq, upto_seq FROM batch ORDER BY batch").map((batch) => ({
    batch: Number(batch["batch"]),
    fromSeq: Number(batch["from_seq"]),
    uptoSeq: Number(batch["upto_seq"]),
  }));
  const letters = storage.query("SELECT letter_id, event FROM dead_letter").map((letter) => ({
    letterId: Number(letter["letter_id"]),
    event: String(letter["event"]),
  }));
  return { record: JSON.parse(String(row?.["record"])) as ShardRecord, appends, batches, letters };
}

/** @returns `undefined` before the object's first turn */
export function readTable(storage: SimStorage): DurableTable | undefined {
  if (!storage.hasTable("committer")) return undefined;
  const [row] = storage.query("SELECT record FROM committer");
  const shards = storage.query("SELECT shard, last_batch FROM known_shard");
  return {
    record: JSON.parse(String(row?.["record"])) as CommitterRecord,
    lastBatches: new Map(shards.map((shard) => [String(shard["shard"]), Number(shard["last_batch"])])),
    withdrawn: new Set(
      storage
        .query("SELECT shard, batch FROM withdrawn_batch")
        .map(({ shard, batch }) => `${String(shard)}:${String(batch)}`),
    ),
    staged: storage.query("SELECT commit_seq, files FROM staged_batch").map((staged) => ({
      commitSeq: staged["commit_seq"] === null ? undefined : Number(staged["commit_seq"]),
      files: JSON.parse(String(staged["files"])) as DataFile[],
    })),
    hasPending: storage.query("SELECT seq FROM pending_commit").length > 0,
  };
}
