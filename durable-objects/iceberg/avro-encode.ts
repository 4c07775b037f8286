/**
 * Avro's binary encoding, writing.
 *
 * Source: Apache Avro 1.12 specification, "Binary Encoding".
 */
import {
  AvroError,
  isAvroRecord,
  type AvroMap,
  type AvroRecord,
  type AvroType,
  type AvroValue,
} from "./avro-schema.ts";
import type { LongInt } from "./table-metadata.ts";

const FIRST_CAPACITY = 4096;
const INT_MIN = -(2 ** 31);
const INT_MAX = 2 ** 31 - 1;
const LONG_BITS = 64;
/** Up to here a number can be doubled, as zigzag does, without rounding. */
const FAST_LONG_LIMIT = 2 ** 51;

const textEncoder = new TextEncoder();

/** Bytes in the making; grows by doubling. */
export class AvroSink {
  #bytes = new Uint8Array(FIRST_CAPACITY);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written so far, copied. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  writeRaw(bytes: Uint8Array): void {
    const start = this.#claim(bytes.length);
    this.#bytes.set(bytes, start);
  }

  writeByte(byte: number): void {
    const start = this.#claim(1);
    this.#view.setUint8(start, byte);
  }

  writeFloat(value: number): void {
    const start = this.#claim(4);
    this.#view.setFloat32(start, value, true);
  }

  writeDouble(value: number): void {
    const start = this.#claim(8);
    this.#view.setFloat64(start, value, true);
  }

  /** `int` and `long` alike: zigzag, then seven bits a byte, low bits first. */
  writeLong(value: LongInt): void {
    if (typeof value === "number" && Math.abs(value) < FAST_LONG_LIMIT) {
      let rest = value < 0 ? -2 * value - 1 : 2 * value;
      for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.writeByte((rest % 0x80) | 0x80);
      this.writeByte(rest);
      return;
    }
    const wide = BigInt(value);
    let rest = BigInt.asUintN(LONG_BITS, (wide << 1n) ^ (wide >> BigInt(LONG_BITS - 1)));
    for (; rest >= 0x80n; rest >>= 7n) this.writeByte(Number(rest & 0x7fn) | 0x80);
    this.writeByte(Number(rest));
  }

  writeBytes(bytes: Uint8Array): void {
    this.writeLong(bytes.length);
    this.writeRaw(bytes);
  }

  /** @throws {AvroError} for a lone surrogate: it has no UTF-8, and a stand-in would change the text */
  writeString(text: string): void {
    if (!text.isWellFormed()) throw new AvroError("Avro string is not well-formed Unicode");
    this.writeBytes(textEncoder.encode(text));
  }

  /** Makes room; the memory may be another afterwards. */
  #claim(size: number): number {
    const start = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return start;
  }
}

/**
 * Writes a value as its schema says. In a union the first branch that holds the value exactly is taken.
 *
 * @throws {AvroError} if the value does not fit; the sink then holds part of it
 */
export function encodeAvro(type: AvroType, value: AvroValue, sink: AvroSink): void {
  if (!fits(type, value)) throw new AvroError(`value does not fit Avro ${describeType(type)}`);
  switch (type.kind) {
    case "null":
      return;
    case "boolean":
      return sink.writeByte(value === true ? 1 : 0);
    case "int":
    case "long":
      return sink.writeLong(value as LongInt);
    case "float":
      return sink.writeFloat(value as number);
    case "double":
      return sink.writeDouble(value as number);
    case "bytes":
      return sink.writeBytes(value as Uint8Array);
    case "fixed":
      return sink.writeRaw(value as Uint8Array);
    case "string":
      return sink.writeString(value as string);
    case "enum":
      return sink.writeLong(type.symbols.indexOf(value as string));
    case "array":
      return encodeItems(value as readonly AvroValue[], sink, (item) => encodeAvro(type.items, item, sink));
    case "map":
      return encodeItems([...(value as AvroMap)], sink, ([key, item]) => {
        sink.writeString(key);
        encodeAvro(type.values, item, sink);
      });
    case "union":
      return encodeBranch(type.branches, value, sink);
    case "record":
      for (const field of type.fields) {
        const member = (value as AvroRecord)[field.name];
        if (member === undefined) throw new AvroError(`Avro record ${type.name} lacks ${field.name}`);
        encodeAvro(field.type, member, sink);
      }
      return;
    default:
      return type satisfies never;
  }
}

/** One block with all items, then the empty block that ends it. */
function encodeItems<Item>(items: readonly Item[], sink: AvroSink, write: (item: Item) => void): void {
  if (items.length > 0) sink.writeLong(items.length);
  for (const item of items) write(item);
  sink.writeLong(0);
}

function encodeBranch(branches: readonly AvroType[], value: AvroValue, sink: AvroSink): void {
  for (const [index, branch] of branches.entries()) {
    if (!fits(branch, value)) continue;
    sink.writeLong(index);
    encodeAvro(branch, value, sink);
    return;
  }
  throw new AvroError("value fits no branch of its Avro union");
}

/** Whether a value is of the type's kind and reads back the same; what lists and maps hold is not looked at. */
function fits(type: AvroType, value: AvroValue): boolean {
  switch (type.kind) {
    case "null":
      return value === null;
    case "boolean":
      return typeof value === "boolean";
    case "int":
      return Number.isInteger(value) && Number(value) >= INT_MIN && Number(value) <= INT_MAX && !Object.is(value, -0);
    case "long":
      return isLong(value);
    case "float":
      return typeof value === "number" && Object.is(Math.fround(value), value);
    case "double":
      return typeof value === "number";
    case "bytes":
      return value instanceof Uint8Array;
    case "fixed":
      return value instanceof Uint8Array && value.length === type.size;
    case "string":
      return typeof value === "string";
    case "enum":
      return typeof value === "string" && type.symbols.includes(value);
    case "array":
      return Array.isArray(value);
    case "map":
      return value instanceof Map;
    case "union":
      return true;
    case "record":
      return isAvroRecord(value) && type.fields.every(({ name }) => value[name] !== undefined);
    default:
      return type satisfies never;
  }
}

function isLong(value: AvroValue): boolean {
  if (typeof value === "bigint") return BigInt.asIntN(LONG_BITS, value) === value;
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

function describeType(type: AvroType): string {
  return "name" in type ? `${type.kind} ${type.name}` : type.kind;
}
