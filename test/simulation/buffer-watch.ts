/**
 * Sees what a buffer gives up, at the moment it does. Telemetry tells of it too, but in sums and later:
 * too late to judge whether the right event went first.
 */
import { PressureRelief } from "../../durable-objects/stream/pressure-relief.ts";
import type { ReliefChange } from "../../durable-objects/stream/relief-change.ts";
import { SegmentIndex, type Eviction, type Segment } from "../../durable-objects/stream/segment-index.ts";
import { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
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

/** A segment before another took its place. */
export interface SeenSegment {
  readonly floorSeq: number;
  readonly lastSeq: number;
  readonly bytes: number;
  readonly isStored: boolean;
}

/** How far relief has come. */
export interface ReliefProgress {
  readonly foldedThroughSeq: number;
  readonly trimmedThroughSeq: number;
  /** Read to be looked at, ever. */
  readonly lookedBytes: number;
}

export interface BufferListener {
  seeEviction(eviction: SeenEviction): void;
  seeReplacement(olds: readonly SeenSegment[], news: readonly Segment[]): void;
  /**
   * A step of relief.
   *
   * @param step takes it
   * @param progress afterwards
   */
  seeStep(step: () => unknown, progress: () => ReliefProgress): unknown;
  /** What a step came to is put in place. */
  seeApplication(kind: string, apply: () => unknown): unknown;
  seeEnforcement(enforce: () => unknown): unknown;
}

/** @returns what ends the watch */
export function watchBuffer(listener: () => BufferListener | undefined): () => void {
  const ends = [
    watchWhole(listener),
    watchPart(listener),
    watchReplacement(listener),
    replaceMethod(PressureRelief.prototype, "next", (self, original) => (...args) => {
      const step = () => original(...args);
      const watching = listener();
      return watching === undefined ? step() : watching.seeStep(step, () => progressOf(self as PressureRelief));
    }),
    replaceMethod(StreamBuffer.prototype, "apply", (_, original) => (...args) => {
      const [{ kind }] = args as [ReliefChange];
      const apply = () => original(...args);
      const watching = listener();
      return watching === undefined ? apply() : watching.seeApplication(kind, apply);
    }),
    replaceMethod(StreamBuffer.prototype, "enforce", (_, original) => () => {
      const watching = listener();
      return watching === undefined ? original() : watching.seeEnforcement(original);
    }),
  ];
  return () => {
    for (const end of ends.toReversed()) end();
  };
}

function watchWhole(listener: () => BufferListener | undefined): () => void {
  return replaceMethod(SegmentIndex.prototype, "evict", (_, original) => (...args) => {
    const [segment, reason] = args as [Segment, Eviction["reason"]];
    const { floorSeq: firstSeq, lastSeq, priority, byteSize: bytes } = segment;
    const result = original(...args);
    listener()?.seeEviction({ firstSeq, lastSeq, priority, reason, bytes });
    return result;
  });
}

function watchPart(listener: () => BufferListener | undefined): () => void {
  return replaceMethod(SegmentIndex.prototype, "evictOldestEvents", (_, original) => (...args) => {
    const [segment] = args as [Segment];
    const { floorSeq: firstSeq, priority } = segment;
    const result = original(...args);
    // Taken out as a whole, it has been seen above.
    const lastSeq = segment.floorSeq - 1;
    if (!segment.isEvicted) listener()?.seeEviction({ firstSeq, lastSeq, priority, reason: "max_events", bytes: 0 });
    return result;
  });
}

function watchReplacement(listener: () => BufferListener | undefined): () => void {
  return replaceMethod(SegmentIndex.prototype, "replace", (_, original) => (...args) => {
    const [olds, news] = args as [readonly Segment[], readonly Segment[]];
    const seen = olds.map(({ floorSeq, lastSeq, byteSize: bytes, isStored }) => ({
      floorSeq,
      lastSeq,
      bytes,
      isStored,
    }));
    const result = original(...args);
    listener()?.seeReplacement(seen, news);
    return result;
  });
}

/** Nobody else knows what relief has looked at: it leaves no trace where nothing came of it. */
function progressOf(relief: PressureRelief): ReliefProgress {
  const { lookedBytes } = relief;
  const foldedThroughSeq = cursorOf(relief, "folded");
  return { foldedThroughSeq, trimmedThroughSeq: cursorOf(relief, "trimmed"), lookedBytes };
}

function cursorOf(relief: PressureRelief, kind: string): number {
  const cursors: unknown = Reflect.get(relief, "cursors");
  const seq: unknown = typeof cursors === "object" && cursors !== null && Reflect.get(cursors, kind);
  if (typeof seq !== "number") throw new Error(`there is no word on how far ${kind} has come any more`);
  return seq;
}
