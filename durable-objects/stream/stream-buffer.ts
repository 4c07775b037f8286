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
import { START_POSITION } from "../../protocol/event-id.ts";
import { HOT_TAIL_MAX_BYTES, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { Priority } from "../../protocol/priority.ts";
import { eventFrame, skipFramesThrough, type SourceEvent } from "../../protocol/sse-frame.ts";
import type { Classify } from "./classify.ts";
import { SegmentIndex, type BufferLimits, type Eviction, type Piece, type Segment } from "./segment-index.ts";
import type { Epoch, StoredSegment, StreamRecord, StreamStore } from "./stream-store.ts";

const CRITICAL: Priority = 3;
const textEncoder = new TextEncoder();

export interface BufferDeps {
  readonly store: StreamStore;
  readonly record: StreamRecord;
  readonly classify: Classify;
  /** Told of evictions after they happened, at the latest with the next write. */
  readonly onEviction: (eviction: Eviction) => void;
  /** Told when storage starts to fail and when it is back. */
  readonly onDegraded: (isDegraded: boolean) => void;
}

/** Where a reader's id stands in this stream. */
export type Located =
  | { readonly kind: "here"; readonly seq: number }
  /** The reader saw events that died with an earlier incarnation of the object. */
  | { readonly kind: "rewound"; readonly seq: number }
  /** No event of this stream ever had this id. */
  | { readonly kind: "unknown" };

interface Draft {
  readonly firstSeq: number;
  readonly priority: Priority;
  readonly frames: string[];
  chars: number;
}

export class StreamBuffer {
  private readonly index = new SegmentIndex();
  private readonly limits: BufferLimits;
  /** First seqs of evicted segments whose rows wait to be deleted with the next write. */
  private pendingDrops: number[] = [];
  private unstoredBytes = 0;
  private hasUrgent = false;
  /** Whether the tables exist: false only while a failing storage has not let them be made. */
  private isCreated: boolean;
  /** The stream's record has changed, and storage has not taken it yet. */
  private isRecordDirty = false;
  private unreportedTrim: Eviction | undefined;
  /** When the first event of the newest segment came. */
  private openSinceMs = 0;
  /** When the oldest unwritten event came, or a write last failed; `undefined` when all is written. */
  oldestUnstoredAtMs: number | undefined;
  isDegraded = false;
  /** Last event lost to failing storage, as against evicted; 0 where none was. */
  lostThroughSeq = 0;
  lastSeq = 0;
  trimmedEvents = 0;

  private readonly deps: BufferDeps;

  constructor(deps: BufferDeps, stored: readonly StoredSegment[] | undefined) {
    this.deps = deps;

    this.isCreated = stored !== undefined;
    const { settings } = deps.record;
    this.limits = { maxEvents: settings.bufferMaxEvents, maxBytes: settings.bufferMaxBytes };
    for (const row of stored ?? []) {
      this.index.push({ ...row, floorSeq: row.firstSeq, isEvicted: false, isStored: true, pieces: [] });
    }
    this.lastSeq = Math.max(deps.record.durableSeq, stored?.at(-1)?.lastSeq ?? 0);
    this.trimmedEvents = this.lastSeq - this.index.retainedEvents;
    this.enforce();
    this.reportTrim();
  }

  get retainedEvents(): number {
    return this.index.retainedEvents;
  }

  get retainedBytes(): number {
    return this.index.retainedBytes;
  }

  /** First retained seq, or `undefined` when nothing is retained. */
  get firstSeq(): number | undefined {
    return this.index.oldest()?.floorSeq;
  }

  /**
   * Frames events and takes them in. Writes nothing: see {@link flush}. The caller hands the pieces
   * to its readers, then calls {@link settle}.
   */
  append(events: readonly SourceEvent[], nowMs: number): Piece[] {
    const epoch = this.currentEpoch();
    const firstSeq = this.lastSeq + 1;
    const pieces: Piece[] = [];
    let draft: Draft | undefined;
    for (const event of events) {
      const seq = ++this.lastSeq;
      const frame = eventFrame({ epoch, seq }, event);
      const priority = this.deps.classify(event);
      if (priority === CRITICAL) this.hasUrgent = true;
      const isNewRun =
        draft === undefined || draft.priority !== priority || draft.chars + frame.length > SEGMENT_MAX_BYTES;
      if (draft === undefined || isNewRun) {
        if (draft !== undefined) this.closeDraft(draft, pieces);
        draft = { firstSeq: seq, priority, frames: [], chars: 0 };
      }
      draft.frames.push(frame);
      draft.chars += frame.length;
    }
    if (draft !== undefined) this.closeDraft(draft, pieces);
    if (pieces.length > 0) this.oldestUnstoredAtMs ??= nowMs;
    const open = this.index.newest();
    if (open !== undefined && open.firstSeq >= firstSeq) this.openSinceMs = nowMs;
    return pieces;
  }

  /** B3: brings the buffer within its limits, and writes if enough is waiting or something urgent. */
  settle(nowMs: number): void {
    this.enforce();
    // A failing storage is tried again at the commit interval, not once for every chunk.
    if (this.isDegraded) this.trimHotTail();
    else if (this.hasUrgent) this.flush(nowMs);
    else if (this.unstoredBytes >= SEGMENT_MAX_BYTES) this.flushClosed(nowMs);
  }

  /**
   * Writes what is not stored yet, in one transaction, and deletes the rows of what was evicted.
   * A failure is not an error of the stream: the buffer goes on degraded.
   */
  flush(nowMs: number, options: { withRecord?: boolean } = {}): void {
    if (options.withRecord === true) this.isRecordDirty = true;
    this.commit(this.index.unstored(), nowMs);
  }

  /** Writes what will grow no more, and leaves the open segment for later: fewer and fuller rows. */
  private flushClosed(nowMs: number): void {
    const unstored = this.index.unstored();
    const isOpen = (unstored.at(-1)?.byteSize ?? 0) < SEGMENT_MAX_BYTES;
    // The record says how far all is durable, so it is only written with all.
    const canWait = isOpen && unstored.length > 1 && !this.isRecordDirty && !this.isLastSeqHidden();
    this.commit(canWait ? unstored.slice(0, -1) : unstored, nowMs);
  }

  private commit(write: readonly Segment[], nowMs: number): void {
    this.reportTrim();
    const needsRecord = this.isRecordDirty || this.isLastSeqHidden();
    if (write.length === 0 && this.pendingDrops.length === 0 && !needsRecord) return this.markStored(write);
    if (!this.tryCommit(write, needsRecord)) {
      // Whatever the storage's reason: readers go on live, and an interval later it is tried again.
      this.oldestUnstoredAtMs = nowMs;
      this.degrade();
      return;
    }
    this.pendingDrops = [];
    this.isRecordDirty = false;
    this.markStored(write);
    this.setDegraded(false);
  }

  /** First retained seq that is `seq` or later, or `undefined` when there is none. */
  firstRetainedFrom(seq: number): number | undefined {
    const segment = this.index.from(seq);
    return segment === undefined ? undefined : Math.max(seq, segment.floorSeq);
  }

  /** The segment that holds a retained seq. */
  segmentAt(seq: number): Segment | undefined {
    return this.index.from(seq);
  }

  /**
   * The next frames from `seq` on, at most one segment's worth, from memory or storage.
   *
   * @returns the bytes and the last seq they hold; `undefined` if storage lost them (the segment is
   *   then evicted, and the caller finds a gap there)
   */
  read(segment: Segment, seq: number): { bytes: Uint8Array; lastSeq: number } | undefined {
    if (!segment.isStored) {
      const piece = segment.pieces.find((candidate) => candidate.lastSeq >= seq);
      if (piece === undefined) throw new Error("an unstored segment holds no piece for a retained seq");
      return { bytes: skipFramesThrough(piece.bytes, seq - 1), lastSeq: piece.lastSeq };
    }
    const payload = this.tryRead(segment, () => this.deps.store.readPayload(segment.firstSeq));
    return payload === undefined ? undefined : { bytes: skipFramesThrough(payload, seq - 1), lastSeq: segment.lastSeq };
  }

  /** Part of a segment larger than {@link SEGMENT_MAX_BYTES}, which holds a single event. */
  readSlice(segment: Segment, offset: number): Uint8Array | undefined {
    const length = Math.min(SEGMENT_MAX_BYTES, segment.byteSize - offset);
    const [piece] = segment.pieces;
    if (piece !== undefined) return piece.bytes.slice(offset, offset + length);
    return this.tryRead(segment, () => this.deps.store.readSlice(segment.firstSeq, offset, length));
  }

  /** The id an event was sent under. */
  idOf(seq: number): EventId {
    if (seq === 0) return START_POSITION;
    const { epochs } = this.deps.record;
    for (let at = epochs.length - 1; at >= 0; at--) {
      const epoch = epochs[at];
      if (epoch !== undefined && epoch.firstSeq <= seq) return { epoch: epoch.epoch, seq };
    }
    throw new Error(`no epoch holds seq ${seq}`);
  }

  locate(position: EventId): Located {
    if (position.seq === 0) return { kind: "here", seq: 0 };
    const { epochs } = this.deps.record;
    const at = epochs.findIndex((candidate) => candidate.epoch === position.epoch);
    const epoch: Epoch | undefined = epochs[at];
    if (epoch === undefined || position.seq < epoch.firstSeq) return { kind: "unknown" };
    const next = epochs[at + 1];
    const lastSeq = next === undefined ? this.lastSeq : next.firstSeq - 1;
    if (position.seq <= lastSeq) return { kind: "here", seq: position.seq };
    return next === undefined ? { kind: "unknown" } : { kind: "rewound", seq: lastSeq };
  }

  private tryCommit(write: readonly Segment[], withRecord: boolean): boolean {
    const { record, store } = this.deps;
    const durableSeqBefore = record.durableSeq;
    try {
      // The first record is written by itself, and must not promise what the commit may not keep.
      if (!this.isCreated) store.create(record);
      this.isCreated = true;
      if (withRecord) record.durableSeq = this.lastSeq;
      store.commit({ write, drop: this.pendingDrops, record: withRecord ? record : undefined });
      return true;
    } catch {
      // The caller goes on degraded, and says so.
      record.durableSeq = durableSeqBefore;
      return false;
    }
  }

  private currentEpoch(): number {
    return this.deps.record.epochs.at(-1)?.epoch ?? 1;
  }

  private closeDraft(draft: Draft, pieces: Piece[]): void {
    for (const piece of encodeDraft(draft.frames, draft.firstSeq)) {
      pieces.push(piece);
      this.place(piece, draft.priority);
    }
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
      open.byteSize + size <= SEGMENT_MAX_BYTES;
    if (canGrow) return this.index.grow(open, piece);
    this.index.push({
      firstSeq: piece.firstSeq,
      lastSeq: piece.lastSeq,
      priority,
      eventCount: piece.lastSeq - piece.firstSeq + 1,
      byteSize: size,
      encoding: "plain",
      floorSeq: piece.firstSeq,
      isEvicted: false,
      isStored: false,
      pieces: [piece],
    });
  }

  private enforce(): void {
    for (const eviction of this.index.enforce(this.limits)) this.noteEviction(eviction);
  }

  private noteEviction(eviction: Eviction): void {
    const { segment } = eviction;
    if (segment.isEvicted && segment.isStored) this.pendingDrops.push(segment.firstSeq);
    if (segment.isEvicted && !segment.isStored) this.unstoredBytes -= eviction.bytes;
    if (eviction.reason === "storage_lost") this.lostThroughSeq = Math.max(this.lostThroughSeq, eviction.seq);
    this.trimmedEvents += eviction.events;
    this.noteTrim(eviction);
  }

  /** One report for all that one segment gave up since the last write: telemetry per event would cost more. */
  private noteTrim(eviction: Eviction): void {
    const { unreportedTrim: earlier } = this;
    const isSame = earlier?.segment === eviction.segment && earlier.reason === eviction.reason;
    if (!isSame) this.reportTrim();
    this.unreportedTrim = isSame
      ? { ...eviction, events: earlier.events + eviction.events, bytes: earlier.bytes + eviction.bytes }
      : eviction;
    if (eviction.reason === "storage_lost") this.reportTrim();
  }

  private reportTrim(): void {
    if (this.unreportedTrim !== undefined) this.deps.onEviction(this.unreportedTrim);
    this.unreportedTrim = undefined;
  }

  private tryRead(segment: Segment, read: () => Uint8Array): Uint8Array | undefined {
    try {
      return read();
    } catch {
      // Storage cannot give the events back: for readers they are gone, and a gap says so.
      this.noteEviction(this.index.evict(segment, "storage_lost"));
      this.setDegraded(true);
      return undefined;
    }
  }

  private markStored(segments: readonly Segment[]): void {
    for (const segment of segments) {
      segment.isStored = true;
      segment.pieces = [];
    }
    const open = this.index.unstored().at(-1);
    this.unstoredBytes = open?.byteSize ?? 0;
    this.oldestUnstoredAtMs = open === undefined ? undefined : this.openSinceMs;
    this.hasUrgent = false;
  }

  /** Segments show the highest durable seq by themselves, unless the newest of them gave way. */
  private isLastSeqHidden(): boolean {
    const newest = this.index.newest();
    const isShown = newest !== undefined && !newest.isEvicted && newest.lastSeq === this.lastSeq;
    return !isShown && this.deps.record.durableSeq < this.lastSeq;
  }

  private degrade(): void {
    this.hasUrgent = false;
    this.trimHotTail();
    this.setDegraded(true);
  }

  private trimHotTail(): void {
    for (const segment of this.index.unstored()) {
      if (this.unstoredBytes <= HOT_TAIL_MAX_BYTES) break;
      this.noteEviction(this.index.evict(segment, "storage_lost"));
    }
  }

  private setDegraded(isDegraded: boolean): void {
    if (this.isDegraded === isDegraded) return;
    this.isDegraded = isDegraded;
    this.deps.onDegraded(isDegraded);
  }
}

/** Whole frames to pieces of at most one segment; a larger frame is a piece of its own. */
function encodeDraft(frames: readonly string[], firstSeq: number): Piece[] {
  const bytes = textEncoder.encode(frames.join(""));
  const lastSeq = firstSeq + frames.length - 1;
  if (bytes.byteLength <= SEGMENT_MAX_BYTES || frames.length === 1) return [{ firstSeq, lastSeq, bytes }];
  // Drafts are cut by characters, and text beyond ASCII has more bytes than that: halve it.
  const half = frames.length >>> 1;
  return [...encodeDraft(frames.slice(0, half), firstSeq), ...encodeDraft(frames.slice(half), firstSeq + half)];
}
