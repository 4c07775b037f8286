/**
 * Readers that were told goodbye and have not taken everything yet.
 *
 * They are served no more, but their queues are still memory of ours (B6): they are watched until they
 * have taken the rest, and cut if they stall.
 */
import type { Reader } from "./reader.ts";

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

  /** Takes the place of the one that has been leaving for longest. */
  cutOldest(): void {
    this.forgetTaken();
    const [oldest] = this.readers;
    if (oldest !== undefined) this.cut(oldest);
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
