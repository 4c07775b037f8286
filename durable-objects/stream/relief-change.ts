/**
 * What a step of relief puts in the place of what, and how much that gives. Pure.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { StoredFrame } from "./fold/folding.ts";
import { writeSteps } from "./fold/steps-text.ts";
import { toSegment, type Segment } from "./segment-index.ts";
import { packFrames } from "./segment-payload.ts";
import type { SegmentRow } from "./stream-store.ts";

/** One step's result: segments to be put in the place of others, and what is to be told. */
export interface ReliefChange {
  readonly kind: "folded" | "trimmed" | "compressed";
  readonly olds: readonly Segment[];
  readonly news: readonly Segment[];
  /** The rows of `news`. */
  readonly rows: readonly SegmentRow[];
  /** Events that were folded into others, or trimmed; segments that were compressed. */
  readonly count: number;
  /** Source events that were looked at, and the last of them. */
  readonly events: number;
  readonly seq: number;
  readonly savedBytes: number;
}

export function packAll(frames: readonly StoredFrame[], priority: Segment["priority"]): Segment[] {
  const news: Segment[] = [];
  let run: StoredFrame[] = [];
  let bytes = 0;
  const close = () => {
    const segment = packFrames(run, priority);
    if (segment !== undefined) news.push(segment);
    run = [];
    bytes = 0;
  };
  for (const frame of frames) {
    const size = storedBytes(frame);
    if (bytes + size > SEGMENT_MAX_BYTES) close();
    run.push(frame);
    bytes += size;
  }
  close();
  return news;
}

export function restored(row: SegmentRow, old: Segment | undefined): Segment {
  const segment = toSegment(row, { isStored: true, pieces: [], folds: undefined });
  if (old !== undefined) {
    segment.floorSeq = old.floorSeq;
    segment.goneEvents = old.goneEvents;
  }
  return segment;
}

export function changeOf(
  kind: ReliefChange["kind"],
  change: Pick<ReliefChange, "olds" | "news" | "rows" | "count"> & { readonly lookedAt?: readonly Segment[] },
): ReliefChange {
  const { olds, news, rows, count, lookedAt = change.olds } = change;
  const events = lookedAt.reduce((sum, { lastSeq, floorSeq }) => sum + lastSeq - floorSeq + 1, 0);
  return { kind, olds, news, rows, count, events, seq: lastSeqOf(olds), savedBytes: sizeOf(olds) - sizeOf(news) };
}

/** What frames will take in a row. */
export function storedBytesOf(frames: readonly StoredFrame[]): number {
  return frames.reduce((sum, frame) => sum + storedBytes(frame), 0);
}

/** Steps count: a fold of events that append next to nothing is more steps than text. */
function storedBytes({ text, steps }: StoredFrame): number {
  return byteLength(text) + (steps === undefined ? 0 : writeSteps(steps).text.length);
}

export function lastSeqOf(segments: readonly Segment[]): number {
  return segments.at(-1)?.lastSeq ?? 0;
}

export function eventsOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { eventCount, goneEvents }) => sum + eventCount - goneEvents, 0);
}

export function sizeOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { byteSize }) => sum + byteSize, 0);
}

const textEncoder = new TextEncoder();

function byteLength(text: string): number {
  return textEncoder.encode(text).byteLength;
}
