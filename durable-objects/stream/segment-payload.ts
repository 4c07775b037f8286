/**
 * What lies in a segment's row, and back: frames as wire bytes, fold steps, deflate.
 *
 * Frames are stored as they went out; only folding and trimming make new ones. The steps of folds lie
 * beside the frames, so that a replay from outside a fold copies bytes and parses nothing.
 */
import { deflateSync, inflateSync } from "fflate";

import { splitFrames } from "../../protocol/sse-frame.ts";
import type { FoldSteps, StoredFrame } from "./fold/folding.ts";
import { readSteps, writeSteps } from "./fold/steps-text.ts";
import type { Segment, SegmentEncoding, SegmentFacts } from "./segment-index.ts";
import { factsOf, toSegment } from "./segment-index.ts";
import type { SegmentRow } from "./stream-store.ts";

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** A fold within a segment: its first and last seq, and the steps of its events as text. */
type StoredFold = readonly [firstSeq: number, lastSeq: number, width: number, steps: string];

export function isDeflated(encoding: SegmentEncoding): boolean {
  return encoding === "deflate" || encoding === "folded+deflate";
}

export function inflate(payload: Uint8Array): Uint8Array {
  return inflateSync(payload);
}

/** The frames of a segment that have not given way. */
export function framesOf(segment: Segment, bytes: Uint8Array, folds: string | undefined): StoredFrame[] {
  const stepsByFirstSeq = readFolds(folds);
  let nextSeq = segment.firstSeq;
  const frames = splitFrames(textDecoder.decode(bytes)).map((text, at): StoredFrame => {
    const firstSeq = nextSeq;
    const lastSeq = segment.frameEnds?.[at] ?? firstSeq;
    nextSeq = lastSeq + 1;
    return { firstSeq, lastSeq, text, steps: stepsByFirstSeq.get(firstSeq) };
  });
  return segment.goneEvents === 0 ? frames : frames.slice(segment.goneEvents);
}

/** An unstored segment of frames that follow each other. */
export function packFrames(frames: readonly StoredFrame[], priority: Segment["priority"]): Segment | undefined {
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const bytes = textEncoder.encode(frames.map(({ text }) => text).join(""));
  const folds = writeFolds(frames);
  const { firstSeq } = first;
  const { lastSeq } = last;
  const facts: SegmentFacts = {
    firstSeq,
    lastSeq,
    priority,
    eventCount: frames.length,
    byteSize: bytes.byteLength + (folds?.length ?? 0),
    wireBytes: bytes.byteLength,
    encoding: folds === undefined ? "plain" : "folded",
    frameEnds: folds === undefined ? undefined : frames.map((frame) => frame.lastSeq),
  };
  return toSegment(facts, { isStored: false, pieces: [{ firstSeq, lastSeq, bytes }], folds });
}

/**
 * How hard to try: under pressure a stream waits for it (24 ms a MB, 0.41 of JSON's size), for the archive nobody
 * does (36 ms, 0.38).
 */
export type DeflateLevel = 1 | 6;

/** The same segment deflated; `undefined` where that saves less than a tenth. */
export function deflateRow(row: SegmentRow, level: DeflateLevel): SegmentRow | undefined {
  const { payload: bytes, folds } = row;
  const payload = deflateSync(bytes, { level });
  if (payload.byteLength > bytes.byteLength * 0.9) return undefined;
  return {
    ...factsOf(row),
    encoding: folds === undefined ? "deflate" : "folded+deflate",
    byteSize: payload.byteLength + (folds?.length ?? 0),
    payload,
    folds,
  };
}

function writeFolds(frames: readonly StoredFrame[]): string | undefined {
  const folds = frames.flatMap(({ firstSeq, lastSeq, steps }): StoredFold[] => {
    if (steps === undefined) return [];
    const { width, text } = writeSteps(steps);
    return [[firstSeq, lastSeq, width, text]];
  });
  return folds.length === 0 ? undefined : JSON.stringify(folds);
}

/** Steps by the first seq of their fold. */
function readFolds(folds: string | undefined): ReadonlyMap<number, FoldSteps> {
  // Written by writeFolds.
  const stored = folds === undefined ? [] : (JSON.parse(folds) as StoredFold[]);
  return new Map(stored.map(([firstSeq, , width, text]) => [firstSeq, readSteps({ width, text })]));
}
