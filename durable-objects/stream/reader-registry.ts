/**
 * The readers of one stream: who is there, who has to go when it is full, who is swept. Decisions
 * only: ending a reader is the session's.
 */
import { PACING_GRACE_MS, RETRY_MAX_MS } from "../../protocol/limits.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { Reader } from "./reader.ts";

/**
 * Multiples of it, taken modulo 1, lie far apart however many there are: no two of a stream's readers
 * are asked to come back at the same moment. Not drawn at random, so that a run can be replayed.
 */
const GOLDEN_FRACTION = (Math.sqrt(5) - 1) / 2;

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
  /** Since the stream last had room for all who want in. */
  private evictionsInARow = 0;
  /** When everybody who was evicted is asked to be back. */
  private evictedBackAtMs = -Infinity;
  private farewells = 0;
  private handedSeq = 0;

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

  /** The last event that any reader has been handed in this life of the object, those that have left included. */
  handedThroughSeq(): number {
    for (const { nextSeq } of this.readers) this.handedSeq = Math.max(this.handedSeq, nextSeq - 1);
    return this.handedSeq;
  }

  remove(reader: Reader): boolean {
    this.handedSeq = Math.max(this.handedSeq, reader.nextSeq - 1);
    return this.readers.delete(reader);
  }

  /**
   * What one more reader would mean: a stalled one goes first, then the policy decides.
   *
   * @param takenPlaces those kept by readers that are no longer among these
   */
  admit(nowMs: number, takenPlaces = 0): Admission {
    if (this.readers.size + takenPlaces < this.settings.maxReaders) return { kind: "admit" };
    const stalled = this.all().find((reader) => reader.isStalled(nowMs, this.settings.readerStallMs));
    if (stalled !== undefined) return { kind: "admit_instead_of", reader: stalled, reason: "stalled" };
    const [oldest] = this.readers;
    if (this.settings.readerLimitPolicy === "reject" || oldest === undefined) return { kind: "reject" };
    return { kind: "admit_instead_of", reader: oldest, reason: "evicted" };
  }

  /** Readers that took nothing for too long, or are too old. */
  sweep(nowMs: number): SweptReader[] {
    // A free place means nothing while those who have to share it are asked to stay away.
    const hasRoom = this.readers.size < this.settings.maxReaders && nowMs > this.evictedBackAtMs;
    if (hasRoom) this.evictionsInARow = 0;
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
  evictionRetryMs(nowMs: number): number {
    this.evictionsInARow++;
    const retryMs = this.spreadRetryMs(this.evictionsInARow);
    this.evictedBackAtMs = Math.max(this.evictedBackAtMs, nowMs + retryMs);
    return retryMs;
  }

  /** When a reader should come back that has only become too old. */
  ageRetryMs(): number {
    return this.spreadRetryMs(0);
  }

  /** Between so many doublings and one more, each time elsewhere; at most {@link RETRY_MAX_MS}. */
  private spreadRetryMs(doublings: number): number {
    const { retryMs } = this.settings;
    const highestMs = Math.min(RETRY_MAX_MS, retryMs * 2 ** Math.min(doublings + 1, 16));
    const lowestMs = Math.max(retryMs, highestMs / 2);
    const fraction = (this.farewells++ * GOLDEN_FRACTION) % 1;
    return Math.round(lowestMs + (highestMs - lowestMs) * fraction);
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
