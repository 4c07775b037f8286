/**
 * Partition tuples: what type each of a spec's fields has, how manifests write it, and the bounds that
 * manifest lists keep of it. For tables of other writers too, so for every transform and primitive of
 * format version 2. Not for computing a partition from a row.
 *
 * Source: Iceberg spec, "Partition Transforms", appendix A (Avro) and appendix D ("Binary single-value
 * serialization").
 */
import type { LongInt, PartitionSpec, Schema, SchemaField } from "./table-metadata.ts";

/** Where partition field ids begin (spec, "Partition Evolution"). */
export const FIRST_PARTITION_FIELD_ID = 1000;

/** As Avro holds it: dates are days, timestamps microseconds, decimals and UUIDs big-endian bytes. */
export type PartitionValue = null | boolean | LongInt | string | Uint8Array;

export interface PartitionColumn {
  readonly fieldId: number;
  readonly name: string;
  /** An Iceberg primitive such as `date`, `long` or `decimal(9, 2)`. */
  readonly type: string;
}

/** Bounds of one partition field over the entries of a manifest (spec, struct field_summary). */
export interface PartitionSummary {
  readonly containsNull: boolean;
  /** `null`: unknown. */
  readonly containsNan: boolean | null;
  /** Single-value serialization; `null` where every value is null or NaN. */
  readonly lowerBound: Uint8Array | null;
  readonly upperBound: Uint8Array | null;
}

/** @throws {Error} if a source column is not in the schema, is not a primitive, or a transform is unknown */
export function partitionColumns(schema: Schema, spec: PartitionSpec): readonly PartitionColumn[] {
  return spec.fields.map((field) => ({
    fieldId: field["field-id"],
    name: field.name,
    type: transformedType(field.transform, () => sourceType(schema.fields, field["source-id"])),
  }));
}

function transformedType(transform: string, sourceType: () => string | undefined): string {
  switch (transform.replace(/\[.*/, "")) {
    case "day":
      return "date";
    case "year":
    case "month":
    case "hour":
    case "bucket":
      return "int";
    case "identity":
    case "truncate":
    case "void": {
      const type = sourceType();
      if (type === undefined) throw new Error(`the source column of partition transform ${transform} is not known`);
      return type;
    }
    default:
      throw new Error(`partition transform is not known: ${transform}`);
  }
}

function sourceType(fields: readonly SchemaField[], id: number): string | undefined {
  for (const { id: fieldId, type } of fields) {
    if (fieldId === id) return typeof type === "string" ? type : undefined;
    if (typeof type !== "object" || type === null || !("fields" in type) || !Array.isArray(type.fields)) continue;
    const nested = sourceType(type.fields as readonly SchemaField[], id);
    if (nested !== undefined) return nested;
  }
  return undefined;
}

const FIXED_PATTERN = /^fixed\[(\d+)\]$/;
const DECIMAL_PATTERN = /^decimal\((\d+),\s*(\d+)\)$/;

/**
 * How Avro writes a partition value that is not null (appendix A). The name is for `fixed`, which needs one.
 *
 * @throws {Error} for a type that is not a primitive of version 2
 */
export function avroTypeOf(type: string, name: string): string | object {
  const fixed = FIXED_PATTERN.exec(type);
  if (fixed !== null) return { type: "fixed", name, size: Number(fixed[1]) };
  const decimal = DECIMAL_PATTERN.exec(type);
  if (decimal !== null) {
    const [precision, scale] = [Number(decimal[1]), Number(decimal[2])];
    return { type: "fixed", name, size: decimalBytes(precision), logicalType: "decimal", precision, scale };
  }
  switch (type) {
    case "boolean":
    case "int":
    case "long":
    case "float":
    case "double":
    case "string":
      return type;
    case "binary":
      return "bytes";
    case "date":
      return { type: "int", logicalType: "date" };
    case "time":
      return { type: "long", logicalType: "time-micros" };
    case "timestamp":
    case "timestamptz":
      return { type: "long", logicalType: "timestamp-micros", "adjust-to-utc": type === "timestamptz" };
    case "uuid":
      return { type: "fixed", name, size: 16, logicalType: "uuid" };
    default:
      throw new Error(`partition type is not known: ${type}`);
  }
}

/** Bytes that hold any number of so many decimal digits, with its sign. */
function decimalBytes(precision: number): number {
  let bits = 1;
  for (let rest = 10n ** BigInt(precision) - 1n; rest > 0n; rest >>= 1n) bits++;
  return Math.ceil(bits / 8);
}

/**
 * @param values one column's values, deleted files' included, as Iceberg's own writers count them
 * @throws {Error} if a value is not of the type
 */
export function summarizePartition(type: string, values: readonly PartitionValue[]): PartitionSummary {
  let lower: PartitionValue = null;
  let upper: PartitionValue = null;
  let containsNull = false;
  let containsNan = false;
  for (const value of values) {
    if (value === null) containsNull = true;
    else if (Number.isNaN(value)) containsNan = true;
    else {
      if (lower === null || comparePartitions(type, value, lower) < 0) lower = value;
      if (upper === null || comparePartitions(type, value, upper) > 0) upper = value;
    }
  }
  return {
    containsNull,
    containsNan,
    lowerBound: lower === null ? null : serializePartition(type, lower),
    upperBound: upper === null ? null : serializePartition(type, upper),
  };
}

const textEncoder = new TextEncoder();

function comparePartitions(type: string, left: PartitionValue, right: PartitionValue): number {
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    return DECIMAL_PATTERN.test(type)
      ? compareScalars(readDecimal(left), readDecimal(right))
      : compareBytes(left, right);
  }
  // By UTF-8, not by UTF-16 units, which order characters beyond U+FFFF elsewhere.
  if (typeof left === "string" && typeof right === "string") {
    return compareBytes(textEncoder.encode(left), textEncoder.encode(right));
  }
  // A float's negative zero comes before zero.
  if (left === 0 && right === 0) return Number(Object.is(right, -0)) - Number(Object.is(left, -0));
  return compareScalars(left, right);
}

