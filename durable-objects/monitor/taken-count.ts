/**
 * How many events shards have taken: nobody counts them, so that it is what left a shard's buffer and what the buffer
 * has more than at the last look. Pure but for what it holds.
 */
import type { ShardAnswer } from "./sample.ts";
import { countOf, NO_SUMS, type TallyChange } from "./tally.ts";

export class TakenCount {
  /** Events in the buffer at the last look, by shard index. */
  private readonly buffered = new Map<number, number>();

  /** @param change of the shard's sums since the last look */
  take({ index, status, isReachable }: ShardAnswer, change: TallyChange | undefined): number {
    if (!isReachable || status === undefined) return 0;
    // After a restart nobody knows what was in the buffer; a shard nobody knew had nothing.
    const before = this.buffered.get(index) ?? (change?.isFirst === true ? 0 : status.events);
    this.buffered.set(index, status.events);
    return Math.max(0, countOf(change?.grown ?? NO_SUMS, "flushed_events") + status.events - before);
  }
}
