/**
 * A segment as it lies in storage or memory, taken apart without the code under test: how many events
 * its frames stand for, what they say, and whether what is written beside them is true.
 */
import { inflateRawSync } from "node:zlib";

import type { Segment, SegmentEncoding } from "../../durable-objects/stream/segment-index.ts";
import type { Priority } from "../../protocol/priority.ts";
import { FrameReader, type Frame } from "./frame-reader.ts";
import type { SimStorage } from "./sim-storage.ts";
import { fail } from "./violation.ts";

export interface ReadSegment {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly priority: number;
  readonly encoding: SegmentEncoding;
  /** What it takes: what the buffer must account for. */
  readonly bytes: number;
  readonly frames: readonly ReadSegmentFrame[];
}

export interface ReadSegmentFrame extends Frame {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

type Row = Readonly<Record<string, unknown>>;

/** All rows, or those that begin with the given seqs. */
export function readRows(storage: SimStorage, firstSeqs?: readonly number[]): ReadSegment[] {
  if (!storage.hasTable("segment")) return [];
  if (firstSeqs === undefined) return storage.query("SELECT * FROM segment ORDER BY first_seq").map(readSegment);
  return firstSeqs.map((firstSeq) => {
    const [row] = storage.query("SELECT * FROM segment WHERE first_seq = ?", firstSeq);
    if (row === undefined) fail("B2", `no row begins with ${firstSeq}, and a segment that is stored does`);
    return readSegment(row);
  });
}

export function readUnstored(segment: Segment): ReadSegment {
  const { firstSeq, lastSeq, priority, eventCount, byteSize, wireBytes, encoding, frameEnds, folds } = segment;
  return readSegment({
    first_seq: firstSeq,
    last_seq: lastSeq,
    priority,
    event_count: eventCount,
    byte_size: byteSize,
    wire_bytes: wireBytes,
    encoding,
    frame_ends: frameEnds === undefined ? null : JSON.stringify(frameEnds),
    folds: folds ?? null,
    payload: Buffer.concat(segment.pieces.map(({ bytes }) => bytes)),
  });
}

function readSegment(row: Row): ReadSegment {
  const firstSeq = Number(row["first_seq"]);
  const lastSeq = Number(row["last_seq"]);
  const what = `row ${firstSeq}..${lastSeq}`;
  // Written by the store under test: what is wrong with it is said below.
  const encoding = String(row["encoding"]) as SegmentEncoding;
  const payload = row["payload"];
  if (!(payload instanceof Uint8Array)) fail("B2", `${what} has no payload`);
  const frames = readFrames(encoding.endsWith("deflate") ? inflateRawSync(payload) : payload, row, what);
  const folds = typeof row["folds"] === "string" ? row["folds"] : undefined;
  checkFolds(frames, folds, what);
  const isFolded = folds !== undefined;
  if (encoding.startsWith("folded") !== isFolded) fail("B2", `${what} is ${encoding}, and has ${String(folds)}`);
  const bytes = payload.byteLength + Buffer.byteLength(folds ?? "");
  if (row["byte_size"] !== bytes) fail("B3", `${what} counts ${String(row["byte_size"])} bytes, and takes ${bytes}`);
  return { firstSeq, lastSeq, priority: readPriority(row["priority"]), encoding, bytes, frames };
}

function readPriority(value: unknown): Priority {
  if (value === 0 || value === 1 || value === 2 || value === 3) return value;
  fail("B4", `a segment of priority ${String(value)}`);
}

function readFrames(wire: Uint8Array, row: Row, what: string): ReadSegmentFrame[] {
  if (row["wire_bytes"] !== wire.byteLength) {
    fail("B3", `${what} says it has ${String(row["wire_bytes"])} wire bytes, and has ${wire.byteLength}`);
  }
  const reader = new FrameReader();
  const found = reader.feed(wire);
  if (reader.isMidFrame) fail("B2", `${what} ends within a frame`);
  const ends = row["frame_ends"];
  // An array of numbers, or it does not fit what is found.
  const lastSeqs =
    typeof ends === "string" ? (JSON.parse(ends) as number[]) : found.map((_, at) => Number(row["first_seq"]) + at);
  if (lastSeqs.length !== found.length || row["event_count"] !== found.length) {
    fail("B3", `${what} has ${found.length} frames, it says ${String(row["event_count"])} and ${String(ends)}`);
  }
  if (lastSeqs.at(-1) !== row["last_seq"]) fail("B2", `${what} ends with ${lastSeqs.at(-1)}`);
  let nextSeq = Number(row["first_seq"]);
  return found.map((frame, at) => {
    const firstSeq = nextSeq;
    const lastSeq = lastSeqs[at] ?? firstSeq;
    nextSeq = lastSeq + 1;
    if (frame.id?.endsWith(`-${lastSeq}`) !== true) fail("B1", `${what} has ${String(frame.id)} where ${lastSeq} is`);
    return { ...frame, firstSeq, lastSeq };
  });
}

function checkFolds(frames: readonly ReadSegmentFrame[], folds: string | undefined, what: string): void {
  // First seq, last seq, number of strings and steps as text, or they do not fit.
  const stored = JSON.parse(folds ?? "[]") as [number, number, number, string][];
  const expected = frames.filter(({ firstSeq, lastSeq }) => firstSeq < lastSeq);
  const isTrue =
    stored.length === expected.length &&
    stored.every(([firstSeq, lastSeq, , steps], at) => {
      const fold = expected[at];
      return fold?.firstSeq === firstSeq && fold.lastSeq === lastSeq && countSteps(steps) === lastSeq - firstSeq + 1;
    });
  if (!isTrue) fail("B2", `${what} has other folds than ${expected.map(({ id }) => String(id)).join()}`);
}

/** `3,4,0*500` are 502 steps. */
function countSteps(text: string): number {
  return text.split(",").reduce((sum, word) => sum + Number(/\*(\d+)$/.exec(word)?.[1] ?? 1), 0);
}
