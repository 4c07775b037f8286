/**
 * Reads segments back, from memory or storage, whole or from within: for replay, for folding, for
 * snapshots.
 *
 * B2: a reader inside a fold gets the rest of it, and nothing it has already.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { skipFramesThrough, splitFrames } from "../../protocol/sse-frame.ts";
import type { Folder, StoredFrame } from "./fold/folding.ts";
import { joinBytes } from "./join-bytes.ts";
import type { Segment } from "./segment-index.ts";
import { framesOf, inflate, isDeflated } from "./segment-payload.ts";
import type { StreamStore } from "./stream-store.ts";

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

export interface ReadingDeps {
  readonly store: StreamStore;
  readonly folder: Folder | undefined;
  /** Storage cannot give the segment back: for readers its events are gone. */
  readonly onLost: (segment: Segment) => void;
}

export interface Payload {
  /** Wire bytes of all the segment's frames. */
  readonly bytes: Uint8Array;
  readonly folds: string | undefined;
}

export class SegmentReading {
  private readonly deps: ReadingDeps;

  constructor(deps: ReadingDeps) {
    this.deps = deps;
  }

  /**
   * The next frames from `seq` on, at most one segment's worth.
   *
   * @returns the bytes and the last seq they hold; `undefined` if storage lost them (the segment is
   *   then evicted, and the caller finds a gap there)
   */
  from(segment: Segment, seq: number): { bytes: Uint8Array; lastSeq: number } | undefined {
    const { lastSeq } = segment;
    if (isInsideFrame(segment, seq)) {
      const frames = this.frames(segment);
      return frames === undefined ? undefined : { bytes: this.restOf(frames, seq), lastSeq };
    }
    if (!segment.isStored) {
      const piece = segment.pieces.find((candidate) => candidate.lastSeq >= seq);
      if (piece === undefined) throw new Error("an unstored segment holds no piece for a retained seq");
      return { bytes: skipFramesThrough(piece.bytes, seq - 1), lastSeq: piece.lastSeq };
    }
    const bytes = this.wireBytes(segment);
    return bytes === undefined ? undefined : { bytes: skipFramesThrough(bytes, seq - 1), lastSeq };
  }

  /** Part of a segment larger than {@link SEGMENT_MAX_BYTES}: a single event, stored plain. */
  slice(segment: Segment, offset: number): Uint8Array | undefined {
    const length = Math.min(SEGMENT_MAX_BYTES, segment.wireBytes - offset);
    const [piece] = segment.pieces;
    if (piece !== undefined) return piece.bytes.slice(offset, offset + length);
    return this.guard(segment, () => this.deps.store.readSlice(segment.firstSeq, offset, length));
  }

  /** The frames of a segment that have not given way. */
  frames(segment: Segment): StoredFrame[] | undefined {
    const payload = this.payload(segment);
    return payload === undefined ? undefined : framesOf(segment, payload.bytes, payload.folds);
  }

  /** The frames of an unstored plain segment from `seq` on; `undefined` where they cannot be had by themselves. */
  freshFrames(segment: Segment, seq: number): StoredFrame[] | undefined {
    if (segment.isStored || segment.frameEnds !== undefined) return undefined;
    return segment.pieces
      .filter(({ lastSeq }) => lastSeq >= seq)
      .flatMap(({ firstSeq, bytes }) =>
        splitFrames(textDecoder.decode(bytes)).map((text, at) => ({
          firstSeq: firstSeq + at,
          lastSeq: firstSeq + at,
          text,
        })),
      );
  }

  payload(segment: Segment): Payload | undefined {
    const bytes = this.wireBytes(segment);
    if (bytes === undefined) return undefined;
    if (segment.frameEnds === undefined) return { bytes, folds: undefined };
    if (!segment.isStored) return { bytes, folds: segment.folds };
    return this.guard(segment, () => ({ bytes, folds: this.deps.store.readFolds(segment.firstSeq) }));
  }

  private wireBytes(segment: Segment): Uint8Array | undefined {
    if (!segment.isStored) return joinBytes(segment.pieces.map(({ bytes }) => bytes));
    const { encoding } = segment;
    return this.guard(segment, () => {
      const stored = this.deps.store.readPayload(segment.firstSeq);
      return isDeflated(encoding) ? inflate(stored) : stored;
    });
  }

  /** What follows `seq - 1` in frames of which one holds both. */
  private restOf(frames: readonly StoredFrame[], seq: number): Uint8Array {
    const { folder } = this.deps;
    if (folder === undefined) throw new Error("a folded segment of a stream whose route folds nothing");
    const rest = frames.filter((frame) => frame.lastSeq >= seq);
    return textEncoder.encode(
      rest.map((frame) => (frame.firstSeq < seq ? folder.remainder(frame, seq - 1) : frame.text)).join(""),
    );
  }

  private guard<T>(segment: Segment, read: () => T): T | undefined {
    try {
      return read();
    } catch {
      // Storage cannot give the events back: for readers they are gone, and a gap says so.
      this.deps.onLost(segment);
      return undefined;
    }
  }
}

function isInsideFrame({ frameEnds, firstSeq }: Segment, seq: number): boolean {
  if (frameEnds === undefined) return false;
  const at = frameEnds.findIndex((lastSeq) => lastSeq >= seq);
  const frameFirstSeq = at <= 0 ? firstSeq : (frameEnds[at - 1] ?? 0) + 1;
  return frameFirstSeq < seq;
}
