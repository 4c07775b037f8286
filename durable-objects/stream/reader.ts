/**
 * One reader: a cursor and a port, never a queue of its own.
 *
 * B1, B2 and B6 rest on two rules kept here: `nextSeq` only grows, by exactly what was sent or
 * announced as missing; and nothing is sent to a port without room.
 */
import type { Segment } from "./segment-index.ts";

/** The reader's end of the wire, as the object's wiring or a simulation provides it. */
export interface ReaderPort {
  /** Bytes the port will take before it is full; 0 or less means wait for a pull. */
  roomBytes(): number;
  /** Bytes taken by the port and not yet by the reader. */
  queuedBytes(): number;
  /** Hands over bytes. The port must not write to them: chunks are shared by readers. */
  send(chunk: Uint8Array): void;
  /** Ends the response cleanly, once what is queued has been taken. */
  close(): void;
  /** Breaks the connection, once what is queued has been taken. */
  breakOff(): void;
  /** Breaks the connection at once, and drops what is queued. */
  abort(): void;
}

export interface ReaderOptions {
  readonly port: ReaderPort;
  readonly hasControlEvents: boolean;
  /** Whether to go on with live events after the replay. */
  readonly isFollowing: boolean;
  /** Whether this reader came back to a stream, as against starting it. */
  readonly isResumed: boolean;
  readonly nextSeq: number;
  /** Last seq of the replay: what the stream held when the reader came. */
  readonly replayThroughSeq: number;
  readonly nowMs: number;
}

export class Reader {
  readonly port: ReaderPort;
  readonly hasControlEvents: boolean;
  readonly isFollowing: boolean;
  readonly isResumed: boolean;
  readonly attachedAtMs: number;
  readonly replayThroughSeq: number;
  /** The next event this reader needs. */
  nextSeq: number;
  /** Where a segment too large for one chunk has been sent to. */
  slice: { readonly segment: Segment; offset: number } | undefined;
  /** Frames that wait for a place between events; a newer one of a kind replaces the older. */
  readonly notices = new Map<"resume" | "degraded", string>();
  /** When the port became full; `undefined` while it has room. */
  fullSinceMs: number | undefined;
  lastSentAtMs: number;
  /** When bytes were last seen to be taken, or nothing was waiting. */
  lastTakenAtMs: number;
  /** When a resumed reader had caught up with the live end. */
  liveSinceMs: number | undefined;
  /** When to hand over a fresh token. */
  tokenRefreshAtMs: number | undefined;
  sentBytes = 0;
  isGone = false;
  private takenBytesAtSweep = 0;

  constructor(options: ReaderOptions) {
    this.port = options.port;
    this.hasControlEvents = options.hasControlEvents;
    this.isFollowing = options.isFollowing;
    this.isResumed = options.isResumed;
    this.nextSeq = options.nextSeq;
    this.replayThroughSeq = options.replayThroughSeq;
    this.attachedAtMs = options.nowMs;
    this.lastSentAtMs = options.nowMs;
    this.lastTakenAtMs = options.nowMs;
  }

  get hasRoom(): boolean {
    return !this.isGone && this.fullSinceMs === undefined;
  }

  send(chunk: Uint8Array, nowMs: number): void {
    // The silence before there was anything to take is not the reader's.
    if (this.port.queuedBytes() <= 0) this.lastTakenAtMs = nowMs;
    this.port.send(chunk);
    this.sentBytes += chunk.byteLength;
    this.lastSentAtMs = nowMs;
    if (this.port.roomBytes() <= 0) this.fullSinceMs ??= nowMs;
  }

  /** The port has room again: the reader took something. */
  noteTaken(nowMs: number): void {
    this.fullSinceMs = undefined;
    this.lastTakenAtMs = nowMs;
  }

  /** Whether the reader has left bytes lying for `stallMs`. Called by the sweep. */
  isStalled(nowMs: number, stallMs: number): boolean {
    const queued = this.port.queuedBytes();
    const taken = this.sentBytes - queued;
    if (queued <= 0 || taken > this.takenBytesAtSweep) this.lastTakenAtMs = nowMs;
    this.takenBytesAtSweep = taken;
    return nowMs - this.lastTakenAtMs >= stallMs;
  }

  /** Whether it is mid-event, where no other frame may be put in. */
  get isMidEvent(): boolean {
    return this.slice !== undefined;
  }
}
