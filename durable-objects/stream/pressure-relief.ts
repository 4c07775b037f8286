/**
 * What a filling buffer does before it evicts: it folds, then takes verbose fields out, then compresses,
 * each time the oldest first, a bounded step at a time.
 *
 * Decides and transforms; what a step makes is put in place by stream-buffer.ts. A step reads at most
 * {@link STEP_MAX_BYTES} that no step of its kind has looked at before (or one event of up to
 * {@link TRIM_MAX_BYTES}), and of earlier folds what is not much larger than what joins them: so the work is in
 * proportion to what comes in, and never long at a time. It is bounded by bytes because clocks stand still during
 * a turn on the platform.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { PRESSURE_SHARE, type ReliefPolicy } from "../../protocol/relief.ts";
import type { Folder, StoredFrame } from "./fold/folding.ts";
import { createTrimmer, type Trimmer } from "./fold/payload-trim.ts";
import {
  sizeOf,
  changeOf,
  storedBytesOf,
  eventsOf,
  lastSeqOf,
  packAll,
  restored,
  type ReliefChange,
} from "./relief-change.ts";
import { factsOf, type BufferLimits, type Segment, type SegmentIndex } from "./segment-index.ts";
import { deflateRow, isDeflated } from "./segment-payload.ts";
import type { SegmentReading } from "./segment-reading.ts";
import { rowOf, type SegmentRow } from "./stream-store.ts";

export const STEP_MAX_BYTES = 64 * 1024;
/** Deflating is the slowest by far: one segment at a time. */
const DEFLATE_MAX_BYTES = SEGMENT_MAX_BYTES;
/** Beside folding the same bytes. */
const DEFLATE_COST = 2;
/** Fewer new events than this share of the limit are left to gather: reading them costs a commit. */
const MIN_BATCH_SHARE = 1 / 16;
/** A fold fuller than this is not taken up again. */
const FULL_FOLD_BYTES = SEGMENT_MAX_BYTES * 0.75;
/** How much larger a fold may be than what joins it: they double about, so that all of them are few … */
const JOIN_FACTOR = 2;
/** … and fewer still where the next thing to give way would be events. */
const URGENT_JOIN_FACTOR = 16;
/** Rewriting rows to save fewer events than this share costs more than it gives. */
const MIN_SAVED_SHARE = 1 / 8;
/** A larger event takes too long to look through in one turn. */
const TRIM_MAX_BYTES = 256 * 1024;
const NORMAL = 1;
const CRITICAL = 3;

export interface ReliefDeps {
  readonly index: SegmentIndex;
  readonly limits: BufferLimits;
  readonly policy: ReliefPolicy;
  readonly folder: Folder | undefined;
  readonly reading: SegmentReading;
}

/** How far each kind of step has looked, by seq. */
interface Cursors {
  folded: number;
  trimmed: number;
  compressed: number;
}

export class PressureRelief {
  private readonly cursors: Cursors = { folded: 0, trimmed: 0, compressed: 0 };
  /** Bytes that steps have read, ever: what a turn's work is measured by. */
  lookedBytes = 0;

  private readonly trim: Trimmer | undefined;

  private readonly deps: ReliefDeps;

  constructor(deps: ReliefDeps) {
    this.deps = deps;

    const { trimPaths } = deps.policy;
    this.trim = trimPaths.length === 0 ? undefined : createTrimmer(trimPaths);
  }

  /** Whether either limit is three quarters used up. */
  get isPressed(): boolean {
    const { index, limits } = this.deps;
    return index.retainedEvents >= limits.maxEvents * PRESSURE_SHARE || this.isPressedForBytes;
  }

  /** Whether a limit is exceeded. */
  get isOver(): boolean {
    const { index, limits } = this.deps;
    return index.retainedEvents > limits.maxEvents || index.retainedBytes > limits.maxBytes;
  }

  /**
   * The next step, if there is one.
   *
   * @param isUrgent a limit is exceeded: also what would be left to gather otherwise
   * @returns `looked` where a step's worth was looked at and nothing came of it: there may be more
   */
  next(isUrgent: boolean): ReliefChange | "looked" | undefined {
    return (
      this.nextFold(isUrgent) ?? (this.isPressedForBytes ? (this.nextTrim() ?? this.nextCompression()) : undefined)
    );
  }

