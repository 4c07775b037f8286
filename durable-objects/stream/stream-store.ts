/**
 * The tables of one stream: the only SQL about streams.
 *
 * Tables are made when a stream starts, so that probing an unknown id writes nothing. A segment's
 * row says how its payload is encoded. Payload is the last column: SQLite then reads the metadata
 * of large rows without touching their overflow pages.
 */
import type { EndReason } from "../../protocol/control-events.ts";
import { NO_RELIEF, type ReliefPolicy } from "../../protocol/relief.ts";
import type { Priority, PriorityRule } from "../../protocol/priority.ts";
import type { StreamIdentity, StreamState } from "../../protocol/stream-call.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { SqlPort } from "../sql-storage.ts";
import { joinBytes } from "./join-bytes.ts";
import { isFinished } from "./state-machine.ts";
import { ENCODINGS, factsOf, type Segment, type SegmentEncoding, type SegmentFacts } from "./segment-index.ts";

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
  /** What the route lets give way, and how. */
  readonly relief: ReliefPolicy;
  state: StreamState;
  endReason: EndReason | undefined;
  epochs: readonly Epoch[];
  /** Highest seq known durable where no retained segment shows it. */
  durableSeq: number;
  readonly startedAtMs: number;
  endedAtMs: number | undefined;
  resumes: number;
  recoveredEvents: number;
  readonly given: GivenWay;
  /** When an archived stream was brought back; its end of life counts from then. */
  broughtBackAtMs: number | undefined;
  /** Whether the finished stream lies in the archive. */
  isArchived: boolean;
  /** Between these, failing storage lost events. */
  lost?: { readonly fromSeq: number; readonly throughSeq: number };
}

/** What a new stream is made of. */
export type StreamBlueprint = Pick<
  StreamRecord,
  "identity" | "settings" | "hasControlEvents" | "priorityRules" | "relief"
>;

/** What a stream's buffer gave up otherwise than by eviction, since it began. */
export interface GivenWay {
  /** Source events that live on in another one. */
  foldedEvents: number;
  /** Events whose verbose fields were taken out. */
  trimmedPayloads: number;
  compressedSegments: number;
  /** Low-priority events that were shown live and not kept. */
  sampledEvents: number;
}

export interface StoredStream {
  readonly record: StreamRecord;
  readonly segments: readonly SegmentFacts[];
}

/** A segment's row, whole. */
export interface SegmentRow extends SegmentFacts {
  readonly payload: Uint8Array;
  /** Fold steps, where some of its frames are folds. */
  readonly folds: string | undefined;
}

const LAYOUT_VERSION = 2;

const CREATE_STREAM = `CREATE TABLE IF NOT EXISTS stream (
  id INTEGER PRIMARY KEY CHECK (id = 0), layout INTEGER NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL)`;
const CREATE_SEGMENT = `CREATE TABLE IF NOT EXISTS segment (
  first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, priority INTEGER NOT NULL,
  event_count INTEGER NOT NULL, byte_size INTEGER NOT NULL, wire_bytes INTEGER NOT NULL, encoding TEXT NOT NULL,
  frame_ends TEXT, folds TEXT, payload BLOB NOT NULL)`;
const HAS_STREAM = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'stream'";
const PUT_RECORD = "INSERT OR REPLACE INTO stream (id, layout, state, record) VALUES (0, ?, ?, ?)";
const GET_RECORD = "SELECT layout, record FROM stream WHERE id = 0";
const LIST_SEGMENTS = `SELECT first_seq, last_seq, priority, event_count, byte_size, wire_bytes, encoding, frame_ends
  FROM segment ORDER BY first_seq`;
