/**
 * Sees every eviction at the moment it happens. Telemetry tells of evictions too, but in sums and later:
 * too late to judge whether the right event went first.
 */
import { SegmentIndex, type Eviction, type Segment } from "../../durable-objects/stream/segment-index.ts";
import type { Priority } from "../../protocol/priority.ts";
import { replaceMethod } from "./method-patch.ts";

export interface SeenEviction {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly priority: Priority;
  readonly reason: Eviction["reason"];
  /** What the buffer no longer accounts for. */
  readonly bytes: number;
}

/** @returns what ends the watch */
export function watchEvictions(listener: (eviction: SeenEviction) => void): () => void {
  const unwatchWhole = replaceMethod(SegmentIndex.prototype, "evict", (_, original) => (...args) => {
    const [segment, reason] = args as [Segment, Eviction["reason"]];
    const { floorSeq: firstSeq, lastSeq, priority, byteSize: bytes } = segment;
    const result = original(...args);
    listener({ firstSeq, lastSeq, priority, reason, bytes });
    return result;
  });
  const unwatchPart = replaceMethod(SegmentIndex.prototype, "evictOldestEvents", (_, original) => (...args) => {
    const [segment] = args as [Segment];
    const { floorSeq: firstSeq, priority } = segment;
    const result = original(...args);
    // Taken out as a whole, it has been seen above.
    const lastSeq = segment.floorSeq - 1;
    if (!segment.isEvicted) listener({ firstSeq, lastSeq, priority, reason: "max_events", bytes: 0 });
    return result;
  });
  return () => {
    unwatchPart();
    unwatchWhole();
  };
}
