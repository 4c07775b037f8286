/**
 * All that a stream holds as one event, made while it is sent: never more of it in memory than a segment, as
 * JSON text (twice its size where all of it is quotes, six times where all of it is control characters).
 *
 *   event: snapshot
 *   data: {"events":[
 *   data: {"id":"1-57","event":"token","data":"…"}
 *   data: ,{"gap":{…}}
 *   data: ],"through":"1-60","missing":3}
 *   id: 1-60
 *
 * What folds is folded, also across segments, as far as it is committed: a crash must not part what a reader
 * was given as one, or it could not go back to the last event that survived (PROTOCOL.md 3.3). The id comes
 * last, because what is folded meanwhile may reach further than what was there at first.
 */
import type { GapEvent } from "../../protocol/control-events.ts";
import { formatEventId } from "../../protocol/event-id.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { readFrame } from "../../protocol/sse-frame.ts";
import type { StoredFrame } from "./fold/folding.ts";
import { LargeFrameText, snapshotEntry } from "./snapshot-entry.ts";
import type { Segment } from "./segment-index.ts";
import type { StreamBuffer } from "./stream-buffer.ts";

const OPENING = 'event: snapshot\ndata: {"events":[\n';

const NOTHING = new Uint8Array(0);
const textEncoder = new TextEncoder();

/** An event larger than a segment, on its way. */
interface LargeEvent {
  readonly segment: Segment;
  readonly text: LargeFrameText;
  offset: number;
}

export class SnapshotFeed {
  /** The next event it will hold. */
  nextSeq = 1;
  /** What a step made and the reader's port has not taken. */
  unsent: Uint8Array = NOTHING;
  isDone = false;
  entries = 0;
  missingEvents = 0;
  /** Those of them that were there when its reader came. */
  missingOfReplay = 0;
  /** A fold that may go on in the next segment. */
  private pending: StoredFrame | undefined;
  private large: LargeEvent | undefined;
  private isBegun = false;
  /** It holds at least the events through this one. */
  private readonly throughSeq: number;

  constructor(throughSeq: number) {
    this.throughSeq = throughSeq;
  }

  /**
   * Makes the next part, about a segment's worth, and leaves it in `unsent`.
   *
   * @returns false where the rest of an event that was half sent is gone
   */
  step(buffer: StreamBuffer, gapFrom: (nextSeq: number, startSeq: number) => GapEvent): boolean {
    const text = this.large === undefined ? this.nextText(buffer, gapFrom) : this.largeText(buffer, this.large);
    if (text === undefined) return false;
    this.unsent = textEncoder.encode(this.isBegun ? text : OPENING + text);
    this.isBegun = true;
    return true;
  }

  /** Up to `maxBytes` of what was made. An empty rest is none: a view would hold all the memory it is a view of. */
  takeUnsent(maxBytes: number): Uint8Array {
    const taken = this.unsent.subarray(0, maxBytes);
    this.unsent = this.unsent.byteLength > maxBytes ? this.unsent.subarray(maxBytes) : NOTHING;
    return taken;
  }

  private nextText(buffer: StreamBuffer, gapFrom: (nextSeq: number, startSeq: number) => GapEvent): string {
    if (this.nextSeq > this.throughSeq) {
      this.isDone = true;
      return this.closePending() + this.ending(buffer);
    }
    const segment = buffer.segmentAt(this.nextSeq);
    const startSeq = segment === undefined ? buffer.lastSeq + 1 : Math.max(this.nextSeq, segment.floorSeq);
    if (startSeq > this.nextSeq || segment === undefined) {
      return this.closePending() + this.passGap(gapFrom(this.nextSeq, startSeq), startSeq);
    }
    if (segment.wireBytes > SEGMENT_MAX_BYTES) {
      this.large = { segment, text: new LargeFrameText(), offset: 0 };
      return this.closePending();
    }
    const frames = buffer.reading.frames(segment);
    // Lost by storage just now: the next step finds the gap.
    if (frames === undefined) return "";
    const fresh = frames.filter(({ lastSeq }) => lastSeq >= this.nextSeq).map((frame) => this.restOf(frame, buffer));
    this.nextSeq = segment.lastSeq + 1;
    return segment.isStored ? this.takeFolded(fresh, buffer) : this.closePending() + this.listed(fresh);
  }

  private takeFolded(fresh: readonly StoredFrame[], { folder }: StreamBuffer): string {
    const all = this.pending === undefined ? fresh : [this.pending, ...fresh];
    const folded = folder === undefined ? all : folder.fold(all);
    this.pending = folded.at(-1);
    return this.listed(folded.slice(0, -1));
  }

  private listed(frames: readonly StoredFrame[]): string {
    return frames.map(({ text }) => this.entry(text)).join("");
  }

  /** Folding may have overtaken the snapshot: of a fold that began before its place, only the rest is new. */
  private restOf(frame: StoredFrame, { folder }: StreamBuffer): StoredFrame {
    const { firstSeq, lastSeq } = frame;
    if (firstSeq >= this.nextSeq || folder === undefined) return frame;
    return { firstSeq: lastSeq, lastSeq, text: folder.remainder(frame, this.nextSeq - 1) };
  }

  private closePending(): string {
    const { pending } = this;
    this.pending = undefined;
    return pending === undefined ? "" : this.entry(pending.text);
  }

  private entry(frameText: string): string {
    return this.line(snapshotEntry(readFrame(frameText)));
  }

  private line(json: string): string {
    return `${this.lead()}${json}\n`;
  }

  private passGap(gap: GapEvent, startSeq: number): string {
    this.missingEvents += gap.dropped;
    this.missingOfReplay += Math.max(0, Math.min(startSeq - 1, this.throughSeq) - this.nextSeq + 1);
    this.nextSeq = startSeq;
    return this.line(JSON.stringify({ gap }));
  }

  /** @returns `undefined` where the rest of an event that was half sent is gone */
  private largeText(buffer: StreamBuffer, large: LargeEvent): string | undefined {
    const { segment } = large;
    const bytes = segment.isEvicted ? undefined : buffer.reading.slice(segment, large.offset);
    if (bytes === undefined) {
      this.large = undefined;
      return large.offset === 0 ? "" : undefined;
    }
    const lead = large.offset === 0 ? this.lead() : "";
    large.offset += bytes.byteLength;
    const isLast = large.offset >= segment.wireBytes;
    const text = lead + large.text.feed(bytes, isLast);
    if (!isLast) return text;
    this.large = undefined;
    this.nextSeq = segment.lastSeq + 1;
    return `${text}\n`;
  }

  private lead(): string {
    return `data: ${this.entries++ === 0 ? "" : ","}`;
  }

  private ending(buffer: StreamBuffer): string {
    const through = formatEventId(buffer.idOf(this.nextSeq - 1));
    return `data: ],"through":"${through}","missing":${this.missingEvents}}\nid: ${through}\n\n`;
  }
}
