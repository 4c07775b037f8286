/**
 * Where a sealed batch goes: the seam between a shard and whatever keeps its events for good.
 */
import type { LakeRow } from "../../protocol/lake-event.ts";

export interface Batch {
  readonly shardIndex: number;
  readonly shard: string;
  readonly batch: number;
  readonly rows: readonly LakeRow[];
}

/** A row that can never be delivered. */
export interface PoisonRow {
  readonly row: LakeRow;
  readonly reason: string;
}

export interface Delivery {
  readonly files: number;
  readonly bytes: number;
  readonly poison: readonly PoisonRow[];
}

export interface BatchSink {
  /**
   * Delivers a batch; returns only once its events are safe without the shard. Delivering the same batch
   * again, after whatever interruption, must not add its events a second time where the sink can tell.
   *
   * @throws where it may succeed later
   */
  deliver(batch: Batch): Promise<Delivery>;
}
