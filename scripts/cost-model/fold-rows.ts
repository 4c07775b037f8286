/**
 * What folding writes: a row for each step, in the place of those that it read. Pure.
 *
 * Steps are played through one by one, since each leaves the next with a little less of the buffer. Taken for
 * granted: what a step makes fits one row, and no event is evicted.
 */
import { STEP_MAX_BYTES } from "../../durable-objects/stream/pressure-relief.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { PRESSURE_SHARE } from "../../protocol/relief.ts";
import type { StreamShape } from "./stream-shape.ts";

/** What an event adds to the one that it is folded into: a token of text. */
const APPENDED_BYTES = 5;
/** A fold fuller than this is not taken up again. */
const FULL_FOLD_BYTES = SEGMENT_MAX_BYTES * 0.75;
/** A step under pressure takes at least this share of the limit, and at least two events. */
const MIN_BATCH_SHARE = 1 / 16;

/** As the stream is written: see stream-usage.ts. */
export interface Packing {
  readonly events: number;
  readonly frameBytes: number;
  readonly eventsPerRow: number;
}

export interface SegmentRows {
  /** Segments written as they came. */
  readonly segments: number;
  /** Folds, each in the place of the first row that it was made of. */
  readonly folds: number;
  /** Rows that a fold was made of beyond that first one. */
  readonly deletes: number;
  /** Events that come before the buffer gives way again, on average. */
  readonly eventsPerStep: number;
}

/** How many events a buffer holds when folding starts. */
export function pressedEvents({ bufferMaxEvents, bufferMaxBytes }: StreamShape, { frameBytes }: Packing): number {
  return Math.max(1, Math.ceil(PRESSURE_SHARE * Math.min(bufferMaxEvents, bufferMaxBytes / frameBytes)));
}

export function canFold({ isFolded }: StreamShape, { frameBytes }: Packing): boolean {
  return isFolded && frameBytes <= SEGMENT_MAX_BYTES;
}

export function foldedRows(shape: StreamShape, packing: Packing): SegmentRows {
  const steps = new FoldSteps(packing);
  const pressed = pressedEvents(shape, packing);
  const minBatch = Math.max(2, Math.ceil(shape.bufferMaxEvents * MIN_BATCH_SHARE));
  let left = packing.events;
  for (;;) {
    const fresh = Math.max(pressed - steps.folded - steps.waiting, minBatch - steps.waiting, 1);
    if (fresh > left) break;
    left -= fresh;
    steps.waiting += fresh;
    steps.step();
  }
  const eventsPerStep = (packing.events - left) / Math.max(1, steps.steps);
  steps.waiting += left;
  steps.writeRest();
  // What goes into the archive is folded to the end.
  if (shape.isArchived) while (steps.waiting > 0) steps.step();
  const { segments, folds, deletes } = steps;
  return { segments, folds, deletes, eventsPerStep };
}

class FoldSteps {
  steps = 0;
  segments = 0;
  folds = 0;
  deletes = 0;
  /** Events that folds have become, and stay. */
  folded = 0;
  /** Events not folded yet. */
  waiting = 0;
  private storedRows = 0;
  private newestFoldBytes = 0;
  private lookedBytes = 0;
  private isAllWritten = false;
  private readonly packing: Packing;

  constructor(packing: Packing) {
    this.packing = packing;
  }

  /** The oldest that wait, as many as a step may read. */
  step(): void {
    const { eventsPerRow, frameBytes } = this.packing;
    // The first steps are small: what they may read grows with what has been read.
    const stepBytes = Math.min(STEP_MAX_BYTES, Math.max(SEGMENT_MAX_BYTES, this.lookedBytes));
    const rowsPerStep = Math.max(1, Math.floor(stepBytes / (eventsPerRow * frameBytes)));
    const taken = Math.min(this.waiting, rowsPerStep * eventsPerRow);
    this.writeUpTo(this.waiting);
    // What came last is still in memory, and is written as part of the fold alone.
    const rows = Math.min(this.storedRows, Math.ceil(taken / eventsPerRow));
    const joins = this.folded > 0 && this.newestFoldBytes <= FULL_FOLD_BYTES;
    const replaced = rows + (joins ? 1 : 0);
    // Where all of it was in memory there is no row to take the place of.
    if (replaced === 0) this.segments++;
    else this.folds++;
    this.deletes += Math.max(0, replaced - 1);
    this.steps++;
    this.storedRows -= rows;
    this.waiting -= taken;
    this.lookedBytes += taken * frameBytes + (joins ? this.newestFoldBytes : 0);
    this.newestFoldBytes = taken * APPENDED_BYTES + (joins ? this.newestFoldBytes : frameBytes);
    if (!joins) this.folded++;
  }

  /** The stream ends: nothing stays in memory. */
  writeRest(): void {
    this.write(Math.ceil(this.waiting / this.packing.eventsPerRow));
    this.isAllWritten = true;
  }

  private writeUpTo(waiting: number): void {
    if (!this.isAllWritten) this.write(Math.floor((waiting - 1) / this.packing.eventsPerRow));
  }

  private write(rows: number): void {
    this.segments += Math.max(0, rows - this.storedRows);
    this.storedRows = Math.max(this.storedRows, rows);
  }
}
