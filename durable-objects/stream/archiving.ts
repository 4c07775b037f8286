/**
 * A finished stream's way into the archive: when it is due, what it takes, and what became of it.
 * Synchronous; the object does the waiting.
 */
import { backoffMs } from "../backoff.ts";
import { packSegment, type PackedSegment } from "./archive-file.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import { factsOf, type Segment } from "./segment-index.ts";
import { packFrames } from "./segment-payload.ts";
import { isFinished } from "./state-machine.ts";
import { rowOf, type SegmentRow, type StreamRecord } from "./stream-store.ts";

const RETRY = { firstMs: 1000, maxMs: 60_000 } as const;

export interface ArchivingDeps {
  readonly record: StreamRecord;
  readonly buffer: StreamBuffer;
  /** 0 to 1. */
  readonly random: () => number;
}

export class Archiving {
  private attempts = 0;
  private retryAtMs = 0;
  private readonly deps: ArchivingDeps;

  constructor(deps: ArchivingDeps) {
    this.deps = deps;
  }

  /** When the stream is to be put into the archive; `undefined` where it is not. */
  get dueAtMs(): number | undefined {
    const { record, buffer } = this.deps;
    // An abandoned stream was nobody's: there is nothing that somebody may come back for.
    const isWanted = record.settings.archives && isFinished(record.state) && record.state !== "expired";
    if (!isWanted || record.isArchived || buffer.retainedEvents === 0) return undefined;
    return Math.max(record.endedAtMs ?? 0, this.retryAtMs);
  }

  /** One bounded step of folding; false once all is folded. */
  foldFurther(nowMs: number): boolean {
    return this.deps.buffer.foldFurther(nowMs);
  }

  /**
   * The first segment that holds `seq` or later events, packed; `undefined` where there is none. One that
   * holds earlier events too means that the segments have changed meanwhile: the caller begins anew.
   */
  segmentFrom(seq: number): PackedSegment | undefined {
    const { buffer } = this.deps;
    for (;;) {
      const segment = buffer.segmentAt(seq);
      if (segment === undefined) return undefined;
      const row = retainedRow(segment, buffer);
      if (row !== undefined) return packSegment(row);
      // Lost by storage just now: the next one.
    }
  }

  noteKept(nowMs: number): void {
    this.deps.record.isArchived = true;
    this.deps.buffer.flush(nowMs, { withRecord: true });
  }

  noteFailed(nowMs: number): void {
    this.attempts++;
    this.retryAtMs = nowMs + backoffMs(this.attempts, this.deps.random(), RETRY);
  }
}

/** The row of what is retained of a segment, inflated; `undefined` where storage lost it. */
function retainedRow(segment: Segment, { reading }: StreamBuffer): SegmentRow | undefined {
  if (segment.goneEvents > 0) {
    const rest = packFrames(reading.frames(segment) ?? [], segment.priority);
    return rest === undefined ? undefined : rowOf(rest);
  }
  const payload = reading.payload(segment);
  if (payload === undefined) return undefined;
  const { bytes, folds } = payload;
  const encoding = folds === undefined ? "plain" : "folded";
  const byteSize = bytes.byteLength + (folds?.length ?? 0);
  return { ...factsOf(segment), encoding, byteSize, payload: bytes, folds };
}
