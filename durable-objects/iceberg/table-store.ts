/**
 * The table object's own tables: which shards there are, what they have staged, and the one commit that
 * is under way. The only SQL about the table.
 */
import { numberIn, textIn, type SqlPort } from "../sql-storage.ts";
import type { DataFile } from "./data-file.ts";

/** What the committer is and how far it has come. */
export interface CommitterRecord {
  /** Random: the property that numbers our commits is named after it. */
  readonly committerId: string;
  nextCommitSeq: number;
  /** Absent in records from before it was kept. */
  firstCommitAtMs?: number;
  lastCommitAtMs: number | undefined;
  lastError: string | undefined;
  /** Failures in a row. */
  attempts: number;
  nextAttemptAtMs: number | undefined;
  lastMaintenanceAtMs: number | undefined;
  /** When a turn of a day's work was last begun that has not ended yet: if the object dies of it, it is not repeated at once. */
  maintenanceTurnAtMs?: number | undefined;
  /** Whether the last run has left something that the next one can do. */
  hasLeftovers?: boolean;
}

/** A commit that has its number and is repeated until the table shows it. */
export type PendingCommit = {
  readonly seq: number;
  /** The same for every attempt; below 2^53, so that readers with plain JSON see it exactly. */
  readonly snapshotId: number;
  readonly idempotencyKey: string;
} & (
  | { readonly kind: "append" }
  /** Small files rewritten into one each: `removed` must all be there still, or nothing is done. */
  | { readonly kind: "replace"; readonly removed: readonly string[]; readonly added: readonly DataFile[] }
  | { readonly kind: "expire"; readonly keep: number }
);

export interface StagedBatch {
  readonly shard: string;
  readonly batch: number;
  readonly files: readonly DataFile[];
}

export interface KnownShard {
  readonly index: number;
  readonly shard: string;
}

const LAYOUT_VERSION = 1;
/** Younger than the layout's first version: made where an older storage has none. */
const CREATE_WITHDRAWN = `CREATE TABLE IF NOT EXISTS withdrawn_batch (
  shard TEXT NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (shard, batch)) WITHOUT ROWID`;
const CREATE = [
  `CREATE TABLE IF NOT EXISTS committer (
    id INTEGER PRIMARY KEY CHECK (id = 0), layout INTEGER NOT NULL, record TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS known_shard (
    shard TEXT PRIMARY KEY, shard_index INTEGER NOT NULL, last_batch INTEGER NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS staged_batch (
    shard TEXT NOT NULL, batch INTEGER NOT NULL, file_count INTEGER NOT NULL, commit_seq INTEGER, files TEXT NOT NULL,
    PRIMARY KEY (shard, batch))`,
  `CREATE TABLE IF NOT EXISTS pending_commit (seq INTEGER PRIMARY KEY, pending TEXT NOT NULL)`,
  CREATE_WITHDRAWN,
];
const HAS_COMMITTER = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'committer'";
const GET_RECORD = "SELECT layout, record FROM committer WHERE id = 0";
const PUT_RECORD = "INSERT OR REPLACE INTO committer (id, layout, record) VALUES (0, ?, ?)";
const ADD_SHARD = "INSERT OR IGNORE INTO known_shard (shard, shard_index, last_batch) VALUES (?, ?, 0)";
const LIST_SHARDS = "SELECT shard, shard_index FROM known_shard ORDER BY shard_index, shard";
const GET_LAST_BATCH = "SELECT last_batch FROM known_shard WHERE shard = ?";
const SET_LAST_BATCH = "UPDATE known_shard SET last_batch = ? WHERE shard = ?";
const PUT_STAGED = "INSERT INTO staged_batch (shard, batch, file_count, commit_seq, files) VALUES (?, ?, ?, NULL, ?)";
const HAS_WITHDRAWN = "SELECT 1 AS found FROM withdrawn_batch WHERE shard = ? AND batch = ?";
const PUT_WITHDRAWN = "INSERT INTO withdrawn_batch (shard, batch) VALUES (?, ?)";
const LIST_UNASSIGNED =
  "SELECT shard, batch, file_count FROM staged_batch WHERE commit_seq IS NULL ORDER BY shard, batch LIMIT ?";
const ASSIGN = "UPDATE staged_batch SET commit_seq = ? WHERE shard = ? AND batch = ?";
const LIST_ASSIGNED = "SELECT shard, batch, files FROM staged_batch WHERE commit_seq = ? ORDER BY shard, batch";
const DROP_ASSIGNED = "DELETE FROM staged_batch WHERE commit_seq = ?";
const COUNT_FILES = "SELECT COALESCE(SUM(file_count), 0) AS files FROM staged_batch";
const LIST_STAGED_FILES = "SELECT files FROM staged_batch";
const GET_PENDING = "SELECT pending FROM pending_commit ORDER BY seq LIMIT 1";
const PUT_PENDING = "INSERT INTO pending_commit (seq, pending) VALUES (?, ?)";
const DROP_PENDING = "DELETE FROM pending_commit WHERE seq = ?";

/** Batches looked at for one commit. */
const BATCHES_PER_COMMIT = 1000;

