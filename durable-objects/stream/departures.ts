/**
 * Readers that were told goodbye and have not taken everything yet.
 *
 * They are served no more, but their queues are still memory of ours (B6): they are watched until they
 * have taken the rest, and cut if they stall.
 */
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { Reader } from "./reader.ts";
import type { ReaderRegistry } from "./reader-registry.ts";

/** What a connection counts for at least, so that those with next to nothing to take are not without number. */
const CONNECTION_MIN_BYTES = 1024;

type LimitSettings = Pick<StreamSettings, "maxReaders" | "readerLimitPolicy" | "readerStallMs" | "readerBufferBytes">;

export class Departures {
  /** Insertion order is age order. */
  private readonly readers = new Set<Reader>();

  get size(): number {
    this.forgetTaken();
    return this.readers.size;
  }

  /** Ends a response cleanly, once what is queued has been taken. */
  close(reader: Reader): void {
    reader.port.close();
    this.readers.add(reader);
  }

  /** Breaks a connection, once what is queued has been taken: an end that cannot pass for complete. */
  breakOff(reader: Reader): void {
    reader.port.breakOff();
    this.readers.add(reader);
  }

  /** Its connection is gone: nobody will take the rest. */
  forget(reader: Reader): void {
    if (this.readers.has(reader)) this.cut(reader);
  }

  /**
   * Before one more reader comes. Where newcomers are refused, those who are leaving keep their places, but
   * for stalled ones. Where the oldest reader is evicted, they keep none, and what they hold together with
   * it comes to one reader's queue at most: those go that have been leaving for longest. The others are left
   * to take their farewell, or they would come back too soon.
   *
   * @returns how many places are kept
   */
  makeRoom(served: ReaderRegistry, settings: LimitSettings, nowMs: number): number {
    const { maxReaders, readerBufferBytes } = settings;
    if (served.size + this.size >= maxReaders) this.cutStalled(nowMs, settings.readerStallMs);
    if (settings.readerLimitPolicy === "reject") return this.size;
    const [next] = served;
    const isFull = next !== undefined && served.size >= maxReaders;
    const allowedBytes = isFull ? readerBufferBytes - costBytes(next) : (maxReaders - served.size) * readerBufferBytes;
    let heldBytes = 0;
    for (const reader of this.readers) heldBytes += costBytes(reader);
    for (const reader of this.readers) {
      if (heldBytes <= allowedBytes) break;
      heldBytes -= costBytes(reader);
      this.cut(reader);
    }
    return 0;
  }

  cutStalled(nowMs: number, stallMs: number): void {
    this.forgetTaken();
    for (const reader of this.readers) if (reader.isStalled(nowMs, stallMs)) this.cut(reader);
  }

  cutAll(): void {
    this.forgetTaken();
    for (const reader of this.readers) this.cut(reader);
  }

  private cut(reader: Reader): void {
    this.readers.delete(reader);
    reader.port.abort();
  }

  private forgetTaken(): void {
    for (const reader of this.readers) if (reader.port.queuedBytes() <= 0) this.readers.delete(reader);
  }
}

function costBytes({ port }: Reader): number {
  return Math.max(CONNECTION_MIN_BYTES, port.queuedBytes());
}
