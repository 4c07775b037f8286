/**
 * The bounded event buffer of one stream: frames events, keeps them in segments, writes the
 * segments in batches, gives way when full, and reads back for replay.
 *
 * Not for: readers (see reader-feed.ts) or the stream's life (see stream-session.ts).
 *
 * A segment closes when its priority class changes, and all closed segments of a commit interval
 * are written in one transaction: a row each, one commit together.
 *
 * When storage refuses a write the buffer is degraded: segments stay in memory, at most
 * {@link HOT_TAIL_MAX_BYTES} of them, and the next write takes along all that is still there.
 */
import type { EventId } from "../../protocol/event-id.ts";
import { HOT_TAIL_MAX_BYTES, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { Priority } from "../../protocol/priority.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import type { Classify } from "./classify.ts";
import { createFolder, type Folder } from "./fold/folding.ts";
import { frameEvents } from "./framing.ts";
import { idInEpochs, locateInEpochs, type Located } from "./positions.ts";
import { PressureRelief } from "./pressure-relief.ts";
import type { ReliefChange } from "./relief-change.ts";
import {
  SegmentIndex,
  openSegment,
  toSegment,
  type BufferLimits,
  type Eviction,
  type Piece,
  type Segment,
  type SegmentFacts,
} from "./segment-index.ts";
import { Sampling } from "./sampling.ts";
import { SegmentReading } from "./segment-reading.ts";
import { SegmentWrites } from "./segment-writes.ts";
import { countSourceEvents, rowOf, type StreamRecord, type StreamStore } from "./stream-store.ts";

const LOW: Priority = 0;
const CRITICAL: Priority = 3;
/** Relief in one turn while a limit is exceeded: more than a turn brings in, and less than is felt. */
const RELIEF_MAX_BYTES = 64 * 1024;
const RELIEF_MAX_STEPS = 16;
export interface Trim {
  readonly priority: Priority;
  /** The last of the events. */
  readonly seq: number;
  readonly events: number;
  readonly bytes: number;
  readonly reason: Eviction["reason"] | "sampled";
}

export interface BufferDeps {
  readonly store: StreamStore;
  readonly record: StreamRecord;
  readonly classify: Classify;
  /** Told of events that are kept no more, or never were. */
  readonly onTrim: (trim: Trim) => void;
  /** Told of what gave way otherwise. */
  readonly onRelief: (change: ReliefChange) => void;
  /** Told when storage starts to fail and when it is back. */
  readonly onDegraded: (isDegraded: boolean) => void;
}

export class StreamBuffer {
  private readonly index = new SegmentIndex();
  private readonly limits: BufferLimits;
  readonly reading: SegmentReading;
  readonly folder: Folder | undefined;
  private readonly relief: PressureRelief;
  /** Whether the last step of relief may not have been the last there is to do. */
  private mayRelieve = false;
  private readonly sampling: Sampling;
  private readonly writes: SegmentWrites;
  /** Of events that only memory holds. */
  unstoredBytes = 0;
  private hasUrgent = false;
  /** When the first event of the newest segment came. */
  private openSinceMs = 0;
  /** When the oldest unwritten event came, or a write last failed; `undefined` when all is written. */
  oldestUnstoredAtMs: number | undefined;
  isDegraded = false;
  lastSeq = 0;
  trimmedEvents = 0;

  private readonly deps: BufferDeps;

  constructor(deps: BufferDeps, stored: readonly SegmentFacts[] | undefined) {
    this.deps = deps;
    this.writes = new SegmentWrites(deps, stored !== undefined);
    const { settings, relief } = deps.record;
    this.limits = { maxEvents: settings.bufferMaxEvents, maxBytes: settings.bufferMaxBytes };
    this.folder = relief.fold === undefined ? undefined : createFolder(relief.fold);
    const { index, limits, folder } = this;
    this.reading = new SegmentReading({ store: deps.store, folder, onLost: (segment) => this.noteLost(segment) });
    this.relief = new PressureRelief({ index, limits, folder, policy: relief, reading: this.reading });
    this.sampling = new Sampling(relief.lowPriorityShare);
    for (const facts of stored ?? []) index.push(toSegment(facts, { isStored: true, pieces: [], folds: undefined }));
    this.lastSeq = Math.max(deps.record.durableSeq, stored?.at(-1)?.lastSeq ?? 0);
    this.trimmedEvents = this.lastSeq - countSourceEvents(stored ?? []);
    // Rows do not show what of a segment had given way: as much gives way again. It has been told.
    for (const eviction of index.enforce(limits)) this.giveUp(eviction);
  }

  get retainedEvents(): number {
    return this.index.retainedEvents;
  }

  get retainedBytes(): number {
    return this.index.retainedBytes;
  }

  get segmentCount(): number {
    return this.index.size;
  }

  /** First retained seq, or `undefined` when nothing is retained. */
  get firstSeq(): number | undefined {
    return this.index.oldest()?.floorSeq;
  }

  /**
   * Frames events and takes them in. Writes nothing: see {@link flush}. The caller hands the pieces
   * to its readers, then calls {@link settle}.
   */
  append(events: readonly SourceEvent[], nowMs: number): readonly Piece[] {
    const firstSeq = this.lastSeq + 1;
    const pieces = frameEvents(events, {
      epoch: this.deps.record.epochs.at(-1)?.epoch ?? 1,
      firstSeq,
      classify: this.deps.classify,
      keeps: (priority) => this.keeps(priority),
    });
    this.lastSeq += events.length;
    for (const piece of pieces) {
      if (piece.priority === CRITICAL) this.hasUrgent = true;
      if (piece.isKept) this.place(piece, piece.priority);
      else this.noteSampledOut(piece);
    }
    if (pieces.length > 0) this.oldestUnstoredAtMs ??= nowMs;
    const open = this.index.newest();
    if (open !== undefined && open.firstSeq >= firstSeq) this.openSinceMs = nowMs;
    return pieces;
  }

  /** Relief where the buffer fills, B3 in any case, and a write if enough is waiting or something urgent. */
  settle(nowMs: number): void {
    const endBytes = this.relief.lookedBytes + RELIEF_MAX_BYTES;
    for (let step = 0; step === 0 ? this.relief.isPressed : this.relief.isOver; step++) {
      if (step === RELIEF_MAX_STEPS || this.relief.lookedBytes >= endBytes || !this.relieve(nowMs)) break;
    }
    this.enforce();
    // A failing storage is tried again at the commit interval, not once for every chunk.
    if (this.isDegraded) this.trimHotTail();
    else if (this.hasUrgent) this.flush(nowMs);
    else if (this.unstoredBytes >= SEGMENT_MAX_BYTES) this.flushClosed(nowMs);
  }

  /** Whether there is relief left to do, in a turn of its own: see {@link relieve}. */
  get hasReliefToDo(): boolean {
    return this.mayRelieve && this.relief.isPressed;
  }

  /**
   * One bounded step of relief.
   *
   * @returns whether there may be more to do
   */
  relieve(nowMs: number): boolean {
    const change = this.relief.next(this.relief.isOver);
    this.mayRelieve = change !== undefined;
    if (change !== undefined && change !== "looked") this.apply(change, nowMs);
    return this.mayRelieve;
  }

  /** Folds whatever can be, pressure or not: before a finished stream is archived. One bounded step. */
  foldFurther(nowMs: number): boolean {
    const change = this.relief.nextFold(true);
    if (change !== undefined && change !== "looked") this.apply(change, nowMs);
    return change !== undefined;
  }

  /**
   * Writes what is not stored yet, in one transaction, and deletes the rows of what was evicted.
   * A failure is not an error of the stream: the buffer goes on degraded.
   */
  flush(nowMs: number, options: { withRecord?: boolean } = {}): void {
    if (options.withRecord === true) this.writes.isRecordDirty = true;
    this.commit(this.index.unstored(), nowMs);
  }

  /** Writes what will grow no more, and leaves the open segment for later: fewer and fuller rows. */
  private flushClosed(nowMs: number): void {
    const unstored = this.index.unstored();
    const isOpen = (unstored.at(-1)?.byteSize ?? 0) < SEGMENT_MAX_BYTES;
    // The record says how far all is durable, so it is only written with all.
    const canWait = isOpen && unstored.length > 1 && !this.writes.isRecordDirty && !this.isLastSeqHidden();
    this.commit(canWait ? unstored.slice(0, -1) : unstored, nowMs);
  }

  private commit(write: readonly Segment[], nowMs: number): void {
    const { writes, lastSeq } = this;
    const isNothing = write.length === 0 && writes.drops.length === 0;
    // Degraded with nothing left to write, the record is what finds storage back.
    const needsRecord = writes.isRecordDirty || this.isLastSeqHidden() || (isNothing && this.isDegraded);
    if (isNothing && !needsRecord) return this.markStored(write);
    const recordThroughSeq = needsRecord ? lastSeq : undefined;
    if (!writes.commitAll(write.map(rowOf), recordThroughSeq)) return this.noteRefusal(nowMs);
    this.markStored(write);
    this.setDegraded(false);
  }

  /** Whatever the storage's reason: readers go on live, and an interval later it is tried again. */
  private noteRefusal(nowMs: number): void {
    this.oldestUnstoredAtMs = nowMs;
    this.hasUrgent = false;
    this.trimHotTail();
    this.setDegraded(true);
  }

  /** Puts a step's segments in the place of those they were made of: in storage first, where those lie there. */
  private apply(change: ReliefChange, nowMs: number): void {
    const { olds, news, rows } = change;
    const drop = olds.filter(({ isStored }) => isStored).map(({ firstSeq }) => firstSeq);
    if (drop.length > 0) {
      if (this.isDegraded) return;
      if (!this.writes.replace(rows, drop)) return this.noteRefusal(nowMs);
      for (const segment of news) store(segment);
    }
    this.index.replace(olds, news);
    this.recountUnstored();
    // A fold takes the open segment along: with nothing left to write, no commit is due.
    if (this.unstoredBytes === 0 && this.writes.drops.length === 0 && !this.isLastSeqHidden()) {
      this.oldestUnstoredAtMs = undefined;
    }
    this.deps.onRelief(change);
  }

  /** First retained seq that is `seq` or later, or `undefined` when there is none. */
  firstRetainedFrom(seq: number): number | undefined {
    const segment = this.index.from(seq);
    return segment === undefined ? undefined : Math.max(seq, segment.floorSeq);
  }

  /** What follows the first hole at `seq` or later; `undefined` where all from `seq` on is retained. */
  firstAfterHole(seq: number): number | undefined {
    return this.index.firstAfterHole(seq, this.lastSeq);
  }

  /** The segment that holds a retained seq. */
  segmentAt(seq: number): Segment | undefined {
    return this.index.from(seq);
  }

  /** The id an event was sent under. */
  idOf(seq: number): EventId {
    return idInEpochs(this.deps.record.epochs, seq);
  }

  locate(position: EventId): Located {
    return locateInEpochs(this.deps.record.epochs, this.lastSeq, position);
  }

  /** Under pressure, and with no relief left to do, only a share of the low-priority events is kept. */
  private keeps(priority: Priority): boolean {
    return priority !== LOW || this.mayRelieve || !this.relief.isPressed || this.sampling.keepsNext();
  }

  private noteSampledOut(piece: Piece): void {
    const events = piece.lastSeq - piece.firstSeq + 1;
    this.deps.record.given.sampledEvents += events;
    this.trimmedEvents += events;
    const bytes = piece.bytes.byteLength;
    this.deps.onTrim({ seq: piece.lastSeq, priority: LOW, events, bytes, reason: "sampled" });
  }

  private place(piece: Piece, priority: Priority): void {
    const size = piece.bytes.byteLength;
    this.unstoredBytes += size;
    const open = this.index.newest();
    const canGrow =
      open !== undefined &&
      // Newer segments may have been evicted and forgotten: a run must stay without holes.
      open.lastSeq + 1 === piece.firstSeq &&
      !open.isStored &&
      !open.isEvicted &&
      open.priority === priority &&
      open.encoding === "plain" &&
      open.byteSize + size <= SEGMENT_MAX_BYTES;
    if (canGrow) this.index.grow(open, piece);
    else this.index.push(openSegment(piece, priority));
  }

  private enforce(): void {
    for (const eviction of this.index.enforce(this.limits)) this.noteEviction(eviction);
  }

  private noteEviction(eviction: Eviction): void {
    this.giveUp(eviction);
    const { segment, seq, events, bytes, reason } = eviction;
    this.deps.onTrim({ seq, priority: segment.priority, events, bytes, reason });
  }

  private giveUp(eviction: Eviction): void {
    const { segment } = eviction;
    if (segment.isEvicted && segment.isStored) this.writes.drops.push(segment.firstSeq);
    if (segment.isEvicted && !segment.isStored) this.unstoredBytes -= eviction.bytes;
    if (eviction.reason === "storage_lost") this.noteStorageLost(segment.floorSeq, eviction.seq);
    this.trimmedEvents += eviction.events;
  }

  /** In the record, so that it is still told after a restart. */
  private noteStorageLost(firstSeq: number, lastSeq: number): void {
    const { record } = this.deps;
    const { fromSeq, throughSeq } = record.lost ?? { fromSeq: firstSeq, throughSeq: lastSeq };
    record.lost = { fromSeq: Math.min(fromSeq, firstSeq), throughSeq: Math.max(throughSeq, lastSeq) };
    this.writes.isRecordDirty = true;
  }

  /** Whether failing storage lost any of these events, as against their giving way. */
  hasLost(firstSeq: number, lastSeq: number): boolean {
    const { lost } = this.deps.record;
    return lost !== undefined && firstSeq <= lost.throughSeq && lastSeq >= lost.fromSeq;
  }

  private noteLost(segment: Segment): void {
    this.noteEviction(this.index.evict(segment, "storage_lost"));
    this.setDegraded(true);
  }

  private markStored(segments: readonly Segment[]): void {
    segments.forEach(store);
    this.recountUnstored();
    // All but the open one are written together.
    this.oldestUnstoredAtMs = this.unstoredBytes === 0 ? undefined : this.openSinceMs;
    this.hasUrgent = false;
  }

  private recountUnstored(): void {
    this.unstoredBytes = this.index.unstored().reduce((sum, { byteSize }) => sum + byteSize, 0);
  }

  /** Segments show the highest durable seq by themselves, unless the newest of them gave way. */
  private isLastSeqHidden(): boolean {
    const newest = this.index.newest();
    const isShown = newest !== undefined && !newest.isEvicted && newest.lastSeq === this.lastSeq;
    return !isShown && this.deps.record.durableSeq < this.lastSeq;
  }

  /** B4 holds for the hot tail too. */
  private trimHotTail(): void {
    const unstored = this.index.unstored().sort((a, b) => a.priority - b.priority || a.firstSeq - b.firstSeq);
    for (const segment of unstored) {
      if (this.unstoredBytes <= HOT_TAIL_MAX_BYTES) break;
      this.noteEviction(this.index.evict(segment, "storage_lost"));
    }
  }

  private setDegraded(isDegraded: boolean): void {
    if (this.isDegraded === isDegraded) return;
    this.isDegraded = isDegraded;
    if (!isDegraded) this.relief.beginAnew();
    this.deps.onDegraded(isDegraded);
  }
}

function store(segment: Segment): void {
  segment.isStored = true;
  segment.pieces = [];
  segment.folds = undefined;
}
