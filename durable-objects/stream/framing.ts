/**
 * Events to frames, and frames to pieces of at most one segment. Pure: a frame is made once, here.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { Priority } from "../../protocol/priority.ts";
import { eventFrame, type SourceEvent } from "../../protocol/sse-frame.ts";
import type { Piece } from "./segment-index.ts";

const textEncoder = new TextEncoder();

/** A piece of events that are treated alike. */
export interface FramedPiece extends Piece {
  readonly priority: Priority;
  /** Whether the buffer takes it in; otherwise only readers who are there see it. */
  readonly isKept: boolean;
}

/** Live readers get larger events from the buffer, slice by slice: so it must have them. UTF-8 has up to 3 bytes a char. */
const SAMPLED_MAX_CHARS = SEGMENT_MAX_BYTES / 3;

export interface FramingOptions {
  readonly epoch: number;
  /** Seq of the first event. */
  readonly firstSeq: number;
  readonly classify: (event: SourceEvent) => Priority;
  /** Asked once for each event that is not large, in order. */
  readonly keeps: (priority: Priority) => boolean;
}

interface Draft {
  readonly firstSeq: number;
  readonly priority: Priority;
  readonly isKept: boolean;
  readonly frames: string[];
  chars: number;
}

/** Runs of events that are treated alike become pieces, in order. */
export function frameEvents(events: readonly SourceEvent[], options: FramingOptions): FramedPiece[] {
  const { epoch, firstSeq, classify, keeps } = options;
  const drafts: Draft[] = [];
  let draft: Draft | undefined;
  for (const [at, event] of events.entries()) {
    const seq = firstSeq + at;
    const frame = eventFrame({ epoch, seq }, event);
    const priority = classify(event);
    const isKept = frame.length > SAMPLED_MAX_CHARS || keeps(priority);
    const isSameRun = draft?.priority === priority && draft.isKept === isKept;
    if (draft === undefined || !isSameRun || draft.chars + frame.length > SEGMENT_MAX_BYTES) {
      draft = { firstSeq: seq, priority, isKept, frames: [], chars: 0 };
      drafts.push(draft);
    }
    draft.frames.push(frame);
    draft.chars += frame.length;
  }
  return drafts.flatMap(({ priority, isKept, frames, firstSeq: seq }) =>
    encode(frames, seq).map((piece) => ({ ...piece, priority, isKept })),
  );
}

/** Whole frames to pieces of at most one segment; a larger frame is a piece of its own. */
function encode(frames: readonly string[], firstSeq: number): Piece[] {
  const bytes = textEncoder.encode(frames.join(""));
  const lastSeq = firstSeq + frames.length - 1;
  if (bytes.byteLength <= SEGMENT_MAX_BYTES || frames.length === 1) return [{ firstSeq, lastSeq, bytes }];
  // Drafts are cut by characters, and text beyond ASCII has more bytes than that: halve it.
  const half = frames.length >>> 1;
  return [...encode(frames.slice(0, half), firstSeq), ...encode(frames.slice(half), firstSeq + half)];
}
