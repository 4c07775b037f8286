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
export const ENCODINGS = ["plain", "folded", "deflate", "folded+deflate"] as const;
export type SegmentEncoding = (typeof ENCODINGS)[number];

/** A run of frames in memory, at most one segment's worth. Shared by all readers: never written to. */
export interface Piece {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: Uint8Array;
}

/** What is known of a segment without its payload; a row says as much. */
export interface SegmentFacts {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly priority: Priority;
  /** Events that readers get of it: a fold of several source events is one. */
  readonly eventCount: number;
  /** What it takes where it lies, encoded, fold steps included: what B3 counts. */
  readonly byteSize: number;
  /** Its frames as they go to readers. */
  readonly wireBytes: number;
  readonly encoding: SegmentEncoding;
  /** Last seq of each frame; `undefined` where every seq is a frame of its own. */
  readonly frameEnds: readonly number[] | undefined;
}

export interface Segment extends SegmentFacts {
  lastSeq: number;
  eventCount: number;
  byteSize: number;
  wireBytes: number;
  /** First event still retained; above `firstSeq` once the oldest have given way. */
  floorSeq: number;
  /** How many of its events have given way. */
  goneEvents: number;
  /** It gave way, or another took its place. */
  isEvicted: boolean;
  /** Whether the payload is in storage; until then it is in `pieces`. */
  isStored: boolean;
  pieces: Piece[];
  /** Fold steps of an unstored folded segment, as its row will hold them. */
  folds: string | undefined;
}

/** The facts alone: of a segment, or of a row, whose payload must not stay in memory. */
export function factsOf(of: SegmentFacts): SegmentFacts {
  const { firstSeq, lastSeq, priority, eventCount, byteSize, wireBytes, encoding, frameEnds } = of;
  return { firstSeq, lastSeq, priority, eventCount, byteSize, wireBytes, encoding, frameEnds };
}

/** A segment of which nothing has given way. */
export function toSegment(facts: SegmentFacts, place: Pick<Segment, "isStored" | "pieces" | "folds">): Segment {
  return { ...factsOf(facts), ...place, floorSeq: facts.firstSeq, goneEvents: 0, isEvicted: false };
}

/** A segment of events that have just come, and may take in more. */
export function openSegment(piece: Piece, priority: Priority): Segment {
  const { firstSeq, lastSeq, bytes } = piece;
  const size = { byteSize: bytes.byteLength, wireBytes: bytes.byteLength };
  const facts = { firstSeq, lastSeq, priority, eventCount: lastSeq - firstSeq + 1, ...size } as const;
  return toSegment(
    { ...facts, encoding: "plain", frameEnds: undefined },
    { isStored: false, pieces: [piece], folds: undefined },
  );
}

export interface BufferLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface Eviction {
  readonly segment: Segment;
  /** Last event that gave way. */
  readonly seq: number;
  /** Source events: those folded into one count each. */
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

  /** Puts others in the place of segments that follow each other. */
  replace(olds: readonly Segment[], news: readonly Segment[]): void {
    replaceRun(this.segments, olds, news);
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
    this.count(segment, 1);
  }

  /** The newest segment took in one more piece. */
  grow(segment: Segment, piece: Piece): void {
    const events = piece.lastSeq - piece.firstSeq + 1;
    segment.lastSeq = piece.lastSeq;
    segment.eventCount += events;
    segment.byteSize += piece.bytes.byteLength;
    segment.wireBytes += piece.bytes.byteLength;
    segment.pieces.push(piece);
    this.retainedEvents += events;
    this.retainedBytes += piece.bytes.byteLength;
  }

  /** How many segments are retained. */
  get size(): number {
    return this.ordered.length - this.evictedInOrdered;
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

  /** Puts others in the place of adjacent retained segments of one priority, which hold the same events. */
  replace(olds: readonly Segment[], news: readonly Segment[]): void {
    for (const old of olds) {
      this.count(old, -1);
      old.isEvicted = true;
      old.pieces = [];
    }
    for (const segment of news) this.count(segment, 1);
    replaceRun(this.ordered, olds, news);
    const [first] = news;
    if (first !== undefined) this.lanes[first.priority].replace(olds, news);
  }

  /** What follows the first hole from `seq` to `lastSeq`; `undefined` where there is none. */
  firstAfterHole(seq: number, lastSeq: number): number | undefined {
    for (let next = seq; next <= lastSeq;) {
      const segment = this.from(next);
      if (segment === undefined) return lastSeq + 1;
      if (segment.floorSeq > next) return segment.floorSeq;
      next = segment.lastSeq + 1;
    }
    return undefined;
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
    this.count(segment, -1);
    segment.isEvicted = true;
    segment.pieces = [];
    this.evictedInOrdered++;
    this.compact();
    return { segment, seq: segment.lastSeq, events, bytes, reason };
  }

  private count(segment: Segment, sign: 1 | -1): void {
    this.retainedEvents += sign * (segment.eventCount - segment.goneEvents);
    this.retainedBytes += sign * segment.byteSize;
  }

  private evictOldestEvents(segment: Segment, events: number): Eviction {
    if (segment.eventCount - segment.goneEvents <= events) return this.evict(segment, "max_events");
    const before = segment.floorSeq;
    segment.goneEvents += events;
    segment.floorSeq = (segment.frameEnds?.[segment.goneEvents - 1] ?? before + events - 1) + 1;
    this.retainedEvents -= events;
    return { segment, seq: segment.floorSeq - 1, events: segment.floorSeq - before, bytes: 0, reason: "max_events" };
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

/** `from` are neighbours in `list`, which is in order of first seqs. */
function replaceRun(list: Segment[], from: readonly Segment[], to: readonly Segment[]): void {
  const [first] = from;
  if (first === undefined) return;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.firstSeq ?? Infinity) < first.firstSeq) low = middle + 1;
    else high = middle;
  }
  list.splice(low, from.length, ...to);
}
