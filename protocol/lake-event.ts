/**
 * One event on its way to the table, from a stream's telemetry or from `POST /events`.
 *
 * Attribute names and their meaning: CloudEvents 1.0, section 3.
 */
export interface LakeEvent {
  /** With `source`, what makes the event one and the same (CloudEvents 1.0, 3.1). */
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | undefined;
  /** When it happened, in whole microseconds since 1970 (exact in a double until the year 2255). */
  readonly timeUs: number;
  /** The stream it is about. */
  readonly requestId: string | undefined;
  readonly tenant: string;
  /** JSON text on one line. */
  readonly data: string | undefined;
  /** The other attributes, as the text of one JSON object on one line. */
  readonly extensions: string | undefined;
}

/** An event as one shard has taken it: a row of the table. */
export interface LakeRow extends LakeEvent {
  readonly ingestTimeUs: number;
  /** Name of the shard's life: its index and a random part, so that `(shard, seq)` is never used twice. */
  readonly shard: string;
  /** Grows by one for each event of the shard. */
  readonly seq: number;
}

export const MICROS_PER_MS = 1000;
const MICROS_PER_DAY = 86_400_000_000;

/** Whole days since 1970, UTC: the partition a row belongs to. */
export function dayOf(timeUs: number): number {
  return Math.floor(timeUs / MICROS_PER_DAY);
}

/** RFC 3339 in UTC with all six digits of the microseconds. */
export function timeTextOf(timeUs: number): string {
  const micros = ((timeUs % 1_000_000) + 1_000_000) % 1_000_000;
  const seconds = new Date((timeUs - micros) / MICROS_PER_MS).toISOString().slice(0, 19);
  return `${seconds}.${String(micros).padStart(6, "0")}Z`;
}
