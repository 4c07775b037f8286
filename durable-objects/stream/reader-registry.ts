/**
 * The readers of one stream: who is there, who has to go when it is full, who is swept. Decisions
 * only: ending a reader is the session's.
 */
import { PACING_GRACE_MS, RETRY_MAX_MS } from "../../protocol/limits.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { Reader } from "./reader.ts";

export type Admission =
  | { readonly kind: "admit" }
  | { readonly kind: "admit_instead_of"; readonly reader: Reader; readonly reason: "stalled" | "evicted" }
  | { readonly kind: "reject" };

export interface SweptReader {
  readonly reader: Reader;
  readonly reason: "stalled" | "max_age";
}

type ReaderSettings = Pick<
  StreamSettings,
  "maxReaders" | "readerLimitPolicy" | "readerStallMs" | "readerMaxAgeMs" | "retryMs"
>;

export class ReaderRegistry {
  /** Insertion order is age order. */
  private readonly readers = new Set<Reader>();
  private recentEvictions = 0;

  private readonly settings: ReaderSettings;

  constructor(settings: ReaderSettings) {
    this.settings = settings;
  }

  get size(): number {
    return this.readers.size;
  }

  all(): readonly Reader[] {
    return [...this.readers];
  }

  [Symbol.iterator](): IterableIterator<Reader> {
    return this.readers.values();
  }

  add(reader: Reader): void {
    this.readers.add(reader);
  }

  remove(reader: Reader): boolean {
    return this.readers.delete(reader);
  }

  /** What one more reader would mean: a stalled one goes first, then the policy decides. */
  admit(nowMs: number): Admission {
    if (this.readers.size < this.settings.maxReaders) return { kind: "admit" };
    const stalled = this.all().find((reader) => reader.isStalled(nowMs, this.settings.readerStallMs));
    if (stalled !== undefined) return { kind: "admit_instead_of", reader: stalled, reason: "stalled" };
    const [oldest] = this.readers;
    if (this.settings.readerLimitPolicy === "reject" || oldest === undefined) return { kind: "reject" };
    return { kind: "admit_instead_of", reader: oldest, reason: "evicted" };
  }

  /** Readers that took nothing for too long, or are too old. */
  sweep(nowMs: number): SweptReader[] {
    if (this.readers.size < this.settings.maxReaders) this.recentEvictions = 0;
    const swept: SweptReader[] = [];
    for (const reader of this.readers) {
      if (reader.isStalled(nowMs, this.settings.readerStallMs)) swept.push({ reader, reason: "stalled" });
      else if (nowMs - reader.attachedAtMs >= this.settings.readerMaxAgeMs) swept.push({ reader, reason: "max_age" });
    }
    return swept;
  }

  /**
   * When an evicted reader should come back. Doubles with each eviction while the stream is full, so
   * that more readers than places do not throw each other out without end.
   */
  evictionRetryMs(): number {
    this.recentEvictions++;
    return Math.min(RETRY_MAX_MS, this.settings.retryMs * 2 ** Math.min(this.recentEvictions, 16));
  }

  /**
   * How long the source should wait: while no reader has room and one of them still takes bytes.
   * The fastest reader sets the pace; a stalled one holds nobody back for longer than the grace.
   *
   * @returns the time until which to wait, or `undefined` to read on
   */
  paceUntilMs(nowMs: number): number | undefined {
    let untilMs: number | undefined;
    for (const reader of this.readers) {
      if (!reader.isFollowing) continue;
      if (reader.fullSinceMs === undefined) return undefined;
      untilMs = Math.max(untilMs ?? 0, reader.fullSinceMs + PACING_GRACE_MS);
    }
    return untilMs !== undefined && untilMs > nowMs ? untilMs : undefined;
  }
}
