/**
 * What a filling buffer does before it evicts: it folds, then takes verbose fields out, then compresses,
 * each time the oldest first, a bounded step at a time.
 *
 * Decides and transforms; what a step makes is put in place by stream-buffer.ts. A step reads at most
 * {@link STEP_MAX_BYTES} that no step of its kind has looked at before, and as much again at most of what
 * was folded already: so the work is in proportion to what comes in, and never long at a time. It is
 * bounded by bytes because clocks stand still during a turn on the platform.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { PRESSURE_SHARE, type ReliefPolicy } from "../../protocol/relief.ts";
import type { Folder, StoredFrame } from "./fold/folding.ts";
import { trimPayload } from "./fold/payload-trim.ts";
import { factsOf, toSegment, type BufferLimits, type Segment, type SegmentIndex } from "./segment-index.ts";
import { deflateRow, isDeflated, packFrames } from "./segment-payload.ts";
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
/** Rewriting rows to save fewer events than this share costs more than it gives. */
const MIN_SAVED_SHARE = 1 / 8;
/** A larger event takes too long to look through in one turn. */
const TRIM_MAX_BYTES = 256 * 1024;
const NORMAL = 1;
const CRITICAL = 3;

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
  /** The newest fold: what comes next may still join it. */
  private lastFolded: Segment | undefined;

  private readonly deps: ReliefDeps;

  constructor(deps: ReliefDeps) {
    this.deps = deps;
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
      this.cursors.folded = lastSeqOf(group);
      const olds = this.withTail(group);
      // A lone event has nothing to fold with: passing over it reads nothing, and is no step.
      if (eventsOf(olds) > 1) return this.fold(olds, folder) ?? "looked";
    }
  }

  /** Storage has refused a step's work: nothing of it is kept in memory. */
  noteRefused(): void {
    this.lastFolded = undefined;
  }

  /** Storage is back: what could not be put in its place meanwhile is looked at again. */
  beginAnew(): void {
    Object.assign(this.cursors, { folded: 0, trimmed: 0, compressed: 0 } satisfies Cursors);
  }

  private get isPressedForBytes(): boolean {
    const { index, limits } = this.deps;
    return index.retainedBytes >= limits.maxBytes * PRESSURE_SHARE;
  }

  private fold(olds: readonly Segment[], folder: Folder): ReliefChange | undefined {
    this.lastFolded = undefined;
    const frames = this.framesOf(olds);
    if (frames === undefined) return undefined;
    const folded = folder.fold(frames);
    const saved = frames.length - folded.length;
    if (saved === 0 || saved < frames.length * MIN_SAVED_SHARE) return undefined;
    const news = packAll(folded, olds[0]?.priority ?? NORMAL);
    this.lastFolded = news.at(-1);
    return changeOf("folded", { olds, news, rows: news.map(rowOf), count: saved });
  }

  private nextTrim(): ReliefChange | "looked" | undefined {
    const { trimPaths } = this.deps.policy;
    if (trimPaths.length === 0) return undefined;
    const olds = this.collect("trimmed", isTrimmable);
    if (olds === undefined) return undefined;
    this.cursors.trimmed = lastSeqOf(olds);
    const frames = this.framesOf(olds);
    if (frames === undefined) return "looked";
    let count = 0;
    const trimmed = frames.map((frame): StoredFrame => {
      // Folds were made of what fits a reader's deltas: nothing verbose is in them.
      const text = frame.steps === undefined ? trimPayload(frame.text, trimPaths) : undefined;
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
    return isFew && bytesOf(group) < Math.min(SEGMENT_MAX_BYTES, limits.maxBytes * MIN_BATCH_SHARE);
  }

  /** With the fold before it, where that is not large beside the group. */
  private withTail(group: readonly Segment[]): readonly Segment[] {
    const { lastFolded: tail } = this;
    const [first] = group;
    const joins =
      tail !== undefined &&
      first !== undefined &&
      // Storage may have refused it its place.
      this.deps.index.from(tail.firstSeq) === tail &&
      tail.priority === first.priority &&
      tail.lastSeq + 1 === first.firstSeq &&
      tail.wireBytes <= Math.min(FULL_FOLD_BYTES, bytesOf(group));
    return joins ? [tail, ...group] : group;
  }

  private framesOf(segments: readonly Segment[]): StoredFrame[] | undefined {
    const frames: StoredFrame[] = [];
    for (const segment of segments) {
      const found = this.deps.reading.frames(segment);
      // Lost by storage just now: the buffer has noted it.
      if (found === undefined) return undefined;
      this.lookedBytes += segment.wireBytes;
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

function packAll(frames: readonly StoredFrame[], priority: Segment["priority"]): Segment[] {
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
    const size = byteLength(frame.text);
    if (bytes + size > SEGMENT_MAX_BYTES) close();
    run.push(frame);
    bytes += size;
  }
  close();
  return news;
}

function restored(row: SegmentRow, old: Segment | undefined): Segment {
  const segment = toSegment(row, { isStored: true, pieces: [], folds: undefined });
  if (old !== undefined) {
    segment.floorSeq = old.floorSeq;
    segment.goneEvents = old.goneEvents;
  }
  return segment;
}

function changeOf(
  kind: ReliefChange["kind"],
  change: Pick<ReliefChange, "olds" | "news" | "rows" | "count">,
): ReliefChange {
  const { olds, news } = change;
  const events = olds.reduce((sum, { lastSeq, floorSeq }) => sum + lastSeq - floorSeq + 1, 0);
  return { kind, ...change, events, seq: lastSeqOf(olds), savedBytes: sizeOf(olds) - sizeOf(news) };
}

function lastSeqOf(segments: readonly Segment[]): number {
  return segments.at(-1)?.lastSeq ?? 0;
}

function eventsOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { eventCount, goneEvents }) => sum + eventCount - goneEvents, 0);
}

function sizeOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { byteSize }) => sum + byteSize, 0);
}

function bytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
}

const textEncoder = new TextEncoder();

function byteLength(text: string): number {
  return textEncoder.encode(text).byteLength;
}
