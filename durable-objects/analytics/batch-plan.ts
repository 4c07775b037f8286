/**
 * Which of the rows that wait make the next batch. Pure.
 */
import type { SealedBatch, StoredAppend } from "./shard-store.ts";

/** Most rows and bytes of one batch, for the 128 MB that objects of an isolate share. */
export const BATCH_MAX_EVENTS = 20_000;
export const BATCH_MAX_BYTES = 8 * 1024 * 1024;
/** Days of one batch, each a file: an append has at most 100 (ingest limit), so a batch stays below 300. */
const BATCH_MAX_DAYS = 200;

export interface BatchPlan {
  readonly batch: Omit<SealedBatch, "batch">;
  /** How many of the rows it takes, from the first on. */
  readonly appends: number;
}

/**
 * @param open rows in the order of their seqs
 * @param uptoSeq rows that begin after it are not taken
 * @returns a batch of at most {@link BATCH_MAX_EVENTS} and {@link BATCH_MAX_BYTES}, but of one row at least
 */
export function planBatch(open: readonly StoredAppend[], uptoSeq: number): BatchPlan | undefined {
  const [first] = open;
  if (first === undefined || first.firstSeq > uptoSeq) return undefined;
  let { eventCount, byteSize } = first;
  const days = new DayCount();
  days.add(first);
  let appends = 1;
  for (const append of open.slice(1)) {
    if (append.firstSeq > uptoSeq) break;
    days.add(append);
    const isOver =
      eventCount + append.eventCount > BATCH_MAX_EVENTS ||
      byteSize + append.byteSize > BATCH_MAX_BYTES ||
      days.atMost > BATCH_MAX_DAYS;
    if (isOver) break;
    eventCount += append.eventCount;
    byteSize += append.byteSize;
    appends++;
  }
  const last = open[appends - 1] ?? first;
  const batch = {
    fromSeq: first.firstSeq,
    uptoSeq: last.firstSeq + last.eventCount - 1,
    eventCount,
    byteSize,
    oldestAtMs: first.appendedAtMs,
  };
  return { batch, appends };
}

/** Days of a batch, never too few: those of appends of several days are counted as if they had none in common. */
class DayCount {
  private readonly single = new Set<number>();
  private several = 0;

  add({ dayCount, firstDay }: StoredAppend): void {
    if (dayCount === 1) this.single.add(firstDay);
    else this.several += dayCount;
  }

  get atMost(): number {
    return this.single.size + this.several;
  }
}
