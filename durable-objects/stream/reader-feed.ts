/**
 * Brings one reader forward: replay, announced gaps, live events, the end.
 *
 * B1 ids are strictly increasing, contiguous but for announced gaps.
 * B2 a reader gets exactly the retained events after its position, or is told first what is missing.
 * B6 a reader that is behind pulls one segment at a time, and only while its port has room.
 */
import type { GapEvent, GapReason } from "../../protocol/control-events.ts";
import { formatEventId } from "../../protocol/event-id.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { controlFrame } from "../../protocol/sse-frame.ts";
import type { Reader } from "./reader.ts";
import type { Piece, Segment } from "./segment-index.ts";
import type { SnapshotFeed } from "./snapshot-feed.ts";
import type { StreamBuffer } from "./stream-buffer.ts";

const textEncoder = new TextEncoder();
/** What a snapshot may read, or hand over, in one turn: segments. */
const SNAPSHOT_TURNS = 8;

/** What a feed ran into. */
export type FeedResult =
  /** The port is full: the next pull goes on. */
  | { readonly kind: "full" }
  /** Everything there is has been sent. */
  | { readonly kind: "caught_up" }
  /** Events were missing; the reader was told, and is past them. Feed on. */
  | { readonly kind: "gap"; readonly missingEvents: number }
  /** A snapshot has been sent. Feed on. */
  | { readonly kind: "snapshot_sent"; readonly snapshot: SnapshotFeed }
  /** Enough for one turn; there is room, and more to send. */
  | { readonly kind: "paused" }
  /** Missing events and no way to say so in band, or half of an event is gone: cut the reader. */
  | { readonly kind: "fell_behind" };

/** Sends as much as the port takes, to a following reader events through `throughSeq`. */
export function feedReader(
  reader: Reader,
  buffer: StreamBuffer,
  nowMs: number,
  throughSeq: number = buffer.lastSeq,
): FeedResult {
  let snapshotTurns = 0;
  while (reader.hasRoom) {
    if (reader.snapshot !== undefined) {
      if (snapshotTurns++ === SNAPSHOT_TURNS) return { kind: "paused" };
      const result = sendSnapshot(reader, reader.snapshot, buffer, nowMs);
      if (result !== undefined) return result;
      continue;
    }
    if (reader.slice !== undefined) {
      if (!sendSlice(reader, reader.slice, buffer, nowMs)) return { kind: "fell_behind" };
      continue;
    }
    if (reader.notices.size > 0) {
      sendNotices(reader, nowMs);
      continue;
    }
    if (reader.nextSeq > lastWantedSeq(reader, throughSeq)) return { kind: "caught_up" };
    const segment = buffer.segmentAt(reader.nextSeq);
    const startSeq = segment === undefined ? buffer.lastSeq + 1 : Math.max(reader.nextSeq, segment.floorSeq);
    if (startSeq > reader.nextSeq) return sendGap(reader, startSeq, buffer, nowMs);
    if (segment !== undefined) sendFrom(reader, segment, buffer, nowMs);
  }
  return { kind: "full" };
}

/** Hands a fresh piece to a reader that is just there and has room; others catch up by pulling. */
export function offerPiece(reader: Reader, piece: Piece, nowMs: number): boolean {
  const fits = piece.bytes.byteLength <= SEGMENT_MAX_BYTES;
  const isNext = reader.nextSeq === piece.firstSeq && reader.isFollowing;
  if (!fits || !isNext || reader.isMidEvent || !reader.hasRoom) return false;
  if (reader.notices.size > 0) {
    sendNotices(reader, nowMs);
    if (!reader.hasRoom) return false;
  }
  reader.nextSeq = piece.lastSeq + 1;
  reader.send(piece.bytes, nowMs);
  return true;
}

function sendNotices(reader: Reader, nowMs: number): void {
  for (const frame of reader.notices.values()) reader.send(textEncoder.encode(frame), nowMs);
  reader.notices.clear();
}

function lastWantedSeq(reader: Reader, throughSeq: number): number {
  return reader.isFollowing ? throughSeq : reader.replayThroughSeq;
}

function sendFrom(reader: Reader, segment: Segment, buffer: StreamBuffer, nowMs: number): void {
  if (segment.wireBytes > SEGMENT_MAX_BYTES) {
    reader.slice = { segment, offset: 0 };
    return;
  }
  const found = buffer.reading.from(segment, reader.nextSeq);
  // Lost by storage just now: the next turn of the loop finds the gap.
  if (found === undefined) return;
  reader.nextSeq = found.lastSeq + 1;
  reader.send(found.bytes, nowMs);
}

/** @returns false when the rest of the event is gone */
function sendSlice(reader: Reader, slice: NonNullable<Reader["slice"]>, buffer: StreamBuffer, nowMs: number): boolean {
  const { segment } = slice;
  const bytes = segment.isEvicted ? undefined : buffer.reading.slice(segment, slice.offset);
  if (bytes === undefined) {
    // Nothing of the event was sent yet: it is missing as a whole, and a gap can say so.
    reader.slice = undefined;
    return slice.offset === 0;
  }
  slice.offset += bytes.byteLength;
  if (slice.offset >= segment.wireBytes) {
    reader.slice = undefined;
    reader.nextSeq = segment.lastSeq + 1;
  }
  reader.send(bytes, nowMs);
  return true;
}

/** @returns what it ran into; `undefined` where there is more to send */
function sendSnapshot(
  reader: Reader,
  snapshot: SnapshotFeed,
  buffer: StreamBuffer,
  nowMs: number,
): FeedResult | undefined {
  if (snapshot.unsent.byteLength > 0) {
    reader.send(snapshot.takeUnsent(SEGMENT_MAX_BYTES), nowMs);
    return undefined;
  }
  if (!snapshot.isDone) {
    const isWhole = snapshot.step(buffer, (nextSeq, startSeq) => gapBetween(nextSeq, startSeq, buffer));
    return isWhole ? undefined : { kind: "fell_behind" };
  }
  reader.snapshot = undefined;
  reader.nextSeq = snapshot.nextSeq;
  return { kind: "snapshot_sent", snapshot };
}

function sendGap(reader: Reader, startSeq: number, buffer: StreamBuffer, nowMs: number): FeedResult {
  const gap = gapBetween(reader.nextSeq, startSeq, buffer);
  // What was missing when it came it has said it accepts; what goes missing later it could not know of.
  const isAccepted = reader.acceptsGap && startSeq - 1 <= reader.replayThroughSeq;
  if (!reader.hasControlEvents && !isAccepted) return { kind: "fell_behind" };
  reader.nextSeq = startSeq;
  if (reader.hasControlEvents)
    reader.send(textEncoder.encode(controlFrame("gap", gap, { id: buffer.idOf(startSeq - 1) })), nowMs);
  return { kind: "gap", missingEvents: gap.dropped };
}

/** What is missing from `nextSeq` up to what comes before `startSeq`. */
function gapBetween(nextSeq: number, startSeq: number, buffer: StreamBuffer): GapEvent {
  const reason: GapReason = buffer.hasLost(nextSeq, startSeq - 1) ? "storage_lost" : "buffer_trimmed";
  const from = formatEventId(buffer.idOf(nextSeq));
  return { from, to: formatEventId(buffer.idOf(startSeq - 1)), dropped: startSeq - nextSeq, reason };
}
