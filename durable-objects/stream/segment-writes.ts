/**
 * The writes of one stream's buffer: what waits to go with the next one, and whether storage took it. When to
 * write, and what it means that storage refuses: stream-buffer.ts.
 */
import type { SegmentRow, StreamRecord, StreamStore } from "./stream-store.ts";

interface WritesDeps {
  readonly store: StreamStore;
  readonly record: StreamRecord;
}

export class SegmentWrites {
  /** First seqs of evicted segments whose rows wait to be deleted with the next write. */
  drops: number[] = [];
  /** The stream's record has changed, and storage has not taken it yet. */
  isRecordDirty = false;
  /** Whether the tables exist: false only while a failing storage has not let them be made. */
  private isCreated: boolean;
  private readonly deps: WritesDeps;

  constructor({ store, record }: WritesDeps, isCreated: boolean) {
    this.deps = { store, record };
    this.isCreated = isCreated;
  }

  /**
   * Everything that waits, in one transaction.
   *
   * @param recordThroughSeq up to where the record is to say that all is durable; `undefined`: without the record
   * @returns whether storage took it
   */
  commitAll(rows: readonly SegmentRow[], recordThroughSeq: number | undefined): boolean {
    if (!this.commit(rows, this.drops, recordThroughSeq)) return false;
    this.drops = [];
    this.isRecordDirty = false;
    return true;
  }

  /** Rows in the place of those that held the same events; what waits goes on waiting. */
  replace(rows: readonly SegmentRow[], drop: readonly number[]): boolean {
    return this.commit(rows, drop, undefined);
  }

  private commit(write: readonly SegmentRow[], drop: readonly number[], recordThroughSeq: number | undefined): boolean {
    const { record, store } = this.deps;
    const durableSeqBefore = record.durableSeq;
    try {
      if (recordThroughSeq !== undefined) record.durableSeq = recordThroughSeq;
      // The first record and what it tells of: all or nothing.
      if (this.isCreated) store.commit({ write, drop, record: recordThroughSeq === undefined ? undefined : record });
      else store.create(record, write);
      this.isCreated = true;
      return true;
    } catch {
      // The buffer goes on degraded, and says so.
      record.durableSeq = durableSeqBefore;
      return false;
    }
  }
}