  /** A step of folding, whether or not there is pressure. */
  nextFold(isUrgent: boolean): ReliefChange | "looked" | undefined {
    const { folder } = this.deps;
    if (folder === undefined) return undefined;
    for (;;) {
      const group = this.collect("folded", isFoldable);
      if (group === undefined) return undefined;
      if (!isUrgent && this.isStillGathering(group)) return undefined;
      const lookedThroughSeq = this.cursors.folded;
      this.cursors.folded = lastSeqOf(group);
      if (this.hasNothingNewToFold(group, lookedThroughSeq, folder)) return "looked";
      const joinFactor = isUrgent ? URGENT_JOIN_FACTOR : JOIN_FACTOR;
      // A lone event has nothing to fold with: passing over it reads nothing, and is no step.
      const hasCompany = eventsOf(group) > 1 || this.foldBefore(group, sizeOf(group) * joinFactor) !== undefined;
      if (hasCompany) return this.fold(group, folder, joinFactor) ?? "looked";
    }
  }

  /** Storage is back: what could not be put in its place meanwhile is looked at again. */
  beginAnew(): void {
    Object.assign(this.cursors, { folded: 0, trimmed: 0, compressed: 0 } satisfies Cursors);
  }

  private get isPressedForBytes(): boolean {
    const { index, limits } = this.deps;
    return index.retainedBytes >= limits.maxBytes * PRESSURE_SHARE;
  }

  /**
   * Folds a group, and what comes of it with the folds before it, as long as those are not much larger than what
   * joins them: like a binary counter, so that folds stay few, however small the groups, and work in proportion.
   */
  private fold(group: readonly Segment[], folder: Folder, joinFactor: number): ReliefChange | undefined {
    let olds = group;
    let folded = this.framesOf(group);
    if (folded === undefined) return undefined;
    folded = folder.fold(folded);
    for (;;) {
      const before = this.foldBefore(olds, Math.max(sizeOf(group), joinFactor * storedBytesOf(folded)));
      const earlier = before === undefined ? undefined : this.framesOf([before]);
      if (before === undefined || earlier === undefined) break;
      const together = folder.fold([...earlier, ...folded]);
      if (together.length === earlier.length + folded.length) break;
      olds = [before, ...olds];
      folded = together;
    }
    const events = eventsOf(olds);
    const saved = events - folded.length;
    if (saved === 0 || saved < events * MIN_SAVED_SHARE) return undefined;
    const news = packAll(folded, group[0]?.priority ?? NORMAL);
    if (this.costsTooMuch(sizeOf(news) - sizeOf(olds))) return undefined;
    // What was folded before has been counted then.
    return changeOf("folded", { olds, news, rows: news.map(rowOf), count: saved, lookedAt: group });
  }

  /**
   * Whether what has joined the open segment since it was last looked at folds with nothing: the rest of it need not
   * be read again for that.
   */
  private hasNothingNewToFold(group: readonly Segment[], lookedThroughSeq: number, folder: Folder): boolean {
    const [open] = group;
    if (open === undefined || group.length > 1 || open.firstSeq > lookedThroughSeq) return false;
    const fresh = this.deps.reading.freshFrames(open, lookedThroughSeq);
    if (fresh === undefined) return false;
    this.lookedBytes += storedBytesOf(fresh);
    return folder.fold(fresh).length === fresh.length;
  }

  /** Of events that append next to nothing, steps can take more than frames did: that is for where bytes are left. */
  private costsTooMuch(growthBytes: number): boolean {
    const { index, limits } = this.deps;
    return growthBytes > 0 && index.retainedBytes + growthBytes >= limits.maxBytes * PRESSURE_SHARE;
  }

  /** The fold right before these, where it is not full and no larger than `maxBytes`. */
  private foldBefore([first]: readonly Segment[], maxBytes: number): Segment | undefined {
    if (first === undefined) return undefined;
    const before = this.deps.index.from(first.firstSeq - 1);
    const isFold = before?.frameEnds !== undefined && before.lastSeq === first.firstSeq - 1;
    const joins = isFold && before.priority === first.priority;
    return joins && before.byteSize <= Math.min(FULL_FOLD_BYTES, maxBytes) ? before : undefined;
  }

  private nextTrim(): ReliefChange | "looked" | undefined {
    const { trim } = this;
    if (trim === undefined) return undefined;
    const olds = this.collect("trimmed", isTrimmable);
    if (olds === undefined) return undefined;
    this.cursors.trimmed = lastSeqOf(olds);
    const frames = this.framesOf(olds);
    if (frames === undefined) return "looked";
    let count = 0;
    const trimmed = frames.map((frame): StoredFrame => {
      // Folds were made of what fits a reader's deltas: nothing verbose is in them.
      const text = frame.steps === undefined ? trim(frame.text) : undefined;
      if (text === undefined) return frame;
      count++;
      return { ...frame, text };
    });
    if (count === 0) return "looked";
    const news = packAll(trimmed, olds[0]?.priority ?? NORMAL);
    return changeOf("trimmed", { olds, news, rows: news.map(rowOf), count });
  }