export class TableStore {
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
  }

  /** @param committerId of a first life, where storage holds none */
  load(committerId: string): CommitterRecord {
    if (this.sql.exec(HAS_COMMITTER).toArray().length === 0) return this.create(committerId);
    const [row] = this.sql.exec(GET_RECORD).toArray();
    if (row === undefined) return this.create(committerId);
    if (row["layout"] !== LAYOUT_VERSION) throw new Error(`unknown storage layout, this code knows ${LAYOUT_VERSION}`);
    this.sql.exec(CREATE_WITHDRAWN);
    // Written by putRecord, under the layout version just checked.
    return JSON.parse(textIn(row, "record")) as CommitterRecord;
  }

  private create(committerId: string): CommitterRecord {
    const record: CommitterRecord = {
      committerId,
      nextCommitSeq: 1,
      lastCommitAtMs: undefined,
      lastError: undefined,
      attempts: 0,
      nextAttemptAtMs: undefined,
      lastMaintenanceAtMs: undefined,
    };
    this.sql.transaction(() => {
      for (const statement of CREATE) this.sql.exec(statement);
      this.putRecord(record);
    });
    return record;
  }

  putRecord(record: CommitterRecord): void {
    this.sql.exec(PUT_RECORD, LAYOUT_VERSION, JSON.stringify(record));
  }

  register({ shard, index }: KnownShard): void {
    this.sql.exec(ADD_SHARD, shard, index);
  }

  listShards(): KnownShard[] {
    return this.sql
      .exec(LIST_SHARDS)
      .toArray()
      .map((row) => ({ shard: textIn(row, "shard"), index: numberIn(row, "shard_index") }));
  }

  /**
   * Takes a batch for good, once: a shard stages its batches in the order of their numbers, so that the
   * last number says for every batch whether it was taken, also long after its commit.
   *
   * @param files JSON of {@link DataFile}s
   * @returns whether it was new; `withdrawn` of a batch that was given up before it came
   */
  stage(shard: KnownShard, batch: number, files: string): boolean | "withdrawn" {
    let outcome: boolean | "withdrawn" = false;
    this.sql.transaction(() => {
      this.register(shard);
      outcome = this.isWithdrawn(shard.shard, batch) ? "withdrawn" : batch > (this.lastBatchOf(shard.shard) ?? 0);
      if (outcome !== true) return;
      this.sql.exec(PUT_STAGED, shard.shard, batch, parseFiles(files).length, files);
      this.sql.exec(SET_LAST_BATCH, batch, shard.shard);
    });
    return outcome;
  }

  /**
   * Gives a batch up for good, unless it has been taken: in one transaction, so that whichever of this and
   * {@link stage} comes first decides. Its number counts as passed, so that its files are orphans.
   *
   * @returns whether it is given up
   */
  withdraw(shard: KnownShard, batch: number): boolean {
    let isWithdrawn = false;
    this.sql.transaction(() => {
      this.register(shard);
      isWithdrawn = this.isWithdrawn(shard.shard, batch);
      if (isWithdrawn || batch <= (this.lastBatchOf(shard.shard) ?? 0)) return;
      this.sql.exec(PUT_WITHDRAWN, shard.shard, batch);
      this.sql.exec(SET_LAST_BATCH, batch, shard.shard);
      isWithdrawn = true;
    });
    return isWithdrawn;
  }

  private isWithdrawn(shard: string, batch: number): boolean {
    return this.sql.exec(HAS_WITHDRAWN, shard, batch).toArray().length > 0;
  }

  /** Number of the last batch a shard has staged or given up; `undefined` of an unknown shard. */
  lastBatchOf(shard: string): number | undefined {
    const [row] = this.sql.exec(GET_LAST_BATCH, shard).toArray();
    return row === undefined ? undefined : numberIn(row, "last_batch");
  }

  countStagedFiles(): number {
    const [row] = this.sql.exec(COUNT_FILES).toArray();
    return row === undefined ? 0 : numberIn(row, "files");
  }

  /** Paths of all files that are staged and not known to be committed. */
  listStagedPaths(): string[] {
    const rows = this.sql.exec(LIST_STAGED_FILES).toArray();
    return rows.flatMap((row) => parseFiles(textIn(row, "files"))).map(({ path }) => path);
  }

  pendingCommit(): PendingCommit | undefined {
    const [row] = this.sql.exec(GET_PENDING).toArray();
    // Written by beginCommit.
    return row === undefined ? undefined : (JSON.parse(textIn(row, "pending")) as PendingCommit);
  }

  /**
   * Gives a commit its number; an append takes what is staged, up to `maxFiles`, but at least one batch.
   *
   * @returns whether there was anything to commit
   */
  beginCommit(pending: PendingCommit, record: CommitterRecord, maxFiles: number): boolean {
    let hasWork = pending.kind !== "append";
    this.sql.transaction(() => {
      if (pending.kind === "append") {
        let files = 0;
        for (const row of this.sql.exec(LIST_UNASSIGNED, BATCHES_PER_COMMIT).toArray()) {
          files += numberIn(row, "file_count");
          if (hasWork && files > maxFiles) break;
          this.sql.exec(ASSIGN, pending.seq, row["shard"] ?? null, row["batch"] ?? null);
          hasWork = true;
        }
      }
      if (!hasWork) return;
      this.sql.exec(PUT_PENDING, pending.seq, JSON.stringify(pending));
      this.putRecord({ ...record, nextCommitSeq: pending.seq + 1 });
    });
    return hasWork;
  }

  batchesOf(seq: number): StagedBatch[] {
    return this.sql
      .exec(LIST_ASSIGNED, seq)
      .toArray()
      .map((row) => ({
        shard: textIn(row, "shard"),
        batch: numberIn(row, "batch"),
        files: parseFiles(textIn(row, "files")),
      }));
  }

  /** The table shows the commit, or will never hold it: what it took is done with. */
  endCommit(seq: number, record: CommitterRecord): void {
    this.sql.transaction(() => {
      this.sql.exec(DROP_ASSIGNED, seq);
      this.sql.exec(DROP_PENDING, seq);
      this.putRecord(record);
    });
  }
}

function parseFiles(text: string): DataFile[] {
  // Made by a shard of the same deployment.
  return JSON.parse(text) as DataFile[];
}
