/**
 * One reader: a cursor and a port, never a queue of its own.
 *
 * B1, B2 and B6 rest on two rules kept here: `nextSeq` only grows, by exactly what was sent or
 * announced as missing; and nothing is sent to a port without room, but for a farewell that still
 * fits the reader's limit.
 */
import type { ReadMode } from "../../protocol/control-events.ts";
import type { Segment } from "./segment-index.ts";
import type { SnapshotFeed } from "./snapshot-feed.ts";

/** The reader's end of the wire, as the object's wiring or a simulation provides it. */
export interface ReaderPort {
  /** Bytes the port will take before it is full; 0 or less means wait for a pull. */
  roomBytes(): number;
  /** Bytes taken by the port and not yet by the reader. */
  queuedBytes(): number;
  /** From now on there is no room until the reader has taken something of what it is sent first. */
  holdUntilTaken?(): void;
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
  /** Without control events: whether it has said that it goes on where some are missing. */
  readonly acceptsGap: boolean;
  /** What is sent first, in the place of a replay. */
  readonly snapshot: SnapshotFeed | undefined;
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
  readonly acceptsGap: boolean;
  /** The next event this reader needs. */
  nextSeq: number;
  /** Where a segment too large for one chunk has been sent to. */
  slice: { readonly segment: Segment; offset: number } | undefined;
  /** The snapshot that is being sent. */
  snapshot: SnapshotFeed | undefined;
  /** Has room, and waits for a turn of its own to be fed on. */
  isPaused = false;
  /** Frames that wait for a place between events; a newer one of a kind replaces the older. */
  readonly notices = new Map<"resume" | "degraded", string>();
  /** When the port became full; `undefined` while it has room. */
  fullSinceMs: number | undefined;
  lastSentAtMs: number;
  /** When bytes were last seen to be taken, or nothing was waiting: at the earliest when they were. */
  lastTakenAtMs: number;
  /** When a resumed reader had caught up with the live end. */
  liveSinceMs: number | undefined;
  /** When to hand over a fresh token. */
  tokenRefreshAtMs: number | undefined;
  sentBytes = 0;
  isGone = false;
  private takenBytesSeen = 0;

  constructor(options: ReaderOptions) {
    this.port = options.port;
    this.hasControlEvents = options.hasControlEvents;
    this.isFollowing = options.isFollowing;
    this.isResumed = options.isResumed;
    this.acceptsGap = options.acceptsGap;
    this.snapshot = options.snapshot;
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
    this.look(nowMs);
    this.port.send(chunk);
    this.sentBytes += chunk.byteLength;
    this.lastSentAtMs = nowMs;
    if (this.port.roomBytes() <= 0) this.fullSinceMs ??= nowMs;
  }

  /** The port has room again: the reader took something. */
  noteTaken(nowMs: number): void {
    this.fullSinceMs = undefined;
    this.look(nowMs);
    this.lastTakenAtMs = nowMs;
  }

  /** Whether the reader has left bytes lying for `stallMs`. */
  isStalled(nowMs: number, stallMs: number): boolean {
    this.look(nowMs);
    return nowMs - this.lastTakenAtMs >= stallMs;
  }

  /** For how long it has left lying what it was sent. Unlike {@link isStalled} it notes nothing. */
  waitingMs(nowMs: number): number {
    const queued = this.port.queuedBytes();
    const isTaking = queued <= 0 || this.sentBytes - queued > this.takenBytesSeen;
    return isTaking ? 0 : Math.max(0, nowMs - this.lastTakenAtMs);
  }

  /** What it is being sent. */
  get mode(): ReadMode {
    if (this.snapshot !== undefined) return "snapshot";
    return this.isFollowing ? "live" : "replay";
  }

  /**
   * Whatever was taken since the last look counts as taken now. Looking at each occasion, and not at
   * sweeps only, keeps that close to the truth; who comes to a full stream needs it.
   */
  private look(nowMs: number): void {
    const queued = this.port.queuedBytes();
    const taken = this.sentBytes - queued;
    // The silence before there was anything to take is not the reader's.
    if (queued <= 0 || taken > this.takenBytesSeen) this.lastTakenAtMs = nowMs;
    this.takenBytesSeen = taken;
  }

  /** Whether it is mid-event, where no other frame may be put in. */
  get isMidEvent(): boolean {
    return this.slice !== undefined || this.snapshot !== undefined;
  }
}
