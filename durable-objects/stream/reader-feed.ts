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
import type { StreamBuffer } from "./stream-buffer.ts";

const textEncoder = new TextEncoder();

/** What a feed ran into. */
export type FeedResult =
  /** The port is full: the next pull goes on. */
  | { readonly kind: "full" }
  /** Everything there is has been sent. */
  | { readonly kind: "caught_up" }
  /** Events were missing; the reader was told, and is past them. Feed on. */
  | { readonly kind: "gap"; readonly missingEvents: number }
  /** Missing events and no way to say so in band, or half of an event is gone: cut the reader. */
  | { readonly kind: "fell_behind" };

/** Sends as much as the port takes. */
export function feedReader(reader: Reader, buffer: StreamBuffer, nowMs: number): FeedResult {
  while (reader.hasRoom) {
    if (reader.slice !== undefined) {
      if (!sendSlice(reader, reader.slice, buffer, nowMs)) return { kind: "fell_behind" };
      continue;
    }
    if (reader.notices.size > 0) {
      sendNotices(reader, nowMs);
      continue;
    }
    if (reader.nextSeq > lastWantedSeq(reader, buffer)) return { kind: "caught_up" };
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
  if (!fits || !isNext || reader.isMidEvent || reader.notices.size > 0 || !reader.hasRoom) return false;
  reader.nextSeq = piece.lastSeq + 1;
  reader.send(piece.bytes, nowMs);
  return true;
}

function sendNotices(reader: Reader, nowMs: number): void {
  for (const frame of reader.notices.values()) reader.send(textEncoder.encode(frame), nowMs);
  reader.notices.clear();
}

function lastWantedSeq(reader: Reader, buffer: StreamBuffer): number {
  return reader.isFollowing ? buffer.lastSeq : reader.replayThroughSeq;
}

function sendFrom(reader: Reader, segment: Segment, buffer: StreamBuffer, nowMs: number): void {
  if (segment.byteSize > SEGMENT_MAX_BYTES) {
    reader.slice = { segment, offset: 0 };
    return;
  }
  const found = buffer.read(segment, reader.nextSeq);
  // Lost by storage just now: the next turn of the loop finds the gap.
  if (found === undefined) return;
  reader.nextSeq = found.lastSeq + 1;
  reader.send(found.bytes, nowMs);
}

/** @returns false when the rest of the event is gone */
function sendSlice(reader: Reader, slice: NonNullable<Reader["slice"]>, buffer: StreamBuffer, nowMs: number): boolean {
  const { segment } = slice;
  const bytes = segment.isEvicted ? undefined : buffer.readSlice(segment, slice.offset);
  if (bytes === undefined) {
    // Nothing of the event was sent yet: it is missing as a whole, and a gap can say so.
    reader.slice = undefined;
    return slice.offset === 0;
  }
  slice.offset += bytes.byteLength;
  if (slice.offset >= segment.byteSize) {
    reader.slice = undefined;
    reader.nextSeq = segment.lastSeq + 1;
  }
  reader.send(bytes, nowMs);
  return true;
}

function sendGap(reader: Reader, startSeq: number, buffer: StreamBuffer, nowMs: number): FeedResult {
  if (!reader.hasControlEvents) return { kind: "fell_behind" };
  const lastMissing = buffer.idOf(startSeq - 1);
  const missingEvents = startSeq - reader.nextSeq;
  const reason: GapReason = reader.nextSeq <= buffer.lostThroughSeq ? "storage_lost" : "buffer_trimmed";
  const gap: GapEvent = {
    from: formatEventId(buffer.idOf(reader.nextSeq)),
    to: formatEventId(lastMissing),
    dropped: missingEvents,
    reason,
  };
  reader.nextSeq = startSeq;
  reader.send(textEncoder.encode(controlFrame("gap", gap, { id: lastMissing })), nowMs);
  return { kind: "gap", missingEvents };
}
