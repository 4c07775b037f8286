/**
 * The tables of one stream: the only SQL about streams.
 *
 * Tables are made when a stream starts, so that probing an unknown id writes nothing. A segment's
 * row says how its payload is encoded. Payload is the last column: SQLite then reads the metadata
 * of large rows without touching their overflow pages.
 */
import type { EndReason } from "../../protocol/control-events.ts";
import type { Priority, PriorityRule } from "../../protocol/priority.ts";
import type { StreamIdentity, StreamState } from "../../protocol/stream-call.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { SqlPort } from "../sql-storage.ts";
import type { Segment, SegmentEncoding } from "./segment-index.ts";

type SqlValue = ReturnType<ReturnType<SqlPort["exec"]>["toArray"]>[number][string];

/** Where an epoch began. */
export interface Epoch {
  readonly epoch: number;
  readonly firstSeq: number;
}

/** The one row that says what a stream is and where it stands. */
export interface StreamRecord {
  readonly identity: StreamIdentity;
  readonly settings: StreamSettings;
  readonly hasControlEvents: boolean;
  readonly priorityRules: readonly PriorityRule[];
  state: StreamState;
  endReason: EndReason | undefined;
  epochs: readonly Epoch[];
  /** Highest seq known durable where no retained segment shows it. */
  durableSeq: number;
  readonly startedAtMs: number;
  endedAtMs: number | undefined;
  resumes: number;
  recoveredEvents: number;
}

export interface StoredSegment {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly priority: Priority;
  readonly eventCount: number;
  readonly byteSize: number;
  readonly encoding: SegmentEncoding;
}

export interface StoredStream {
  readonly record: StreamRecord;
  readonly segments: readonly StoredSegment[];
}

const LAYOUT_VERSION = 1;

const CREATE_STREAM = `CREATE TABLE IF NOT EXISTS stream (
  id INTEGER PRIMARY KEY CHECK (id = 0), layout INTEGER NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL)`;
const CREATE_SEGMENT = `CREATE TABLE IF NOT EXISTS segment (
  first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, priority INTEGER NOT NULL,
  event_count INTEGER NOT NULL, byte_size INTEGER NOT NULL, encoding TEXT NOT NULL, payload BLOB NOT NULL)`;
const HAS_STREAM = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'stream'";
const PUT_RECORD = "INSERT OR REPLACE INTO stream (id, layout, state, record) VALUES (0, ?, ?, ?)";
const GET_RECORD = "SELECT layout, record FROM stream WHERE id = 0";
const LIST_SEGMENTS =
  "SELECT first_seq, last_seq, priority, event_count, byte_size, encoding FROM segment ORDER BY first_seq";
const PUT_SEGMENT = `INSERT INTO segment
  (first_seq, last_seq, priority, event_count, byte_size, encoding, payload) VALUES (?, ?, ?, ?, ?, ?, ?)`;
const DROP_SEGMENT = "DELETE FROM segment WHERE first_seq = ?";
const GET_PAYLOAD = "SELECT payload FROM segment WHERE first_seq = ?";
// substr() of a blob is a blob; it is 1-based and reads only the pages it needs.
const GET_SLICE = "SELECT substr(payload, ? + 1, ?) AS payload FROM segment WHERE first_seq = ?";

export class StreamStore {
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
  }

  /** @throws where the stored layout is of a newer version than this code */
  load(): StoredStream | undefined {
    if (this.sql.exec(HAS_STREAM).toArray().length === 0) return undefined;
    const [row] = this.sql.exec(GET_RECORD).toArray();
    if (row === undefined) return undefined;
    if (row["layout"] !== LAYOUT_VERSION) throw new Error(`unknown storage layout, this code knows ${LAYOUT_VERSION}`);
    return { record: readRecord(row["record"]), segments: this.sql.exec(LIST_SEGMENTS).toArray().map(readSegmentRow) };
  }

  create(record: StreamRecord): void {
    this.sql.transaction(() => {
      this.sql.exec(CREATE_STREAM);
      this.sql.exec(CREATE_SEGMENT);
      this.putRecord(record);
    });
  }

  /** One transaction: the segments written, those given up deleted, and the record if it changed. */
  commit(change: { write: readonly Segment[]; drop: readonly number[]; record: StreamRecord | undefined }): void {
    this.sql.transaction(() => {
      for (const firstSeq of change.drop) this.sql.exec(DROP_SEGMENT, firstSeq);
      for (const segment of change.write) this.putSegment(segment);
      if (change.record !== undefined) this.putRecord(change.record);
    });
  }

  readPayload(firstSeq: number): Uint8Array {
    return payloadOf(this.sql.exec(GET_PAYLOAD, firstSeq).toArray());
  }

  /** Part of a payload, for segments larger than a reader may be handed at once. */
  readSlice(firstSeq: number, offset: number, length: number): Uint8Array {
    return payloadOf(this.sql.exec(GET_SLICE, offset, length, firstSeq).toArray());
  }

  private putRecord(record: StreamRecord): void {
    this.sql.exec(PUT_RECORD, LAYOUT_VERSION, record.state, JSON.stringify(record));
  }

  private putSegment(segment: Segment): void {
    this.sql.exec(
      PUT_SEGMENT,
      segment.firstSeq,
      segment.lastSeq,
      segment.priority,
      segment.eventCount,
      segment.byteSize,
      segment.encoding,
      joinPieces(segment),
    );
  }
}

function joinPieces(segment: Segment): Uint8Array {
  const [only] = segment.pieces;
  if (segment.pieces.length === 1 && only !== undefined) return only.bytes;
  const joined = new Uint8Array(segment.byteSize);
  let at = 0;
  for (const piece of segment.pieces) {
    joined.set(piece.bytes, at);
    at += piece.bytes.byteLength;
  }
  return joined;
}

function payloadOf(rows: readonly Record<string, SqlValue>[]): Uint8Array {
  const payload = rows[0]?.["payload"];
  if (!(payload instanceof ArrayBuffer)) throw new Error("segment payload is missing");
  return new Uint8Array(payload);
}

function readRecord(value: SqlValue | undefined): StreamRecord {
  if (typeof value !== "string") throw new Error("stream record is missing");
  // Written by putRecord, under the layout version that load has checked.
  return JSON.parse(value) as StreamRecord;
}

function readSegmentRow(row: Record<string, SqlValue>): StoredSegment {
  const encoding = row["encoding"];
  if (encoding !== "plain") throw new Error("unknown segment encoding");
  return {
    firstSeq: Number(row["first_seq"]),
    lastSeq: Number(row["last_seq"]),
    priority: readPriority(row["priority"]),
    eventCount: Number(row["event_count"]),
    byteSize: Number(row["byte_size"]),
    encoding,
  };
}

function readPriority(value: SqlValue | undefined): Priority {
  if (value === 0 || value === 1 || value === 2 || value === 3) return value;
  throw new Error("unknown priority");
}
