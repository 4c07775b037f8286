/**
 * Rows of the events table as one Parquet file: sorted as the table's sort order demands, every column
 * with its Iceberg field id, zstd, one row group. Not for deciding which rows share a file, and not for
 * writing it anywhere.
 *
 * Source: Iceberg spec, appendix A, "Parquet" (field ids, types); Parquet format, "Logical Types".
 */
import { zstdCompressSync } from "node:zlib";

import type { SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";

import type { LakeRow } from "../../protocol/lake-event.ts";
import { compareUtf8, measureColumns } from "./column-bounds.ts";
import type { ColumnMetrics } from "./data-file.ts";
import type { TableColumn } from "./table-columns.ts";

export interface EncodedParquet {
  readonly bytes: Uint8Array;
  readonly recordCount: number;
  readonly metrics: ColumnMetrics;
}

export interface UnencodableRow {
  /** Place in the rows given. */
  readonly index: number;
  /** Names the column and what is wrong, never the value. */
  readonly reason: string;
}

/**
 * Uncompressed bytes of a page. A column of an ordinary file stays in one, which compresses best; at
 * the 8 MB a file may hold, the page being compressed is still small beside the rows.
 */
const PAGE_BYTES = 4 * 1024 * 1024;

/**
 * A Parquet file of `rows`, sorted by type, time, shard and seq. The same rows, in whatever order, give
 * the same bytes, as long as the runtime's zstd is the same. Costs about 7 µs a row, and for 20,000 rows
 * 50 to 65 MB beside them at the peak, garbage included.
 *
 * @param rows at least one, at most what memory allows (20,000 in use)
 * @throws if there are no rows, or one of them cannot be encoded (see {@link findUnencodable})
 */
export function encodeParquet(rows: readonly LakeRow[], columns: readonly TableColumn[]): EncodedParquet {
  if (rows.length === 0) throw new Error("a Parquet file needs at least one row");
  for (const [index, row] of rows.entries()) {
    const reason = findRowFault(row, columns);
    if (reason !== undefined) throw new Error(`row ${index} cannot be encoded: ${reason}`);
  }
  const sorted = sortRows(rows);
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer,
    schema: [{ name: "events", num_children: columns.length }, ...columns.map(describeColumn)],
    codec: "ZSTD",
    compressors: { ZSTD: zstdCompressSync },
    createdBy: "spillway",
  });
  const columnData = columns.map((column) => ({ name: column.name, data: readColumn(sorted, column) }));
  // Neither call returns a promise: a writer into memory has nothing to wait for.
  void file.write({ columnData, rowGroupSize: rows.length, pageSize: PAGE_BYTES });
  const chunks = file.row_groups.flatMap((group) => group.columns.map((chunk) => chunk.meta_data));
  const metrics = measureColumns(columns, chunks);
  void file.finish();
  // A copy: the writer's own buffer is up to twice as long and would be kept alive with it.
  return { bytes: writer.getBytes().slice(), recordCount: rows.length, metrics };
}

/**
 * The rows that {@link encodeParquet} would refuse, each once with its first reason: a required value
 * missing, a text that is none, a number that is not whole or not exact in a double. Lone surrogates are
 * no reason: they are written as U+FFFD.
 */
export function findUnencodable(rows: readonly LakeRow[], columns: readonly TableColumn[]): UnencodableRow[] {
  return rows.flatMap((row, index) => {
    const reason = findRowFault(row, columns);
    return reason === undefined ? [] : [{ index, reason }];
  });
}

function findRowFault(row: LakeRow, columns: readonly TableColumn[]): string | undefined {
  for (const column of columns) {
    const fault = findFault(column.read(row), column);
    if (fault !== undefined) return `${column.name}: ${fault}`;
  }
  return undefined;
}

/** Rows come from storage and from outside this version: their types are a claim, checked here. */
function findFault(value: unknown, { type, isRequired }: TableColumn): string | undefined {
  if (value === undefined || value === null) return isRequired ? "a value is required, found none" : undefined;
  if (type === "string") return typeof value === "string" ? undefined : `found a ${typeof value}, allowed is text`;
  return Number.isSafeInteger(value) ? undefined : `found ${describeNumber(value)}, allowed is a safe integer`;
}

function describeNumber(value: unknown): string {
  return typeof value === "number" ? String(value) : `a ${typeof value}`;
}

function describeColumn({ fieldId, name, type, isRequired }: TableColumn): SchemaElement {
  const repetition_type = isRequired ? "REQUIRED" : "OPTIONAL";
  const element = { name, field_id: fieldId, repetition_type } as const;
  switch (type) {
    case "string":
      return { ...element, type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } };
    case "long":
      return { ...element, type: "INT64" };
    case "timestamptz":
      return {
        ...element,
        type: "INT64",
        converted_type: "TIMESTAMP_MICROS",
        logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
      };
  }
}

/** A column's values as the writer takes them. Text is made well-formed, so that what is compared is what is written. */
function readColumn(rows: readonly LakeRow[], { read }: TableColumn): (string | bigint | undefined)[] {
  return rows.map((row) => {
    const value = read(row);
    return typeof value === "number" ? BigInt(value) : value?.toWellFormed();
  });
}

/**
 * By type, then time; `(shard, seq)` settles ties, so that there is one order. Types are few: their rows
 * are gathered first, and only numbers are compared in the sorting proper, mostly in order already.
 */
function sortRows(rows: readonly LakeRow[]): LakeRow[] {
  const byType = new Map<string, LakeRow[]>();
  for (const row of rows) {
    const type = row.type.toWellFormed();
    const gathered = byType.get(type);
    if (gathered === undefined) byType.set(type, [row]);
    else gathered.push(row);
  }
  const types = [...byType].sort(([left], [right]) => compareUtf8(left, right));
  return types.flatMap(([, gathered]) => gathered.sort(compareWithinType));
}

function compareWithinType(left: LakeRow, right: LakeRow): number {
  if (left.timeUs !== right.timeUs) return left.timeUs - right.timeUs;
  if (left.shard !== right.shard) return compareUtf8(left.shard, right.shard);
  return left.seq - right.seq;
}
