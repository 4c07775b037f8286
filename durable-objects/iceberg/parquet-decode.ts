/**
 * The rows of a data file, to be written anew with others (compaction). Columns are found by their
 * Iceberg field ids, so that older files without later columns, and files of other writers, are read.
 * Not for queries: every row and every column is read.
 *
 * Source: Iceberg spec, "Column Projection"; appendix A, "Parquet".
 */
import { zstdDecompressSync } from "node:zlib";

import { parquetMetadata, parquetRead, type FileMetaData, type SchemaElement } from "hyparquet";

import type { LakeRow } from "../../protocol/lake-event.ts";
import { TABLE_COLUMNS, type ColumnType, type TableColumn } from "./table-columns.ts";

type Values = readonly (string | number | undefined)[];

/** The file has columns that this version of the table does not know: rewriting it would lose them. */
export class UnknownColumnsError extends Error {
  override readonly name = "UnknownColumnsError";
  readonly columns: readonly string[];

  /** @param columns names, each with its field id if it has one */
  constructor(columns: readonly string[]) {
    super(`the file has columns unknown to this version: ${columns.join(", ")}`);
    this.columns = columns;
  }
}

/**
 * Every row of the file in the file's order: times in exact microseconds; null, and columns the file
 * lacks, as `undefined`. Reads zstd, Snappy and uncompressed pages.
 *
 * @throws {UnknownColumnsError} before any row is read
 * @throws {Error} if a required column is missing, a column has another type than the table's, a number
 *   is not exact in a double, or the file is damaged or compressed in another way
 */
export async function decodeParquet(bytes: Uint8Array): Promise<LakeRow[]> {
  const metadata = parquetMetadata(bytes);
  const columnsByName = matchColumns(metadata.schema);
  const rowCount = Number(metadata.num_rows);
  const values = await readValues(bytes, metadata, columnsByName);
  return createRows(rowCount, values);
}

/** The table's columns by their names in this file, which need not be their names in the table. */
function matchColumns([root, ...elements]: readonly SchemaElement[]): Map<string, TableColumn> {
  const columnsByName = new Map<string, TableColumn>();
  const unknown: string[] = [];
  const found = new Set<number>();
  for (const element of elements) {
    const column = TABLE_COLUMNS.find(({ fieldId }) => fieldId === element.field_id);
    if (column === undefined) {
      unknown.push(`${element.name} (${element.field_id ?? "no field id"})`);
      continue;
    }
    if (!hasType(element, column.type)) throw new Error(`column ${element.name} is no ${column.type}`);
    columnsByName.set(element.name, column);
    found.add(column.fieldId);
  }
  if (unknown.length > 0) throw new UnknownColumnsError(unknown);
  // Fewer names than elements: two columns share a name or an id, and one would hide the other.
  if (root?.num_children !== found.size || columnsByName.size !== found.size)
    throw new Error("columns are not distinct");
  const missing = TABLE_COLUMNS.find(({ fieldId, isRequired }) => isRequired && !found.has(fieldId));
  if (missing !== undefined) throw new Error(`required column ${missing.name} (${missing.fieldId}) is missing`);
  return columnsByName;
}

function hasType({ type, repetition_type, logical_type: logical, converted_type }: SchemaElement, wanted: ColumnType) {
  if (repetition_type === "REPEATED") return false;
  switch (wanted) {
    case "string":
      return type === "BYTE_ARRAY" && (logical?.type === "STRING" || converted_type === "UTF8");
    case "long":
      return type === "INT64" && (logical === undefined || logical.type === "INTEGER");
    case "timestamptz":
      return (
        type === "INT64" &&
        (logical === undefined
          ? converted_type === "TIMESTAMP_MICROS"
          : logical.type === "TIMESTAMP" && logical.unit === "MICROS" && logical.isAdjustedToUTC)
      );
  }
}

// Without `ignoreBOM` a decoder drops a leading U+FEFF.
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Values of every column by field id. */
async function readValues(
  bytes: Uint8Array,
  metadata: FileMetaData,
  columnsByName: ReadonlyMap<string, TableColumn>,
): Promise<Map<number, Values>> {
  const values = new Map<number, (string | number | undefined)[]>();
  const file = {
    byteLength: bytes.byteLength,
    slice: (start: number, end?: number) => new Uint8Array(bytes.subarray(start, end)).buffer,
  };
  // The callback collects and no more: what it throws would reach nobody.
  const chunks: { columnName: string; columnData: ArrayLike<unknown>; rowStart: number }[] = [];
  await parquetRead({
    file,
    metadata,
    compressors: { ZSTD: (input) => zstdDecompressSync(input) },
    parsers: {
      timestampFromMicroseconds: (micros) => micros,
      stringFromBytes: (text) => textDecoder.decode(text),
    },
    onChunk: (chunk) => chunks.push(chunk),
  });
  for (const { columnName, columnData, rowStart } of chunks) {
    const column = columnsByName.get(columnName);
    if (column === undefined) throw new Error(`unexpected column ${columnName}`);
    const taken = values.get(column.fieldId) ?? [];
    values.set(column.fieldId, taken);
    for (let index = 0; index < columnData.length; index++)
      taken[rowStart + index] = toValue(columnData[index], column);
  }
  return values;
}

function toValue(value: unknown, { name, type }: TableColumn): string | number | undefined {
  if (value === undefined || value === null) return undefined;
  if (type === "string" && typeof value === "string") return value;
  if (type !== "string" && typeof value === "bigint") {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    throw new Error(`column ${name} holds ${value}, allowed is a safe integer`);
  }
  throw new Error(`column ${name} holds a ${typeof value}, which is no ${type}`);
}

/** A column of the table that is not named here would be lost: the tests hold this against {@link TABLE_COLUMNS}. */
function createRows(rowCount: number, values: ReadonlyMap<number, Values>): LakeRow[] {
  const optionalText = (fieldId: number, index: number) => {
    const value = values.get(fieldId)?.[index];
    return typeof value === "string" ? value : undefined;
  };
  const text = (fieldId: number, index: number) => optionalText(fieldId, index) ?? refuseNull(fieldId, index);
  const whole = (fieldId: number, index: number) => {
    const value = values.get(fieldId)?.[index];
    return typeof value === "number" ? value : refuseNull(fieldId, index);
  };
  return Array.from({ length: rowCount }, (_, index) => ({
    id: text(1, index),
    source: text(2, index),
    type: text(3, index),
    subject: optionalText(4, index),
    timeUs: whole(5, index),
    requestId: optionalText(6, index),
    tenant: text(7, index),
    data: optionalText(8, index),
    extensions: optionalText(12, index),
    ingestTimeUs: whole(9, index),
    shard: text(10, index),
    seq: whole(11, index),
  }));
}

function refuseNull(fieldId: number, index: number): never {
  throw new Error(`row ${index} has no value in required column ${fieldId}`);
}
