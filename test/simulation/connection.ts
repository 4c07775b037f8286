/**
 * One simulated connection: the reader's port as the object sees it (a bounded queue with the
 * arithmetic of durable-objects/stream/wire.ts), and the other end of it, which takes what it likes.
 *
 * B6: bytes queued for a reader never exceed its limit.
 */
import { portHighWaterMark } from "../../durable-objects/stream/delivery.ts";
import type { Reader, ReaderPort } from "../../durable-objects/stream/reader.ts";
import type { ReaderRemovalReason } from "../../protocol/telemetry.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Random } from "./random.ts";
import type { ReaderCheck } from "./reader-check.ts";
import { fail } from "./violation.ts";

/** What a connection needs to know of the object it belongs to. */
export interface ConnectionHost {
  readonly nowMs: number;
  readonly readerBufferBytes: number;
  /** Nothing a dying process does is seen by anybody. */
  readonly isDead: boolean;
  /** Why the reader that is being let go right now was removed. */
  takeRemovalReason(connection: Connection): ReaderRemovalReason | undefined;
}

export class Connection implements ReaderPort {
  /** The object's own notion of this reader; missing until it is let in. */
  reader: Reader | undefined;
  /** `ending`: closed or broken off by the object, and what is queued can still be taken. */
  state: "open" | "ending" | "cut" | "lost" = "open";
  /** Bytes the object has sent and nobody has taken. */
  queuedNow = 0;
  /** When bytes were last taken, or the first of those that wait were queued. */
  lastProgressAtMs: number;
  readonly attachedAtMs: number;
  /** When the object last sent anything. */
  lastSentAtMs: number;
  private readonly frames = new FrameReader();
  private readonly chunkSizes: number[] = [];
  private readonly ids: { readonly id: string; readonly endOffset: number }[] = [];
  private sentBytes = 0;
  private takenBytes = 0;
  private readonly highWaterMark: number;
  private mustBeTaken = false;

  private readonly host: ConnectionHost;
  readonly check: ReaderCheck;

  constructor(host: ConnectionHost, check: ReaderCheck) {
    this.host = host;
    this.check = check;
    this.highWaterMark = portHighWaterMark(host.readerBufferBytes);
    this.attachedAtMs = host.nowMs;
    this.lastProgressAtMs = host.nowMs;
    this.lastSentAtMs = host.nowMs;
  }

  get isOpen(): boolean {
    return this.state === "open";
  }

  get readerBufferBytes(): number {
    return this.host.readerBufferBytes;
  }

  get isMidFrame(): boolean {
    return this.frames.isMidFrame;
  }

  holdUntilTaken(): void {
    this.mustBeTaken = true;
  }

  roomBytes(): number {
    if (this.mustBeTaken && this.takenBytes === 0) return 0;
    return this.isOpen ? this.highWaterMark - this.queuedNow : 0;
  }

  queuedBytes(): number {
    return this.isOpen || this.state === "ending" ? this.queuedNow : 0;
  }

  send(chunk: Uint8Array): void {
    if (this.host.isDead) return;
    if (!this.isOpen) fail("protocol", `bytes for a connection that is ${this.state}`);
    if (this.queuedNow === 0) this.lastProgressAtMs = this.host.nowMs;
    this.chunkSizes.push(chunk.byteLength);
    this.queuedNow += chunk.byteLength;
    this.sentBytes += chunk.byteLength;
    this.lastSentAtMs = this.host.nowMs;
    if (this.queuedNow > this.host.readerBufferBytes) {
      fail("B6", `${this.queuedNow} bytes queued for a reader, ${this.host.readerBufferBytes} are allowed`);
    }
    for (const frame of this.frames.feed(chunk)) {
      this.check.take(frame);
      if (frame.id !== undefined) this.ids.push({ id: frame.id, endOffset: frame.endOffset });
    }
  }

  close(): void {
    if (this.host.isDead) return;
    if (!this.isOpen) fail("protocol", `closed while ${this.state}`);
    this.check.takeClose(this.host.takeRemovalReason(this), this.isMidFrame);
    this.state = "ending";
  }

  breakOff(): void {
    if (this.host.isDead) return;
    if (!this.isOpen) fail("protocol", `broken off while ${this.state}`);
    this.check.takeBreakOff(this.host.takeRemovalReason(this), this.isMidFrame);
    this.state = "ending";
  }

  abort(): void {
    if (this.host.isDead) return;
    if (this.state === "ending") {
      // It was told goodbye and did not take it.
      this.dropQueue();
      this.state = "cut";
      return;
    }
    if (!this.isOpen) fail("protocol", `cut while ${this.state}`);
    this.check.takeCut(this.host.takeRemovalReason(this), this.isMidFrame);
    this.dropQueue();
    this.state = "cut";
  }

  /** The network is gone, or the whole process with all that was queued. */
  lose(): void {
    this.dropQueue();
    this.state = "lost";
  }

  /** Takes one chunk off the queue, as the platform does when the reader's socket has room. */
  takeChunk(): boolean {
    const size = this.chunkSizes.shift();
    if (size === undefined) return false;
    this.queuedNow -= size;
    this.takenBytes += size;
    this.lastProgressAtMs = this.host.nowMs;
    return true;
  }

  /**
   * The ids a reader holds that was cut off somewhere between what was taken and, when the process
   * died with bytes on their way, all that was sent.
   */
  idsSeen(random: Random, includesQueued: boolean): string[] {
    const lastByte = includesQueued ? random.int(this.takenBytes, this.sentBytes) : this.takenBytes;
    // Bytes that left the object may still be lost on their way.
    const cut = random.chance(0.3) ? random.int(Math.max(0, lastByte - 2000), lastByte) : lastByte;
    return this.ids.filter(({ endOffset }) => endOffset <= cut).map(({ id }) => id);
  }

  private dropQueue(): void {
    this.chunkSizes.length = 0;
    this.queuedNow = 0;
  }
}
