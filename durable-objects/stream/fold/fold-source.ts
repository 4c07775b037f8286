/**
 * A stored frame as folding sees it: what it appends, how much of that is each source event's own, and
 * how many bytes it takes.
 */
import { readFrame, type ReadFrame } from "../../../protocol/sse-frame.ts";
import { dataBytes, utf8Bytes } from "./frame-bytes.ts";
import { DONE_DATA, type Grammar } from "./grammar.ts";
import type { Part, Shape } from "./shape.ts";

/**
 * For each source event in a folded frame, in order, how much of each appending string is its own, in
 * UTF-16 code units of the raw JSON text (or of the plain data); a bare number where there is one string
 * only; -1 where the event does not touch that string. Can be kept as JSON.
 */
export type FoldSteps = readonly (number | readonly number[])[];

/** One stored frame. */
export interface StoredFrame {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly text: string;
  /** Only where the frame is the fold of several events: one step for each of them. */
  readonly steps?: FoldSteps | undefined;
}

export const UNTOUCHED = -1;

/** A frame that can be folded, taken apart. */
export interface FoldSource {
  readonly stored: StoredFrame;
  readonly frame: ReadFrame;
  readonly shape: Shape;
  /** Lengths of the strings that append, over all elements. */
  readonly lengths: readonly number[];
  /** Everything but the elements and the commas between them. */
  readonly outerBytes: number;
  /** One for each element: all but its strings. */
  readonly skeletonBytes: readonly number[];
  /** One for each element. */
  readonly stringBytes: readonly number[];
}

/** @returns `undefined` for a frame that must stay as it is */
export function foldSource(stored: StoredFrame, grammar: Grammar): FoldSource | undefined {
  const frame = readFrame(stored.text);
  if (frame.retryMs !== undefined || frame.isTrimmed || frame.data === DONE_DATA) return undefined;
  const shape = grammar.shapeOf(frame.data);
  if (shape === undefined) return undefined;
  const lengths = stringLengths(shape.elements);
  if (!areStepsOf(stored, lengths)) return undefined;
  return { stored, frame, shape, lengths, ...sizes(stored, frame, shape) };
}

/** Steps that say otherwise were made by another rule, and cannot be carried on. */
export function areStepsOf(stored: StoredFrame, lengths: readonly number[]): boolean {
  const { steps } = stored;
  if (steps === undefined) return stored.firstSeq === stored.lastSeq;
  if (steps.length !== stored.lastSeq - stored.firstSeq + 1) return false;
  const sums = Array.from(lengths, () => 0);
  for (const step of steps) {
    if (stepWidth(step) !== lengths.length) return false;
    addStep(sums, step);
  }
  return sums.every((sum, at) => sum === lengths[at]);
}

function stepWidth(step: number | readonly number[]): number {
  return typeof step === "number" ? 1 : step.length;
}

/** A bare number speaks of the first string; a fold that grows others later has not touched them with it. */
export function stepAt(step: number | readonly number[], at: number): number {
  if (typeof step === "number") return at === 0 ? step : UNTOUCHED;
  return step[at] ?? UNTOUCHED;
}

export function addStep(sums: number[], step: number | readonly number[]): void {
  for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] ?? 0) + Math.max(stepAt(step, at), 0);
}

/** Of all that append, over all elements. */
export function stringLengths(elements: readonly Part[]): number[] {
  const lengths: number[] = [];
  for (const { cuts } of elements) for (const cut of cuts) if (cut.appends) lengths.push(cut.end - cut.start);
  return lengths;
}

function sizes(stored: StoredFrame, { data }: ReadFrame, { elements }: Shape) {
  const frameBytes = utf8Bytes(stored.text);
  // Most events are one line of ASCII, where bytes are characters.
  const isCounted = frameBytes === stored.text.length && !data.includes("\n");
  const bytesOf = (start: number, end: number) => (isCounted ? end - start : dataBytes(data, start, end));
  const skeletonBytes: number[] = [];
  const stringBytes: number[] = [];
  let outerBytes = frameBytes - (elements.length - 1);
  for (const { start, end, cuts } of elements) {
    const bytes = bytesOf(start, end);
    let ofStrings = 0;
    for (const cut of cuts) if (cut.appends) ofStrings += bytesOf(cut.start, cut.end);
    skeletonBytes.push(bytes - ofStrings);
    stringBytes.push(ofStrings);
    outerBytes -= bytes;
  }
  return { outerBytes, skeletonBytes, stringBytes };
}
