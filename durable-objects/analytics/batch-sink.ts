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

/** `unknown`: whether any of it has been taken cannot be told. */
export type WithdrawAnswer = "withdrawn" | "taken" | "unknown";

export interface BatchSink {
  /**
   * Delivers a batch; returns only once its events are safe without the shard. Delivering the same batch
   * again, after whatever interruption, must not add its events a second time where the sink can tell.
   *
   * @returns `withdrawn` of a batch that was withdrawn before: it can never be delivered under this number
   * @throws where it may succeed later
   */
  deliver(batch: Batch): Promise<Delivery | "withdrawn">;
  /**
   * Makes sure that a batch which has not been taken never will be, however late an earlier delivery of it
   * arrives.
   *
   * @throws where nothing is known; it may be withdrawn or not
   */
  withdraw(batch: Omit<Batch, "rows">): Promise<WithdrawAnswer>;
}
