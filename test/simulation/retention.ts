/**
 * What the model says a buffer must hold: events, the frames they have become, and the bytes they take.
 * Changes of frames are held against the events they stand for; whether something may give way at all is
 * judged elsewhere (model.ts).
 */
import type { SegmentEncoding } from "../../durable-objects/stream/segment-index.ts";
import { PRESSURE_SHARE, type ReliefPolicy } from "../../protocol/relief.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import { foldFault, trimmedData } from "./appends.ts";
import type { Frame } from "./frame-reader.ts";
import type { ModelEvent } from "./model.ts";
import type { ReadSegment, ReadSegmentFrame } from "./row-reading.ts";
import { fail } from "./violation.ts";

/** One event as readers get it, which may stand for several of the source's. */
export interface ModelFrame {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly isTrimmed: boolean;
  readonly encoding: SegmentEncoding;
  /** Found in storage by a new object. */
  readonly isFromRestart: boolean;
}

/** How many gave way otherwise than by eviction. */
export interface GivenCounts {
  folded: number;
  trimmed: number;
  compressed: number;
  sampled: number;
}

export function noneGiven(): GivenCounts {
  return { folded: 0, trimmed: 0, compressed: 0, sampled: 0 };
}

export class Retention {
  /** By seq, in order. */
  readonly events = new Map<number, ModelEvent>();
  private readonly frames = new Map<number, ModelFrame>();
  /** Events that have lost their verbose values, evicted ones among them. */
  readonly trimmedSeqs = new Set<number>();
  frameCount = 0;
  /** As the buffer accounts them: a row counts until all of it has gone. */
  bytes = 0;
  private readonly settings: StreamSettings;
  private readonly policy: ReliefPolicy;

  constructor(settings: StreamSettings, policy: ReliefPolicy) {
    this.settings = settings;
    this.policy = policy;
  }

  has(seq: number): boolean {
    return this.events.has(seq);
  }

  frameOf(seq: number): ModelFrame | undefined {
    return this.frames.get(seq);
  }

  /** Whether the buffer is to give way. */
  get isPressed(): boolean {
    return this.frameCount >= this.settings.bufferMaxEvents * PRESSURE_SHARE || this.isPressedForBytes;
  }

  get isPressedForBytes(): boolean {
    return this.bytes >= this.settings.bufferMaxBytes * PRESSURE_SHARE;
  }

  add(event: ModelEvent): void {
    const { seq } = event;
    this.events.set(seq, event);
    this.setFrame({ firstSeq: seq, lastSeq: seq, isTrimmed: false, encoding: "plain", isFromRestart: false });
    this.bytes += event.bytes;
  }

  /** @returns how many frames went with them */
  remove(firstSeq: number, lastSeq: number, bytes: number): number {
    const first = this.frames.get(firstSeq);
    const last = this.frames.get(lastSeq);
    if ((first?.firstSeq ?? firstSeq) < firstSeq || (last?.lastSeq ?? lastSeq) > lastSeq) {
      fail("B4", `eviction of ${firstSeq}..${lastSeq} parts events that were folded`);
    }
    const gone = new Set<ModelFrame>();
    for (let seq = firstSeq; seq <= lastSeq; seq++) {
      const frame = this.frames.get(seq);
      if (frame === undefined || !this.events.delete(seq)) fail("B4", `event ${seq} was evicted twice`);
      gone.add(frame);
      this.frames.delete(seq);
    }
    this.frameCount -= gone.size;
    this.bytes -= bytes;
    return gone.size;
  }

  /**
   * Segments take the place of others.
   *
   * @param firstSeq of the replaced ones, what had gone of them left out
   * @returns what it comes to
   */
  replace(range: { readonly firstSeq: number; readonly lastSeq: number }, news: readonly ReadSegment[]): GivenCounts {
    const given = noneGiven();
    let nextSeq = range.firstSeq;
    for (const segment of news) {
      if (segment.encoding.endsWith("deflate")) given.compressed++;
      for (const frame of segment.frames) {
        // Its bytes stay in the row, and count, until the row goes.
        if (frame.lastSeq < range.firstSeq) continue;
        if (frame.firstSeq !== nextSeq) fail("B2", `${nextSeq} is replaced by ${frame.firstSeq}`);
        nextSeq = frame.lastSeq + 1;
        this.replaceFrame(frame, segment, given);
      }
    }
    if (nextSeq !== range.lastSeq + 1)
      fail("B2", `${nextSeq}..${range.lastSeq} are gone where others took their place`);
    return given;
  }

