/**
 * What a route lets its streams' buffers give up under pressure before they evict, in this order: fold,
 * trim payloads, compress, sample.
 */
import type { FoldRule } from "./fold.ts";

export interface ReliefPolicy {
  /** Which events only append; `undefined` where nothing folds. */
  readonly fold: FoldRule | undefined;
  /** JSON paths of verbose fields that low and normal events may lose. */
  readonly trimPaths: readonly string[];
  readonly compresses: boolean;
  /** Share of low-priority events that are still kept under pressure, 0 to 1. */
  readonly lowPriorityShare: number;
}

export const NO_RELIEF: ReliefPolicy = { fold: undefined, trimPaths: [], compresses: false, lowPriorityShare: 1 };

/** From this share of either limit on, a buffer gives way. */
export const PRESSURE_SHARE = 0.75;
