/**
 * Adjacent frames on their way to becoming one.
 *
 * Invariants:
 * 1. The fold is the last event's text; only strings that append are longer, and elements of other keys
 *    stand beside its own.
 * 2. A fold's frame takes at most SEGMENT_MAX_BYTES, counted before a source is taken in.
 * 3. Steps hold at most one number for each byte that a fold may take, so that deltas of nothing cannot
 *    grow them without end.
 * 4. Strings are cut and joined at the borders of source events alone, so no escape and no surrogate
 *    pair is ever cut by us.
 */
import { SEGMENT_MAX_BYTES } from "../../../protocol/limits.ts";
import { eventFrame, type ReadFrame } from "../../../protocol/sse-frame.ts";
import { stepAt, UNTOUCHED, type FoldSource, type FoldSteps, type StoredFrame } from "./fold-source.ts";
import { DONE_DATA, endsLikeDone } from "./grammar.ts";
import type { Part, Shape } from "./shape.ts";

/** One element of the fold so far. */
interface Grown {
  /** Its latest text: that of the last source that held it. */
  source: FoldSource;
  part: Part;
  /** What has been appended, one for each string. */
  readonly strings: string[];
  /** Where its strings begin among all of the fold's. */
  readonly firstString: number;
  skeletonBytes: number;
  stringBytes: number;
}

const STEP_NUMBERS_MAX = SEGMENT_MAX_BYTES;

/** Long enough to see {@link DONE_DATA} come together. */
const TAIL_CHARS = DONE_DATA.length - 1;

export class FoldRun {
  readonly #first: FoldSource;
  #last: FoldSource;
  readonly #elements: Grown[] = [];
  /** Skeletons and strings of all elements. */
  #elementBytes = 0;
  #stringCount = 0;
  readonly #steps: (number | readonly number[])[] = [];
  /** The end of plain data; unused where events are JSON, which cannot come to look like the end. */
  #tail = "";

  constructor(first: FoldSource) {
    this.#first = first;
    this.#last = first;
    this.#takeIn(first);
  }

  /** @returns whether it is part of the fold now; `false` leaves the run as it was */
  take(next: FoldSource): boolean {
    if (!this.#continues(next)) return false;
    if (this.#bytesWith(next) > SEGMENT_MAX_BYTES || this.#stepNumbersWith(next) > STEP_NUMBERS_MAX) return false;
    this.#takeIn(next);
    return true;
  }

  #continues(next: FoldSource): boolean {
    const last = this.#last;
    if (next.stored.firstSeq !== last.stored.lastSeq + 1 || next.frame.id.epoch !== last.frame.id.epoch) return false;
    if (next.frame.event !== last.frame.event || next.shape.isKeyed !== last.shape.isKeyed) return false;
    if (!areAlike(last, last.shape.outer, next, next.shape.outer)) return false;
    for (const part of next.shape.elements) {
      const grown = this.#elementOf(part);
      if (grown !== undefined && !areAlike(grown.source, grown.part, next, part)) return false;
    }
    return !this.#wouldLookDone(next);
  }

  #wouldLookDone({ frame }: FoldSource): boolean {
    return frame.data.endsWith("]") && frame.data.length < DONE_DATA.length && endsLikeDone(this.#tail + frame.data);
  }

  #elementOf({ key }: Part): Grown | undefined {
    return this.#elements.find(({ part }) => part.key === key);
  }

