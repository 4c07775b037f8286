/**
 * The bounded buffer's book-keeping: which segments are retained, and which give way. Pure, in
 * memory, metadata only: no payload is read, inflated or written to decide (B5).
 *
 * B3 retained events and bytes are within their limits after every {@link SegmentIndex.enforce}.
 * B4 the lowest priority gives way first, the oldest first within it.
 *
 * Segments are whole runs of consecutive events. Over the event limit the oldest events of a
 * segment may give way alone (`floorSeq` rises); its bytes count until the whole segment goes.
 */
import type { Priority } from "../../protocol/priority.ts";

/** How a segment's payload is stored; the row says it, so that settings can change mid-life. */
export type SegmentEncoding = "plain";

/** A run of frames in memory, at most one segment's worth. Shared by all readers: never written to. */
export interface Piece {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: Uint8Array;
}

export interface Segment {
  readonly firstSeq: number;
  lastSeq: number;
  readonly priority: Priority;
  eventCount: number;
  byteSize: number;
  readonly encoding: SegmentEncoding;
  /** First event still retained; above `firstSeq` once the oldest have given way. */
  floorSeq: number;
  isEvicted: boolean;
  /** Whether the payload is in storage; until then it is in `pieces`. */
  isStored: boolean;
  pieces: Piece[];
}

export interface BufferLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface Eviction {
  readonly segment: Segment;
  /** Last event that gave way. */
  readonly seq: number;
  readonly events: number;
  readonly bytes: number;
  readonly reason: "max_events" | "max_bytes" | "storage_lost";
}

/** A queue with O(1) amortized removal at its head. */
class Lane {
  private segments: Segment[] = [];
  private head = 0;

  push(segment: Segment): void {
    this.segments.push(segment);
  }

  /** Oldest retained segment; drops those evicted from elsewhere. */
  oldest(): Segment | undefined {
    let segment = this.segments[this.head];
    while (segment?.isEvicted === true) {
      this.head++;
      segment = this.segments[this.head];
    }
    if (this.head > 32 && this.head * 2 > this.segments.length) {
      this.segments = this.segments.slice(this.head);
      this.head = 0;
    }
    return segment;
  }
}

export class SegmentIndex {
  private ordered: Segment[] = [];
  private evictedInOrdered = 0;
  private readonly lanes: readonly [Lane, Lane, Lane, Lane] = [new Lane(), new Lane(), new Lane(), new Lane()];
  retainedEvents = 0;
  retainedBytes = 0;

  /** Adds the newest segment. */
  push(segment: Segment): void {
    this.ordered.push(segment);
    this.lanes[segment.priority].push(segment);
    this.retainedEvents += segment.lastSeq - segment.floorSeq + 1;
    this.retainedBytes += segment.byteSize;
  }

  /** The newest segment took in one more piece. */
  grow(segment: Segment, piece: Piece): void {
    const events = piece.lastSeq - piece.firstSeq + 1;
    segment.lastSeq = piece.lastSeq;
    segment.eventCount += events;
    segment.byteSize += piece.bytes.byteLength;
    segment.pieces.push(piece);
    this.retainedEvents += events;
    this.retainedBytes += piece.bytes.byteLength;
  }

  newest(): Segment | undefined {
    return this.ordered.at(-1);
  }

  oldest(): Segment | undefined {
    return this.from(0);
  }

  /** First retained segment that holds `seq` or anything after it. O(log n). */
  from(seq: number): Segment | undefined {
    let low = 0;
    let high = this.ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const segment = this.ordered[middle];
      if (segment !== undefined && segment.lastSeq < seq) low = middle + 1;
      else high = middle;
    }
    while (this.ordered[low]?.isEvicted === true) low++;
    return this.ordered[low];
  }

  /** Segments that are retained and not stored yet, oldest first. */
  unstored(): Segment[] {
    const found: Segment[] = [];
    for (let at = this.ordered.length - 1; at >= 0; at--) {
      const segment = this.ordered[at];
      if (segment === undefined || segment.isStored) break;
      if (!segment.isEvicted) found.push(segment);
    }
    return found.reverse();
  }

  /** Evicts until both limits hold: a loop, since one segment may not be enough. */
  enforce(limits: BufferLimits): Eviction[] {
    const evictions: Eviction[] = [];
    while (this.retainedBytes > limits.maxBytes || this.retainedEvents > limits.maxEvents) {
      const victim = this.victim();
      if (victim === undefined) break;
      const excess = this.retainedEvents - limits.maxEvents;
      evictions.push(
        this.retainedBytes > limits.maxBytes ? this.evict(victim, "max_bytes") : this.evictOldestEvents(victim, excess),
      );
    }
    return evictions;
  }

  /** Takes a whole segment out. */
  evict(segment: Segment, reason: Eviction["reason"]): Eviction {
    const events = segment.lastSeq - segment.floorSeq + 1;
    const bytes = segment.byteSize;
    segment.isEvicted = true;
    segment.pieces = [];
    this.retainedEvents -= events;
    this.retainedBytes -= bytes;
    this.evictedInOrdered++;
    this.compact();
    return { segment, seq: segment.lastSeq, events, bytes, reason };
  }

  private evictOldestEvents(segment: Segment, events: number): Eviction {
    if (segment.lastSeq - segment.floorSeq + 1 <= events) return this.evict(segment, "max_events");
    segment.floorSeq += events;
    this.retainedEvents -= events;
    return { segment, seq: segment.floorSeq - 1, events, bytes: 0, reason: "max_events" };
  }

  private victim(): Segment | undefined {
    for (const lane of this.lanes) {
      const oldest = lane.oldest();
      if (oldest !== undefined) return oldest;
    }
    return undefined;
  }

  private compact(): void {
    if (this.evictedInOrdered < 32 || this.evictedInOrdered * 2 < this.ordered.length) return;
    this.ordered = this.ordered.filter((segment) => !segment.isEvicted);
    this.evictedInOrdered = 0;
  }
}
