/**
 * How large a row is as JSON, near enough to plan files by. Pure.
 */
import type { LakeRow } from "../protocol/lake-event.ts";

/** Attribute names, times, numbers and punctuation. */
const OVERHEAD_BYTES = 160;

export function jsonSizeOf(row: LakeRow): number {
  const texts = [row.id, row.source, row.type, row.subject, row.requestId, row.tenant, row.data, row.extensions];
  return texts.reduce((sum, text) => sum + (text?.length ?? 0), OVERHEAD_BYTES);
}