  #bytesWith(next: FoldSource): number {
    let bytes = next.outerBytes + this.#elementBytes;
    let count = this.#elements.length;
    let at = 0;
    for (const part of next.shape.elements) {
      const grown = this.#elementOf(part);
      if (grown === undefined) count++;
      bytes += bytesAt(next.skeletonBytes, at) - (grown?.skeletonBytes ?? 0) + bytesAt(next.stringBytes, at);
      at++;
    }
    return bytes + count - 1;
  }

  #stepNumbersWith(next: FoldSource): number {
    let strings = this.#stringCount;
    for (const part of next.shape.elements) if (this.#elementOf(part) === undefined) strings += part.cuts.length;
    return strings * (this.#steps.length + (next.stored.steps?.length ?? 1));
  }

  #takeIn(next: FoldSource): void {
    const { data } = next.frame;
    /** Which of the fold's strings is the source's n-th. */
    const places: number[] = [];
    let at = 0;
    for (const part of next.shape.elements) {
      const grown = this.#elementOf(part) ?? this.#newElement(part, next);
      const skeletonBytes = bytesAt(next.skeletonBytes, at);
      const stringBytes = bytesAt(next.stringBytes, at++);
      this.#elementBytes += skeletonBytes - grown.skeletonBytes + stringBytes;
      grown.skeletonBytes = skeletonBytes;
      grown.stringBytes += stringBytes;
      grown.part = part;
      grown.source = next;
      let string = 0;
      for (const cut of part.cuts) {
        if (!cut.appends) continue;
        grown.strings[string] = (grown.strings[string] ?? "") + data.slice(cut.start, cut.end);
        places.push(grown.firstString + string++);
      }
    }
    this.#keepSteps(next, places);
    this.#tail = (this.#tail + data.slice(-TAIL_CHARS)).slice(-TAIL_CHARS);
    this.#last = next;
  }

  #newElement(part: Part, source: FoldSource): Grown {
    const grown = { part, source, strings: [], firstString: this.#stringCount, skeletonBytes: 0, stringBytes: 0 };
    this.#stringCount += part.cuts.filter(({ appends }) => appends).length;
    this.#elements.push(grown);
    return grown;
  }

  #keepSteps(next: FoldSource, places: readonly number[]): void {
    const steps: FoldSteps = next.stored.steps ?? [next.lengths];
    if (places.length === this.#stringCount && places.every((place, at) => place === at)) {
      for (const step of steps) this.#steps.push(step);
      return;
    }
    for (const step of steps) {
      const placed = Array.from({ length: this.#stringCount }, () => UNTOUCHED);
      for (const [at, place] of places.entries()) placed[place] = stepAt(step, at);
      this.#steps.push(placed);
    }
  }

  /** The frame as it was where nothing came to it. */
  close(): StoredFrame {
    if (this.#first === this.#last) return this.#first.stored;
    const count = this.#stringCount;
    const steps = this.#steps.map((step) => {
      if (count === 1) return stepAt(step, 0);
      return Array.from({ length: count }, (_, at) => stepAt(step, at));
    });
    const texts = this.#elements.map(({ source, part, strings }) => partText(source.frame.data, part, strings));
    return {
      firstSeq: this.#first.stored.firstSeq,
      lastSeq: this.#last.stored.lastSeq,
      text: frameWith(this.#last.frame, this.#last.shape, texts),
      steps,
    };
  }
}

function bytesAt(bytes: readonly number[], at: number): number {
  return bytes[at] ?? 0;
}

/** The part's text with other strings in it. */
export function partText(data: string, part: Part, strings: readonly string[]): string {
  let text = "";
  let from = part.start;
  let string = 0;
  for (const cut of part.cuts) {
    if (!cut.appends) continue;
    text += data.slice(from, cut.start) + (strings[string++] ?? "");
    from = cut.end;
  }
  return text + data.slice(from, part.end);
}

/** The frame with other elements in it. */
export function frameWith(frame: ReadFrame, { hole }: Shape, elements: readonly string[]): string {
  const data = frame.data.slice(0, hole.start) + elements.join(",") + frame.data.slice(hole.end);
  return eventFrame(frame.id, { ...frame, data });
}

function areAlike(source: FoldSource, part: Part, other: FoldSource, otherPart: Part): boolean {
  const { skeleton } = source.shape;
  if (skeleton !== undefined && skeleton === other.shape.skeleton && part.key === otherPart.key) return true;
  return haveEqualSkeletons(source.frame.data, part, other.frame.data, otherPart);
}

/** Whether the two are the same but for the spans that may change. */
function haveEqualSkeletons(data: string, part: Part, otherData: string, other: Part): boolean {
  if (part.cuts.length !== other.cuts.length) return false;
  let from = part.start;
  let otherFrom = other.start;
  let at = 0;
  for (const cut of part.cuts) {
    const otherCut = other.cuts[at++];
    if (otherCut === undefined || cut.appends !== otherCut.appends) return false;
    if (data.slice(from, cut.start) !== otherData.slice(otherFrom, otherCut.start)) return false;
    from = cut.end;
    otherFrom = otherCut.end;
  }
  return data.slice(from, part.end) === otherData.slice(otherFrom, other.end);
}