const PUT_SEGMENT = `INSERT INTO segment
  (first_seq, last_seq, priority, event_count, byte_size, wire_bytes, encoding, frame_ends, folds, payload)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const OVERWRITE_SEGMENT = `UPDATE segment SET first_seq = ?, last_seq = ?, priority = ?, event_count = ?, byte_size = ?,
  wire_bytes = ?, encoding = ?, frame_ends = ?, folds = ?, payload = ? WHERE first_seq = ?
  RETURNING 1 AS written`;
const DROP_SEGMENT = "DELETE FROM segment WHERE first_seq = ?";
const GET_PAYLOAD = "SELECT payload FROM segment WHERE first_seq = ?";
const GET_FOLDS = "SELECT folds FROM segment WHERE first_seq = ?";
// substr() of a blob is a blob; it is 1-based and reads only the pages it needs.
const GET_SLICE = "SELECT substr(payload, ? + 1, ?) AS payload FROM segment WHERE first_seq = ?";
/** A stream lives for hours at most: one of the layout before is served from what that layout can say. */
const UPGRADE_FROM_1 = [
  "ALTER TABLE segment RENAME TO segment_1",
  CREATE_SEGMENT,
  `INSERT INTO segment SELECT first_seq, last_seq, priority, event_count, byte_size, byte_size, encoding, NULL, NULL, payload
   FROM segment_1`,
  "DROP TABLE segment_1",
];

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
    const record = readRecord(row["record"]);
    if (row["layout"] === 1) this.upgrade(record);
    else if (row["layout"] !== LAYOUT_VERSION) {
      throw new Error(`unknown storage layout, this code knows ${LAYOUT_VERSION}`);
    }
    const segments = this.sql.exec(LIST_SEGMENTS).toArray().map(readSegmentFacts);
    if (!isFinished(record.state)) countGiven(record.given, segments);
    return { record, segments };
  }

  create(record: StreamRecord, rows: readonly SegmentRow[] = []): void {
    this.sql.transaction(() => {
      this.sql.exec(CREATE_STREAM);
      this.sql.exec(CREATE_SEGMENT);
      this.putRecord(record);
      for (const row of rows) this.sql.exec(PUT_SEGMENT, ...columnsOf(row));
    });
  }

  /** One transaction: the segments written, those given up deleted, and the record if it changed. */
  commit(change: { write: readonly SegmentRow[]; drop: readonly number[]; record: StreamRecord | undefined }): void {
    const free = new Set(change.drop);
    this.sql.transaction(() => {
      // Rows are what a stream costs: one that is written over is billed once, deleted and inserted twice.
      const rest = change.write.filter((row) => !free.delete(row.firstSeq) || !this.writeOver(row.firstSeq, row));
      const places = free.values();
      for (const row of rest) {
        const { value: place } = places.next();
        if (place === undefined || !this.writeOver(place, row)) this.sql.exec(PUT_SEGMENT, ...columnsOf(row));
      }
      for (const firstSeq of places) this.sql.exec(DROP_SEGMENT, firstSeq);
      if (change.record !== undefined) this.putRecord(change.record);
    });
  }

  readPayload(firstSeq: number): Uint8Array {
    return payloadOf(this.sql.exec(GET_PAYLOAD, firstSeq).toArray());
  }

  /** Fold steps of a segment's frames; `undefined` where none is a fold. */
  readFolds(firstSeq: number): string | undefined {
    const folds = this.sql.exec(GET_FOLDS, firstSeq).toArray()[0]?.["folds"];
    return typeof folds === "string" ? folds : undefined;
  }

  /** Part of a payload, for segments larger than a reader may be handed at once. */
  readSlice(firstSeq: number, offset: number, length: number): Uint8Array {
    return payloadOf(this.sql.exec(GET_SLICE, offset, length, firstSeq).toArray());
  }

  private putRecord(record: StreamRecord): void {
    this.sql.exec(PUT_RECORD, LAYOUT_VERSION, record.state, JSON.stringify(record));
  }

  /** @returns whether there was a row to write over: storage may have lost it */
  private writeOver(firstSeq: number, row: SegmentRow): boolean {
    return this.sql.exec(OVERWRITE_SEGMENT, ...columnsOf(row), firstSeq).toArray().length > 0;
  }

  private upgrade(record: StreamRecord): void {
    this.sql.transaction(() => {
      for (const statement of UPGRADE_FROM_1) this.sql.exec(statement);
      this.putRecord(record);
    });
  }
}

/** In the order of the table. */
function columnsOf(row: SegmentRow): (number | string | null | Uint8Array)[] {
  const { firstSeq, lastSeq, priority, eventCount, byteSize, wireBytes, encoding, frameEnds, folds, payload } = row;
  const ends = frameEnds === undefined ? null : JSON.stringify(frameEnds);
  return [firstSeq, lastSeq, priority, eventCount, byteSize, wireBytes, encoding, ends, folds ?? null, payload];
}

/** The row of a segment whose payload is in memory. */
export function rowOf(segment: Segment): SegmentRow {
  return { ...factsOf(segment), folds: segment.folds, payload: joinBytes(segment.pieces.map(({ bytes }) => bytes)) };
}

function payloadOf(rows: readonly Record<string, SqlValue>[]): Uint8Array {
  const payload = rows[0]?.["payload"];
  if (!(payload instanceof ArrayBuffer)) throw new Error("segment payload is missing");
  return new Uint8Array(payload);
}

function readRecord(value: SqlValue | undefined): StreamRecord {
  if (typeof value !== "string") throw new Error("stream record is missing");
  // Written by putRecord, under a layout version that load checks; the first one had none of these.
  return { ...FIRST_LAYOUT_DEFAULTS, given: nothingGiven(), ...JSON.parse(value) } as StreamRecord;
}

/** Of a stream that begins now. */
export function newRecord(blueprint: StreamBlueprint, nowMs: number): StreamRecord {
  // Member by member: a start call also holds its upstream's secrets, which are never stored.
  const { identity, settings, hasControlEvents, priorityRules, relief } = blueprint;
  return {
    identity,
    settings,
    hasControlEvents,
    priorityRules,
    relief,
    state: "open",
    endReason: undefined,
    epochs: [{ epoch: 1, firstSeq: 1 }],
    durableSeq: 0,
    startedAtMs: nowMs,
    endedAtMs: undefined,
    resumes: 0,
    recoveredEvents: 0,
    given: nothingGiven(),
    broughtBackAtMs: undefined,
    isArchived: false,
  };
}

const FIRST_LAYOUT_DEFAULTS = { relief: NO_RELIEF, isArchived: false } as const;

export function nothingGiven(): GivenWay {
  return { foldedEvents: 0, trimmedPayloads: 0, compressedSegments: 0, sampledEvents: 0 };
}

function readSegmentFacts(row: Record<string, SqlValue>): SegmentFacts {
  const frameEnds = row["frame_ends"];
  return {
    firstSeq: Number(row["first_seq"]),
    lastSeq: Number(row["last_seq"]),
    priority: readPriority(row["priority"]),
    eventCount: Number(row["event_count"]),
    byteSize: Number(row["byte_size"]),
    wireBytes: Number(row["wire_bytes"]),
    encoding: readEncoding(row["encoding"]),
    // Written by putSegment as an array of numbers.
    frameEnds: typeof frameEnds === "string" ? (JSON.parse(frameEnds) as number[]) : undefined,
  };
}

function readEncoding(value: SqlValue | undefined): SegmentEncoding {
  const known = ENCODINGS.find((encoding) => encoding === value);
  if (known === undefined) throw new Error("unknown segment encoding");
  return known;
}

function readPriority(value: SqlValue | undefined): Priority {
  if (value === 0 || value === 1 || value === 2 || value === 3) return value;
  throw new Error("unknown priority");
}

/** The record is not written for what gives way meanwhile: the rows show most of it. */
function countGiven(given: GivenWay, segments: readonly SegmentFacts[]): void {
  const events = segments.reduce((sum, { eventCount }) => sum + eventCount, 0);
  const deflated = segments.filter(({ encoding }) => encoding === "deflate" || encoding === "folded+deflate");
  given.foldedEvents = Math.max(given.foldedEvents, countSourceEvents(segments) - events);
  given.compressedSegments = Math.max(given.compressedSegments, deflated.length);
}

export function countSourceEvents(segments: readonly SegmentFacts[]): number {
  return segments.reduce((sum, { firstSeq, lastSeq }) => sum + lastSeq - firstSeq + 1, 0);
}
