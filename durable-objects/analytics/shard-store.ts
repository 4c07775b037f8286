/**
 * The tables of one shard: the only SQL about buffered events and sealed batches. Dead letters have their own
 * store, which takes part in the transactions here, and so have the sums of telemetry and the places of events.
 *
 * One row holds one append batch. Once its events are in the table its payload is emptied, and the row
 * stays for its fingerprints until it leaves the dedup window. Payload is the last column: SQLite then
 * reads the rest of a row without touching its overflow pages.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { numberIn, textIn, type SqlPort, type SqlRow } from "../sql-storage.ts";
import { CREATE_DEAD_LETTERS, DeadLetterStore, type NewLetter } from "./dead-letter-store.ts";
import { PlaceStore, type PlaceChange } from "./place-store.ts";
import { RollupStore } from "./rollup-store.ts";

/** What a shard is and how far it has come. */
export interface ShardRecord {
  readonly index: number;
  /** Name of this life of the shard: its index and a random part. */
  readonly name: string;
  readonly dedupSeed: number;
  nextBatch: number;
  /** Whether the table object knows this shard. */
  isRegistered: boolean;
  lastFlushAtMs: number | undefined;
  lastError: string | undefined;
  /** Failures in a row. */
  attempts: number;
  nextAttemptAtMs: number | undefined;
  /** How full the shard was when that was last said: 0, 0.5, 0.7 or 0.9. */
  fillMark: number;
}

/** A row without its payload. */
export interface StoredAppend {
  readonly firstSeq: number;
  readonly eventCount: number;
  /** 0 once its events are in the table. */
  readonly byteSize: number;
  readonly dayCount: number;
  /** The earliest of its events' days: the only one of most appends. */
  readonly firstDay: number;
  readonly appendedAtMs: number;
  readonly isRiding: boolean;
}

export interface NewAppend extends StoredAppend {
  readonly fingerprints: Uint8Array;
  readonly payload: Uint8Array;
}

/** A run of appends that goes to the table together, under a number that is never used again. */
export interface SealedBatch {
  readonly batch: number;
  readonly fromSeq: number;
  /** Last seq of the batch. */
  readonly uptoSeq: number;
  readonly eventCount: number;
  readonly byteSize: number;
  /** When its oldest event was taken. */
  readonly oldestAtMs: number;
}

/** Rows that the next append takes away. */
export interface RowsGone {
  readonly firstSeqs: readonly number[];
  readonly forgottenBelow: number | undefined;
}

/** What a row is to hold of fingerprints from now on. */
export interface RowFingerprints {
  readonly firstSeq: number;
  readonly fingerprints: Uint8Array;
}

/** What a process needs in memory: never the whole backlog. */
export interface StoredShard {
  readonly record: ShardRecord;
  /** Appends that are not sealed yet. */
  readonly open: readonly StoredAppend[];
  /** Fingerprints of the newest appends, oldest first. */
  readonly window: readonly { readonly firstSeq: number; readonly fingerprints: ArrayBuffer }[];
  readonly nextSeq: number;
  /** First seq of the newest row; 0 where there is none. */
  readonly newestRow: number;
  readonly batches: readonly SealedBatch[];
  readonly deadLetters: number;
}

/** Rows kept for their fingerprints alone: all of them are read when the object starts. */
export const WINDOW_MAX_ROWS = 10_000;

const LAYOUT_VERSION = 1;
const CREATE = [
  `CREATE TABLE IF NOT EXISTS shard (id INTEGER PRIMARY KEY CHECK (id = 0), layout INTEGER NOT NULL, record TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS append (
    first_seq INTEGER PRIMARY KEY, event_count INTEGER NOT NULL, byte_size INTEGER NOT NULL, day_count INTEGER NOT NULL,
    first_day INTEGER NOT NULL,
    appended_at_ms INTEGER NOT NULL, is_riding INTEGER NOT NULL, fingerprints BLOB NOT NULL, payload BLOB NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS batch (
    batch INTEGER PRIMARY KEY, from_seq INTEGER NOT NULL, upto_seq INTEGER NOT NULL, event_count INTEGER NOT NULL,
    byte_size INTEGER NOT NULL, oldest_at_ms INTEGER NOT NULL)`,
  CREATE_DEAD_LETTERS,
];
const HAS_SHARD = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'shard'";
const GET_RECORD = "SELECT layout, record FROM shard WHERE id = 0";
const PUT_RECORD = "INSERT OR REPLACE INTO shard (id, layout, record) VALUES (0, ?, ?)";
const LIST_OPEN = `SELECT first_seq, event_count, byte_size, day_count, first_day, appended_at_ms, is_riding
  FROM append WHERE first_seq > ? AND byte_size > 0 ORDER BY first_seq`;
