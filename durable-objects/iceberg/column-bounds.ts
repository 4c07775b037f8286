/**
 * What the manifests say of a file's columns: sizes, counts, and the bounds by which a reader skips the
 * file. Not for the statistics inside the file, which the Parquet writer makes.
 *
 * Source: Iceberg spec, "Manifests" (fields 108 to 128) and appendix D, "Binary single-value serialization".
 */
import type { ColumnMetaData } from "hyparquet";

import type { ColumnMetrics } from "./data-file.ts";
import type { TableColumn } from "./table-columns.ts";

/** Text is cut there, as Iceberg's own writers do by default (`truncate(16)`). */
const BOUND_CODE_POINTS = 16;
const MAX_CODE_POINT = 0x10ffff;
const FIRST_SURROGATE = 0xd800;
const LAST_SURROGATE = 0xdfff;
const LONG_BYTES = 8;
const textEncoder = new TextEncoder();

/** Well-formed text; or a long or a timestamp in microseconds. */
export type BoundValue = string | bigint;

/**
 * Order of the values' UTF-8 bytes, which is that of their code points and the one Parquet and Iceberg
 * sort and bound text by. JavaScript's `<` goes by UTF-16 units, where a surrogate pair (U+10000 and up)
 * comes before U+E000 to U+FFFF. Both texts must be well-formed.
 *
 * @returns below 0, 0 or above 0, as a sort wants it
 */
export function compareUtf8(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const leftUnit = left.charCodeAt(index);
    const rightUnit = right.charCodeAt(index);
    if (leftUnit !== rightUnit) return rankUnit(leftUnit) - rankUnit(rightUnit);
  }
  return left.length - right.length;
}

/** Puts surrogates above every other UTF-16 unit, where the code points they stand for belong. */
function rankUnit(unit: number): number {
  return unit >= FIRST_SURROGATE && unit <= LAST_SURROGATE ? unit + MAX_CODE_POINT : unit;
}

/** A bound no greater than `least`, as base64 of its serialization. */
export function lowerBound(least: BoundValue): string {
  return toBase64(serialize(typeof least === "string" ? cut(least) : least));
}

/**
 * A bound no less than `greatest`, as base64 of its serialization. A text that was cut is rounded up at
 * its last code point that has a successor; without any there is no short bound, and none is given.
 */
export function upperBound(greatest: BoundValue): string | undefined {
  if (typeof greatest !== "string") return toBase64(serialize(greatest));
  const prefix = cut(greatest);
  const bound = prefix === greatest ? greatest : roundUp(prefix);
  return bound === undefined ? undefined : toBase64(serialize(bound));
}

/** The first {@link BOUND_CODE_POINTS} code points. */
function cut(text: string): string {
  let end = 0;
  for (let count = 0; count < BOUND_CODE_POINTS && end < text.length; count++) {
    end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  }
  return text.slice(0, end);
}

/** The least text of no more code points that is greater than every text that begins with `prefix`. */
function roundUp(prefix: string): string | undefined {
  const codePoints = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  for (;;) {
    const last = codePoints.pop();
    if (last === undefined) return undefined;
    if (last === MAX_CODE_POINT) continue;
    // Surrogates are no characters: UTF-8 cannot carry them.
    const next = last + 1 === FIRST_SURROGATE ? LAST_SURROGATE + 1 : last + 1;
    return String.fromCodePoint(...codePoints, next);
  }
}

/** Text as UTF-8; a long or a timestamp as 8 bytes, little endian (Iceberg, appendix D). */
function serialize(value: BoundValue): Uint8Array {
  if (typeof value === "string") return textEncoder.encode(value);
  const bytes = new Uint8Array(LONG_BYTES);
  new DataView(bytes.buffer).setBigInt64(0, value, true);
  return bytes;
}

/** At most 64 bytes (16 code points), so that spreading them is safe. */
function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/**
 * Metrics of a file of one row group from its footer, whose statistics must be exact: as the writer has
 * them before it shortens them for the file.
 *
 * @param chunks one for each column, in the same order
 * @throws if there are fewer chunks than columns, or a chunk has no statistics
 */
export function measureColumns(
  columns: readonly TableColumn[],
  chunks: readonly (ColumnMetaData | undefined)[],
): ColumnMetrics {
  const metrics = {
    columnSizes: {} as Record<string, number>,
    valueCounts: {} as Record<string, number>,
    nullValueCounts: {} as Record<string, number>,
    lowerBounds: {} as Record<string, string>,
    upperBounds: {} as Record<string, string>,
  };
  for (const [index, { fieldId, name }] of columns.entries()) {
    const chunk = chunks[index];
    if (chunk?.statistics?.null_count === undefined) throw new Error(`column ${name} has no statistics`);
    const { min_value: least, max_value: greatest, null_count: nullCount } = chunk.statistics;
    metrics.columnSizes[fieldId] = Number(chunk.total_compressed_size);
    metrics.valueCounts[fieldId] = Number(chunk.num_values);
    metrics.nullValueCounts[fieldId] = Number(nullCount);
    if (isBoundValue(least)) metrics.lowerBounds[fieldId] = lowerBound(least);
    const upper = isBoundValue(greatest) ? upperBound(greatest) : undefined;
    if (upper !== undefined) metrics.upperBounds[fieldId] = upper;
  }
  return metrics;
}

function isBoundValue(value: unknown): value is BoundValue {
  return typeof value === "string" || typeof value === "bigint";
}
