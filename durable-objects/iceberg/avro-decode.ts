/**
 * Avro's binary encoding, reading. Made for bytes that may be cut, broken or hostile: every loop takes
 * from a budget or from the bytes, nothing is allocated by a length that the bytes do not back.
 *
 * Source: Apache Avro 1.12 specification, "Binary Encoding".
 */
import { AvroError, MAX_DEPTH, type AvroField, type AvroType, type AvroValue } from "./avro-schema.ts";
import type { LongInt } from "./table-metadata.ts";

const INT_MIN = -(2 ** 31);
const INT_MAX = 2 ** 31 - 1;
const LONG_BITS = 64n;
const MAX_VARINT_BYTES = 10;
/** Seven bytes of a varint hold 49 bits, which a number holds exactly. */
const NUMBER_VARINT_BYTES = 7;

// A byte-order mark is part of the text, not a mark.
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How many values may still be decoded; shared by all blocks of a file. */
export interface ValueBudget {
  left: number;
}

/** A place in bytes. Every read throws {@link AvroError} rather than go past the end. */
export class AvroCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // Never a Buffer, whose `slice` would not copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** @returns a view of the same memory */
  take(size: number): Uint8Array {
    const start = this.#advance(size);
    return this.#bytes.subarray(start, start + size);
  }

  readByte(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  readFloat(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  readDouble(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  readInt(): number {
    const value = this.readLong();
    if (typeof value === "bigint" || value < INT_MIN || value > INT_MAX)
      throw new AvroError("Avro int is out of range");
    return value;
  }

  readLong(): LongInt {
    let raw = 0;
    let scale = 1;
    for (let count = 0; count < NUMBER_VARINT_BYTES; count++, scale *= 0x80) {
      const byte = this.readByte();
      raw += (byte & 0x7f) * scale;
      if (byte < 0x80) return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
    }
    return this.#readWideLong(BigInt(raw));
  }

  /** A length of something in these bytes. */
  readLength(): number {
    const length = this.readLong();
    if (typeof length === "bigint" || length < 0 || length > this.left) {
      throw new AvroError("Avro length does not fit the bytes");
    }
    return length;
  }

  readString(): string {
    try {
      return textDecoder.decode(this.take(this.readLength()));
    } catch (error) {
      if (error instanceof AvroError) throw error;
      throw new AvroError("Avro string is not UTF-8");
    }
  }

  #readWideLong(low: bigint): LongInt {
    let raw = low;
    for (let count = NUMBER_VARINT_BYTES; count < MAX_VARINT_BYTES; count++) {
      const byte = this.readByte();
      raw |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte >= 0x80) continue;
      if (raw >> LONG_BITS !== 0n) break;
      const value = (raw >> 1n) ^ -(raw & 1n);
      const exact = Number(value);
      return Number.isSafeInteger(exact) ? exact : value;
    }
    throw new AvroError("Avro long has more than 64 bits");
  }

  #advance(size: number): number {
    const start = this.#at;
    if (size > this.left) throw new AvroError("Avro bytes end too early");
    this.#at += size;
    return start;
  }
}

/**
 * Reads one value. Bytes are copied, so that a small value does not hold on to a whole file.
 *
 * @throws {AvroError} if the bytes are not of that schema, or hold more than the budget allows
 */
export function decodeAvro(type: AvroType, cursor: AvroCursor, budget: ValueBudget): AvroValue {
  return decode(type, { cursor, budget }, 0);
}

interface Source {
  readonly cursor: AvroCursor;
  readonly budget: ValueBudget;
}

function decode(type: AvroType, source: Source, depth: number): AvroValue {
  const { cursor, budget } = source;
  // Values of no bytes at all, such as nulls in an array, are bounded by this alone.
  if (--budget.left < 0) throw new AvroError("Avro file holds too many values");
  if (depth > MAX_DEPTH) throw new AvroError("Avro value nests too deeply");
  switch (type.kind) {
    case "null":
      return null;
    case "boolean":
      return readBoolean(cursor);
    case "int":
      return cursor.readInt();
    case "long":
      return cursor.readLong();
    case "float":
      return cursor.readFloat();
    case "double":
      return cursor.readDouble();
    case "bytes":
      return cursor.take(cursor.readLength()).slice();
    case "fixed":
      return cursor.take(type.size).slice();
    case "string":
      return cursor.readString();
    case "enum":
      return pick(type.symbols, cursor);
    case "union":
      return decode(pick(type.branches, cursor), source, depth + 1);
    case "array":
      return decodeArray(type.items, source, depth + 1);
    case "map":
      return decodeMap(type.values, source, depth + 1);
    case "record":
      return decodeRecord(type.fields, source, depth + 1);
    default:
      return type satisfies never;
  }
}

function readBoolean(cursor: AvroCursor): boolean {
  const byte = cursor.readByte();
  if (byte > 1) throw new AvroError("Avro boolean is neither 0 nor 1");
  return byte === 1;
}

function pick<Choice>(choices: readonly Choice[], cursor: AvroCursor): Choice {
  const choice = choices[cursor.readInt()];
  if (choice === undefined) throw new AvroError("Avro enum or union has no such branch");
  return choice;
}

function decodeArray(items: AvroType, source: Source, depth: number): AvroValue {
  const values: AvroValue[] = [];
  forEachItem(source.cursor, () => values.push(decode(items, source, depth)));
  return values;
}

function decodeMap(values: AvroType, source: Source, depth: number): AvroValue {
  const map = new Map<string, AvroValue>();
  forEachItem(source.cursor, () => map.set(source.cursor.readString(), decode(values, source, depth)));
  return map;
}

function decodeRecord(fields: readonly AvroField[], source: Source, depth: number): AvroValue {
  // Made in one order with a prototype, records share their layout: half the memory of those without.
  const record: Record<string, AvroValue> = {};
  for (const { name, type } of fields) {
    const value = decode(type, source, depth);
    if (name === "__proto__") Object.defineProperty(record, name, { value, enumerable: true });
    else record[name] = value;
  }
  return record;
}

/** Blocks of items until an empty one; a negative count is followed by the block's size in bytes. */
export function forEachItem(cursor: AvroCursor, readItem: () => void): void {
  for (;;) {
    const count = cursor.readLong();
    if (count === 0) return;
    if (typeof count === "bigint") throw new AvroError("Avro block has too many items");
    if (count < 0) cursor.readLength();
    for (let left = Math.abs(count); left > 0; left--) readItem();
  }
}