  private nextCompression(): ReliefChange | "looked" | undefined {
    if (!this.deps.policy.compresses) return undefined;
    const group = this.collect("compressed", isCompressible);
    if (group === undefined) return undefined;
    this.cursors.compressed = lastSeqOf(group);
    const olds: Segment[] = [];
    const rows: SegmentRow[] = [];
    for (const segment of group) {
      const payload = this.deps.reading.payload(segment);
      // A hole would part what must be put in place together.
      if (payload === undefined) break;
      this.lookedBytes += segment.wireBytes * DEFLATE_COST;
      olds.push(segment);
      const plain = { ...factsOf(segment), payload: payload.bytes, folds: payload.folds };
      rows.push(deflateRow(plain, 1) ?? plain);
    }
    const count = rows.filter(({ encoding }) => isDeflated(encoding)).length;
    if (count === 0) return "looked";
    const news = rows.map((row, at) => restored(row, olds[at]));
    return changeOf("compressed", { olds, news, rows, count });
  }

  /**
   * Up to a step's worth of adjacent segments of one priority that no step of this kind has looked at.
   * Those that it never looks at are passed over.
   */
  private collect(kind: keyof Cursors, isWanted: (segment: Segment) => boolean): Segment[] | undefined {
    const { index } = this.deps;
    let segment = index.from(this.cursors[kind] + 1);
    while (segment !== undefined && !isWanted(segment)) {
      // Only folding works in memory; for the others its turn comes once it is stored.
      if (!segment.isStored && kind !== "folded") return undefined;
      this.cursors[kind] = segment.lastSeq;
      segment = index.from(segment.lastSeq + 1);
    }
    const maxBytes = kind === "compressed" ? DEFLATE_MAX_BYTES : this.stepMaxBytes;
    const group: Segment[] = [];
    let bytes = 0;
    while (
      segment !== undefined &&
      isWanted(segment) &&
      bytes + segment.wireBytes <= Math.max(maxBytes, segment.wireBytes)
    ) {
      const before = group.at(-1);
      if (before !== undefined && !canShareStep(before, segment)) break;
      group.push(segment);
      bytes += segment.wireBytes;
      segment = index.from(segment.lastSeq + 1);
    }
    return group.length === 0 ? undefined : group;
  }

  /** The first steps are small: code that has never run is several times as slow. */
  private get stepMaxBytes(): number {
    return Math.min(STEP_MAX_BYTES, Math.max(SEGMENT_MAX_BYTES, this.lookedBytes));
  }

  /** Whether the group is what came last, and little: more of the same kind may come. */
  private isStillGathering(group: readonly Segment[]): boolean {
    const { index, limits } = this.deps;
    if (group.at(-1) !== index.newest()) return false;
    const isFew = eventsOf(group) < Math.max(2, limits.maxEvents * MIN_BATCH_SHARE);
    return isFew && sizeOf(group) < Math.min(SEGMENT_MAX_BYTES, limits.maxBytes * MIN_BATCH_SHARE);
  }

  private framesOf(segments: readonly Segment[]): StoredFrame[] | undefined {
    const frames: StoredFrame[] = [];
    for (const segment of segments) {
      const found = this.deps.reading.frames(segment);
      // Lost by storage just now: the buffer has noted it.
      if (found === undefined) return undefined;
      this.lookedBytes += Math.max(segment.byteSize, segment.wireBytes);
      for (const frame of found) frames.push(frame);
    }
    return frames;
  }
}

/** Neighbours of one priority; a large event alone, so that it is left in place where nothing is taken from it. */
function canShareStep(before: Segment, segment: Segment): boolean {
  const isSmall = before.wireBytes <= SEGMENT_MAX_BYTES && segment.wireBytes <= SEGMENT_MAX_BYTES;
  return isSmall && before.priority === segment.priority && before.lastSeq + 1 === segment.firstSeq;
}

function isFoldable(segment: Segment): boolean {
  return segment.priority !== CRITICAL && segment.wireBytes <= SEGMENT_MAX_BYTES;
}

function isTrimmable(segment: Segment): boolean {
  return segment.isStored && segment.priority <= NORMAL && segment.wireBytes <= TRIM_MAX_BYTES;
}

/** Larger ones hold a single event, which readers are sent slice by slice. */
function isCompressible(segment: Segment): boolean {
  return segment.isStored && segment.wireBytes <= SEGMENT_MAX_BYTES && !isDeflated(segment.encoding);
}