  private replaceFrame(frame: ReadSegmentFrame, segment: ReadSegment, given: GivenCounts): void {
    const { firstSeq, lastSeq, isComment: isTrimmed } = frame;
    const before = new Set<ModelFrame>();
    for (let seq = firstSeq; seq <= lastSeq; seq++) {
      const known = this.frames.get(seq);
      const event = this.events.get(seq);
      if (known === undefined || event === undefined) fail("B2", `event ${seq} had gone, and is there again`);
      if (event.priority !== segment.priority)
        fail("B4", `event ${seq} has become one of priority ${segment.priority}`);
      before.add(known);
      if (known.isTrimmed && !isTrimmed) fail("B2", `event ${seq} was trimmed, and is not marked any more`);
    }
    if (isTrimmed && firstSeq !== lastSeq) fail("B2", `a fold of ${firstSeq}..${lastSeq} was trimmed`);
    given.folded += before.size - 1;
    const [known] = before;
    if (isTrimmed && known?.isTrimmed === false) given.trimmed++;
    const isFromRestart = before.size === 1 && known?.isFromRestart === true;
    this.frameCount -= before.size;
    this.setFrame({ firstSeq, lastSeq, isTrimmed, encoding: segment.encoding, isFromRestart });
    this.checkContent(frame, firstSeq);
  }

  /** What a new object finds. */
  restore(segments: readonly ReadSegment[], events: readonly ModelEvent[]): void {
    this.events.clear();
    this.frames.clear();
    this.trimmedSeqs.clear();
    this.frameCount = 0;
    this.bytes = 0;
    for (const { frames, bytes, encoding } of segments) {
      this.bytes += bytes;
      for (const frame of frames) {
        const { firstSeq, lastSeq, isComment: isTrimmed } = frame;
        for (const event of events.slice(firstSeq - 1, lastSeq)) this.events.set(event.seq, event);
        this.setFrame({ firstSeq, lastSeq, isTrimmed, encoding, isFromRestart: true });
        this.checkContent(frame, firstSeq);
      }
    }
  }

  /** B2: the rows hold what is retained, whatever became of it. */
  checkRows(segments: readonly ReadSegment[]): void {
    for (const { frames } of segments) {
      for (const frame of frames) {
        const known = this.frames.get(frame.lastSeq);
        // Given up, and its row goes with the next write.
        if (known === undefined) continue;
        if (known.firstSeq !== frame.firstSeq) fail("B2", `a row has ${frame.firstSeq}..${frame.lastSeq} as one event`);
        this.checkContent(frame, frame.firstSeq);
      }
    }
  }

  /**
   * Whether a frame says what the events from `seq` on say that it stands for.
   *
   * @param seq the first of them that whoever gets it has not got
   */
  checkContent(frame: Frame, seq: number): void {
    const known = this.frames.get(seq);
    if (known === undefined) fail("B4", `event ${seq} was sent, and must have given way`);
    const sources = this.sourcesOf(seq, known.lastSeq);
    const [source] = sources;
    if (source === undefined) fail("B4", `event ${seq} was sent, and must have given way`);
    if (known.firstSeq !== known.lastSeq) {
      const { fold } = this.policy;
      const fault =
        fold === undefined ? "nothing may be folded" : foldFault(fold, sources, { ...frame, data: frame.data ?? "" });
      if (fault !== undefined) fail("B2", `${String(frame.id)} does not stand for ${seq}..${known.lastSeq}: ${fault}`);
      return;
    }
    if (frame.isComment !== known.isTrimmed)
      fail("B2", `event ${seq} is ${known.isTrimmed ? "not " : ""}marked as trimmed`);
    const data = known.isTrimmed ? trimmedData(source.data, this.policy.trimPaths) : source.data;
    if (data === undefined) fail("B2", `event ${seq} has nothing to trim`);
    if (frame.event !== source.event || frame.data !== data || frame.retry !== source.retry) {
      fail("B2", `event ${seq} came with another content`);
    }
  }

  private sourcesOf(firstSeq: number, lastSeq: number): ModelEvent[] {
    const sources: ModelEvent[] = [];
    for (let seq = firstSeq; seq <= lastSeq; seq++) {
      const event = this.events.get(seq);
      if (event !== undefined) sources.push(event);
    }
    return sources;
  }

  private setFrame(frame: ModelFrame): void {
    for (let seq = frame.firstSeq; seq <= frame.lastSeq; seq++) this.frames.set(seq, frame);
    if (frame.isTrimmed) this.trimmedSeqs.add(frame.lastSeq);
    this.frameCount++;
  }
}
