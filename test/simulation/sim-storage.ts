/**
 * A Durable Object's storage as the simulator needs it: real SQLite in memory, behind the stream's
 * own port.
 *
 * Durability is workerd's: what one synchronous turn writes is committed together when the turn is
 * over. A crash loses the turn; it can be set to strike at any statement, or after the last one and
 * before the commit. The code under test may catch what a dying statement throws and go on: nothing
 * it then does is kept, and every further statement fails too.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

import type { SqlPort } from "../../durable-objects/sql-storage.ts";
import type { GivenWay, StreamRecord } from "../../durable-objects/stream/stream-store.ts";
import type { StreamState } from "../../protocol/stream-call.ts";
import type { GivenCounts } from "./retention.ts";

type Row = ReturnType<ReturnType<SqlPort["exec"]>["toArray"]>[number];

/** What a turn did to storage. */
export interface TurnCounts {
  payloadReads: number;
  writes: number;
  readFailures: number;
  writeFailures: number;
  /** Whether the last statement of the turn failed. */
  hasFailedLast: boolean;
}

function noCounts(): TurnCounts {
  return { payloadReads: 0, writes: 0, readFailures: 0, writeFailures: 0, hasFailedLast: false };
}

/** What a restart would find. */
export interface DurableStream {
  readonly state: StreamState;
  readonly endedAtMs: number | undefined;
  /** How many epochs the record names. */
  readonly epochs: number;
  readonly durableSeq: number;
  readonly resumes: number;
  readonly given: GivenCounts;
  /** Between these, failing storage lost events. */
  readonly lost: StreamRecord["lost"];
  readonly ranges: readonly { readonly firstSeq: number; readonly lastSeq: number }[];
}

const READS = /^\s*SELECT/i;
const READS_PAYLOAD = /^\s*SELECT\s[^;]*\bpayload\b|^\s*SELECT\s+folds\b/i;

export class SimStorage {
  /** Decides whether a statement fails, as a full or broken disk would make it. */
  shouldFail: (kind: "read" | "write") => boolean = () => false;
  /** Statements until the process dies; `undefined` for no such plan. */
  crashAfterStatements: number | undefined;
  /** Dies once the work of a turn is done and before it is durable. */
  crashBeforeCommit = false;
  /** Dies at the first statement within a transaction. */
  crashInTransaction = false;
  isDead = false;
  /** Where the process was when it died. */
  diedWithin: "transaction" | "turn" = "turn";
  counts = noCounts();
  private isInTransaction = false;
  private database = new DatabaseSync(":memory:");
  private statements = new Map<string, StatementSync>();

  readonly port: SqlPort = {
    exec: (query, ...bindings) => {
      this.strike(READS.test(query) ? "read" : "write");
      if (READS_PAYLOAD.test(query)) this.counts.payloadReads++;
      const rows = this.prepare(query).all(...bindings.map(toBinding));
      return { toArray: () => rows.map(toRow) };
    },
    transaction: (work) => {
      this.database.exec("SAVEPOINT work");
      this.isInTransaction = true;
      try {
        work();
      } catch (error) {
        this.database.exec("ROLLBACK TO work");
        this.database.exec("RELEASE work");
        throw error;
      } finally {
        this.isInTransaction = false;
      }
      this.database.exec("RELEASE work");
    },
  };

  beginTurn(): void {
    this.isDead = false;
    this.counts = noCounts();
    this.database.exec("BEGIN");
  }

  /** The work is done, nothing is durable yet. */
  endTurn(): void {
    if (!this.crashBeforeCommit || this.isDead) return;
    this.isDead = true;
    this.diedWithin = "turn";
  }

  commitTurn(): void {
    this.database.exec("COMMIT");
  }

  loseTurn(): void {
    this.database.exec("ROLLBACK");
    this.crashAfterStatements = undefined;
    this.crashBeforeCommit = false;
    this.crashInTransaction = false;
  }

  /** The object's storage is deleted, all of it. */
  deleteAll(): void {
    this.close();
    this.database = new DatabaseSync(":memory:");
    this.statements = new Map();
  }

  close(): void {
    this.database.close();
  }

  /** Looks at what is there, or damages it, between turns and without the code under test. */
  query(sql: string, ...bindings: number[]): readonly Record<string, unknown>[] {
    return this.prepare(sql).all(...bindings);
  }

  hasTable(name: string): boolean {
    return this.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").all(name).length > 0;
  }

  /** Looks at what is there without the stream's own code; `undefined` where no stream is. */
  inspect(): DurableStream | undefined {
    const tables = this.database.prepare("SELECT name FROM sqlite_master WHERE name = 'stream'").all();
    if (tables.length === 0) return undefined;
    const [row] = this.prepare("SELECT state, record FROM stream").all();
    if (row === undefined) return undefined;
    // Written by the store under test: what is wrong with it, the checker finds.
    const record = JSON.parse(String(row["record"])) as StreamRecord;
    const ranges = this.prepare("SELECT first_seq, last_seq FROM segment ORDER BY first_seq")
      .all()
      .map((segment) => ({ firstSeq: Number(segment["first_seq"]), lastSeq: Number(segment["last_seq"]) }));
    const { state, endedAtMs, epochs, durableSeq, resumes, given, lost } = record;
    if (state !== row["state"]) throw new Error("the record's state and its column differ");
    return { state, endedAtMs, epochs: epochs.length, durableSeq, resumes, given: givenOf(given), lost, ranges };
  }

  private strike(kind: "read" | "write"): void {
    if (this.isDead) throw new Error("the process is dead");
    const isNow = this.crashAfterStatements !== undefined && this.crashAfterStatements-- <= 0;
    if (isNow || (this.crashInTransaction && this.isInTransaction)) {
      this.isDead = true;
      this.diedWithin = this.isInTransaction ? "transaction" : "turn";
      throw new Error("the process dies here");
    }
    if (kind === "write") this.counts.writes++;
    this.counts.hasFailedLast = this.shouldFail(kind);
    if (!this.counts.hasFailedLast) return;
    if (kind === "read") this.counts.readFailures++;
    else this.counts.writeFailures++;
    throw new Error("database or disk is full: SQLITE_FULL");
  }

  private prepare(query: string): StatementSync {
    let statement = this.statements.get(query);
    if (statement === undefined) {
      statement = this.database.prepare(query);
      this.statements.set(query, statement);
    }
    return statement;
  }
}

function givenOf({ foldedEvents, trimmedPayloads, compressedSegments, sampledEvents }: GivenWay): GivenCounts {
  return { folded: foldedEvents, trimmed: trimmedPayloads, compressed: compressedSegments, sampled: sampledEvents };
}

function toBinding(value: string | number | null | ArrayBuffer | Uint8Array): string | number | null | Uint8Array {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
}

/** workerd gives blobs as ArrayBuffer, node:sqlite as Uint8Array. */
function toRow(row: Record<string, unknown>): Row {
  const converted: Row = {};
  for (const [column, value] of Object.entries(row)) {
    if (value instanceof Uint8Array) converted[column] = new Uint8Array(value).buffer;
    else if (typeof value === "string" || typeof value === "number" || value === null) converted[column] = value;
    else throw new Error(`column ${column} holds a ${typeof value}`);
  }
  return converted;
}