function compareScalars(left: PartitionValue, right: PartitionValue): number {
  if (left === null || right === null || left === right) return 0;
  return left < right ? -1 : 1;
}

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const at = left.findIndex((byte, index) => byte !== right[index]);
  if (at === -1) return left.length - right.length;
  return (left[at] ?? 0) - (right[at] ?? -1);
}

function readDecimal(bytes: Uint8Array): bigint {
  const unsigned = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return BigInt.asIntN(bytes.length * 8, unsigned);
}

/**
 * Single-value serialization (appendix D).
 *
 * @throws {Error} if the value is not of the type
 */
function serializePartition(type: string, value: Exclude<PartitionValue, null>): Uint8Array {
  if (value instanceof Uint8Array) return DECIMAL_PATTERN.test(type) ? shortenDecimal(value) : value;
  if (typeof value === "string") return textEncoder.encode(value);
  if (typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  const bytes = new Uint8Array(type === "int" || type === "date" || type === "float" ? 4 : 8);
  const view = new DataView(bytes.buffer);
  switch (type) {
    case "int":
    case "date":
      view.setInt32(0, Number(value), true);
      return bytes;
    case "float":
      view.setFloat32(0, Number(value), true);
      return bytes;
    case "double":
      view.setFloat64(0, Number(value), true);
      return bytes;
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz":
      view.setBigInt64(0, BigInt(value), true);
      return bytes;
    default:
      throw new Error(`partition value is not of type ${type}`);
  }
}

/** The fewest bytes that keep the sign: Avro's fixed is padded, a bound is not. */
function shortenDecimal(bytes: Uint8Array): Uint8Array {
  let start = 0;
  for (; start < bytes.length - 1; start++) {
    const [first, next] = [bytes[start], bytes[start + 1] ?? 0];
    if (!(first === 0 && next < 0x80) && !(first === 0xff && next >= 0x80)) break;
  }
  return bytes.slice(start);
}
