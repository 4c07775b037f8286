/**
 * Folding: adjacent events that only append become one, and a reader in between gets the rest of it.
 *
 * Pure text to text. Not for when to fold and what of: the buffer decides that.
 *
 * Invariants:
 * 1. A reader that applies deltas ends with the same strings, byte for byte, wherever it came in.
 * 2. What is not folded is returned as the object it was.
 * 3. Linear in what is passed in.
 */
import type { FoldRule } from "../../../protocol/fold.ts";
import { readFrame } from "../../../protocol/sse-frame.ts";
import { FoldRun, frameWith, partText } from "./fold-run.ts";
import { addStep, areStepsOf, foldSource, stepAt, stringLengths, UNTOUCHED, type StoredFrame } from "./fold-source.ts";
import { grammarOf, type Grammar } from "./grammar.ts";
import { rememberingShapes } from "./known-shapes.ts";

export type { FoldSteps, StoredFrame } from "./fold-source.ts";

export interface Folder {
  /**
   * Adjacent frames (consecutive seqs, one priority, in order; some may be folds already) become as few as
   * possible. No fold takes more than SEGMENT_MAX_BYTES; larger frames are passed on.
   */
  fold(frames: readonly StoredFrame[]): StoredFrame[];
  /**
   * Wire text of a fold for a reader that has the events through `seq` (firstSeq <= seq < lastSeq): the id
   * of the last event, and only what came after `seq`.
   * @throws if the frame is no fold by this rule: a stream keeps the rule it began with
   */
  remainder(frame: StoredFrame, seq: number): string;
}

export function createFolder(rule: FoldRule): Folder {
  const grammar = grammarOf(rule);
  return {
    fold: (frames) => fold(frames, grammar),
    remainder: (frame, seq) => remainder(frame, seq, grammar),
  };
}

function fold(frames: readonly StoredFrame[], grammar: Grammar): StoredFrame[] {
  const remembering = rememberingShapes(grammar);
  const folded: StoredFrame[] = [];
  let run: FoldRun | undefined;
  for (const stored of frames) {
    const source = foldSource(stored, remembering);
    if (source !== undefined && run?.take(source) === true) continue;
    if (run !== undefined) folded.push(run.close());
    run = source === undefined ? undefined : new FoldRun(source);
    if (source === undefined) folded.push(stored);
  }
  if (run !== undefined) folded.push(run.close());
  return folded;
}

function remainder(stored: StoredFrame, seq: number, grammar: Grammar): string {
  const frame = readFrame(stored.text);
  const shape = grammar.shapeOf(frame.data);
  const steps = stored.steps ?? [];
  if (shape === undefined || !areStepsOf(stored, stringLengths(shape.elements))) {
    throw new Error("stored frame is not a fold by this rule");
  }
  const had = steps.slice(0, seq - stored.firstSeq + 1);
  const missing = steps.slice(had.length);
  const skips = Array.from(stringLengths(shape.elements), () => 0);
  for (const step of had) addStep(skips, step);
  let firstString = 0;
  const elements = shape.elements.flatMap((part) => {
    const at = firstString;
    const strings = part.cuts
      .filter(({ appends }) => appends)
      .map((cut, n) => frame.data.slice(cut.start + (skips[at + n] ?? 0), cut.end));
    firstString += strings.length;
    // An element's strings are touched together, so the first tells for all.
    return missing.some((step) => stepAt(step, at) !== UNTOUCHED) ? [partText(frame.data, part, strings)] : [];
  });
  return frameWith(frame, shape, elements);
}