const LIST_WINDOW = `SELECT first_seq, fingerprints FROM append WHERE length(fingerprints) > 0
  ORDER BY first_seq DESC LIMIT ?`;
const GET_NEWEST = "SELECT first_seq, event_count FROM append ORDER BY first_seq DESC LIMIT 1";
const PUT_APPEND = `INSERT INTO append
  (first_seq, event_count, byte_size, day_count, first_day, appended_at_ms, is_riding, fingerprints, payload)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const DROP_APPEND = "DELETE FROM append WHERE first_seq = ? AND byte_size = 0";
const DROP_FORGOTTEN =
  "DELETE FROM append WHERE byte_size = 0 AND first_seq < ? AND (first_seq < ? OR length(fingerprints) = 0)";
const DROP_DELIVERED = `DELETE FROM append WHERE first_seq BETWEEN ? AND ? AND first_seq < ?
  AND (first_seq < ? OR length(fingerprints) = 0)`;
const EMPTY_APPENDS = "UPDATE append SET byte_size = 0, payload = x'' WHERE first_seq BETWEEN ? AND ?";
const GET_PAYLOADS = `SELECT first_seq, appended_at_ms, payload FROM append
  WHERE first_seq BETWEEN ? AND ? AND byte_size > 0 ORDER BY first_seq`;
const LIST_BATCHES = "SELECT batch, from_seq, upto_seq, event_count, byte_size, oldest_at_ms FROM batch ORDER BY batch";
const PUT_BATCH = `INSERT INTO batch
  (batch, from_seq, upto_seq, event_count, byte_size, oldest_at_ms) VALUES (?, ?, ?, ?, ?, ?)`;
const DROP_BATCH = "DELETE FROM batch WHERE batch = ?";
const RENUMBER_BATCH = "UPDATE batch SET batch = ? WHERE batch = ?";
const DROP_BATCHES = "DELETE FROM batch WHERE from_seq BETWEEN ? AND ?";
const DROP_RANGE = "DELETE FROM append WHERE first_seq BETWEEN ? AND ? AND first_seq < ?";
const EMPTY_RANGE = `UPDATE append SET byte_size = 0, payload = x'', fingerprints = x'' WHERE first_seq BETWEEN ? AND ?`;
const SET_FINGERPRINTS = "UPDATE append SET fingerprints = ? WHERE first_seq = ?";
/** From the row on that holds a seq, should it be buffered. */
const GET_NEXT_PAYLOAD = `SELECT first_seq, event_count, appended_at_ms, payload FROM append
  WHERE first_seq >= COALESCE((SELECT MAX(first_seq) FROM append WHERE first_seq <= ?), 0)
    AND first_seq <= ? AND byte_size > 0 AND first_seq + event_count > ? ORDER BY first_seq LIMIT 1`;

export interface RawPayload {
  readonly firstSeq: number;
  readonly appendedAtMs: number;
  readonly payload: Uint8Array;
}

/** A dead letter's event, and the seq it had. */
export interface ReturnedLetter {
  readonly letterId: number;
  readonly event: LakeEvent;
  readonly seq: number;
}

/** Dead letters whose events are appended again. */
export interface ReturnedLetters {
  readonly letterIds: readonly number[];
  /** Rows that lose what those events are known by, since the new row has it now. */
  readonly rows: readonly RowFingerprints[];
}

export class ShardStore {
  readonly letters: DeadLetterStore;
  readonly rollups: RollupStore;
  readonly places: PlaceStore;
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
    this.letters = new DeadLetterStore(sql);
    this.rollups = new RollupStore(sql);
    this.places = new PlaceStore(sql);
  }

  /** @throws where the stored layout is of a newer version than this code */
  load(): StoredShard | undefined {
    if (this.sql.exec(HAS_SHARD).toArray().length === 0) return undefined;
    const [row] = this.sql.exec(GET_RECORD).toArray();
    if (row === undefined) return undefined;
    if (row["layout"] !== LAYOUT_VERSION) throw new Error(`unknown storage layout, this code knows ${LAYOUT_VERSION}`);
    return {
      // Written by putRecord, under the layout version just checked.
      record: JSON.parse(textIn(row, "record")) as ShardRecord,
      ...this.loadAppends(),
      deadLetters: this.letters.count(),
    };
  }

  private loadAppends() {
    const batches = this.sql.exec(LIST_BATCHES).toArray().map(readBatch);
    const [newest] = this.sql.exec(GET_NEWEST).toArray();
    const newestRow = newest === undefined ? 0 : numberIn(newest, "first_seq");
    return {
      batches,
      open: this.sql
        .exec(LIST_OPEN, batches.at(-1)?.uptoSeq ?? 0)
        .toArray()
        .map(readAppend),
      window: this.sql.exec(LIST_WINDOW, WINDOW_MAX_ROWS).toArray().map(readFingerprints).reverse(),
      nextSeq: newest === undefined ? 1 : newestRow + numberIn(newest, "event_count"),
      newestRow,
    };
  }

  create(record: ShardRecord): void {
    this.sql.transaction(() => {
      for (const statement of CREATE) this.sql.exec(statement);
      this.putRecord(record);
    });
  }

  putRecord(record: ShardRecord): void {
    this.sql.exec(PUT_RECORD, LAYOUT_VERSION, JSON.stringify(record));
  }

  /**
   * One transaction: new appends in, and out what nobody needs any more.
   *
   * @param last what else belongs to it, after everything else
   */
  append(appends: readonly NewAppend[], gone: RowsGone, returned?: ReturnedLetters, last?: () => void): void {
    this.sql.transaction(() => {
      for (const { firstSeq, fingerprints } of returned?.rows ?? []) {
        this.sql.exec(SET_FINGERPRINTS, fingerprints, firstSeq);
      }
      this.letters.drop(returned?.letterIds ?? []);
      for (const append of appends) {
        this.sql.exec(
          PUT_APPEND,
          append.firstSeq,
          append.eventCount,
          append.byteSize,
          append.dayCount,
          append.firstDay,
          append.appendedAtMs,
          append.isRiding ? 1 : 0,
          append.fingerprints,
          append.payload,
        );
      }
      for (const firstSeq of gone.firstSeqs) this.sql.exec(DROP_APPEND, firstSeq);
      if (gone.forgottenBelow !== undefined) {
        this.sql.exec(DROP_FORGOTTEN, appends[0]?.firstSeq ?? 0, gone.forgottenBelow);
      }
      last?.();
    });
  }

  seal(batch: SealedBatch, record: ShardRecord): void {
    this.sql.transaction(() => {
      const { fromSeq, uptoSeq, eventCount, byteSize, oldestAtMs } = batch;
      this.sql.exec(PUT_BATCH, batch.batch, fromSeq, uptoSeq, eventCount, byteSize, oldestAtMs);
      this.putRecord(record);
    });
  }

  /** The payloads of a batch, in the order of their seqs. */
  readPayloads({ fromSeq, uptoSeq }: SealedBatch): RawPayload[] {
    return this.sql.exec(GET_PAYLOADS, fromSeq, uptoSeq).toArray().map(readPayload);
  }

  /** The first row that holds buffered events from `fromSeq` on, up to a row that begins at `uptoSeq`. */
  nextPayload(fromSeq: number, uptoSeq: number): (RawPayload & { readonly eventCount: number }) | undefined {
    const [row] = this.sql.exec(GET_NEXT_PAYLOAD, fromSeq, uptoSeq, fromSeq).toArray();
    return row === undefined ? undefined : { ...readPayload(row), eventCount: numberIn(row, "event_count") };
  }

  /** Batches under new numbers, in the same order; the record says how far the numbers have come. */
  renumber(batches: readonly { readonly from: number; readonly to: number }[], record: ShardRecord): void {
    this.sql.transaction(() => {
      for (const { from, to } of batches) this.sql.exec(RENUMBER_BATCH, to, from);
      this.putRecord(record);
    });
  }

  /** Rows of the range leave with their batches and their fingerprints, as if they had never come. */
  drop(range: { readonly fromSeq: number; readonly uptoSeq: number; readonly newestRow: number; record: ShardRecord }) {
    const { fromSeq, uptoSeq, newestRow, record } = range;
    this.sql.transaction(() => {
      this.sql.exec(DROP_RANGE, fromSeq, uptoSeq, newestRow);
      this.sql.exec(EMPTY_RANGE, fromSeq, uptoSeq);
      this.sql.exec(DROP_BATCHES, fromSeq, uptoSeq);
      this.places.noteDropped(fromSeq, uptoSeq);
      this.putRecord(record);
    });
  }

  /** What a replay found is there already, under other places. */
  putPlaces(change: PlaceChange): void {
    this.sql.transaction(() => this.places.put(change));
  }

  dropLetters(letterIds: readonly number[]): void {
    this.sql.transaction(() => this.letters.drop(letterIds));
  }

  /** A delivered batch: its events leave, and whatever of it could not be encoded becomes dead letters. */
  finish(change: {
    batch: SealedBatch;
    deadLetters: readonly NewLetter[];
    /** Fingerprints of rows from here on are still needed. */
    windowStart: number;
    /** Stays, whatever it holds. */
    newestRow: number;
    record: ShardRecord;
  }): void {
    const { fromSeq, uptoSeq } = change.batch;
    this.sql.transaction(() => {
      this.sql.exec(DROP_DELIVERED, fromSeq, uptoSeq, change.newestRow, change.windowStart);
      this.sql.exec(EMPTY_APPENDS, fromSeq, uptoSeq);
      this.sql.exec(DROP_BATCH, change.batch.batch);
      for (const letter of change.deadLetters) this.letters.put(letter);
      this.putRecord(change.record);
    });
  }
}

function readAppend(row: SqlRow): StoredAppend {
  return {
    firstSeq: numberIn(row, "first_seq"),
    eventCount: numberIn(row, "event_count"),
    byteSize: numberIn(row, "byte_size"),
    dayCount: numberIn(row, "day_count"),
    firstDay: numberIn(row, "first_day"),
    appendedAtMs: numberIn(row, "appended_at_ms"),
    isRiding: row["is_riding"] === 1,
  };
}

function readFingerprints(row: SqlRow): { firstSeq: number; fingerprints: ArrayBuffer } {
  const { fingerprints } = row;
  if (!(fingerprints instanceof ArrayBuffer)) throw new Error("an append row has no fingerprints");
  return { firstSeq: numberIn(row, "first_seq"), fingerprints };
}

function readBatch(row: SqlRow): SealedBatch {
  return {
    batch: numberIn(row, "batch"),
    fromSeq: numberIn(row, "from_seq"),
    uptoSeq: numberIn(row, "upto_seq"),
    eventCount: numberIn(row, "event_count"),
    byteSize: numberIn(row, "byte_size"),
    oldestAtMs: numberIn(row, "oldest_at_ms"),
  };
}

function readPayload(row: SqlRow): RawPayload {
  return {
    firstSeq: numberIn(row, "first_seq"),
    appendedAtMs: numberIn(row, "appended_at_ms"),
    payload: bytesOf(row["payload"]),
  };
}

function bytesOf(value: SqlRow[string] | undefined): Uint8Array {
  if (!(value instanceof ArrayBuffer)) throw new Error("an append row has no payload");
  return new Uint8Array(value);
}
