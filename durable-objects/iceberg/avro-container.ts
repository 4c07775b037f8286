/**
 * Avro object container files. Whole files in memory: Iceberg's manifests and manifest lists are small.
 *
 * The same records give the same bytes, so that writing a manifest again after a crash changes nothing.
 * Source: Apache Avro 1.12 specification, "Object Container Files".
 */
import { deflateRawSync, inflateRawSync, zstdDecompressSync } from "node:zlib";

import { AvroCursor, decodeAvro, forEachItem, type ValueBudget } from "./avro-decode.ts";
import { AvroSink, encodeAvro } from "./avro-encode.ts";
import { AvroError, parseAvroSchema, type AvroType, type AvroValue } from "./avro-schema.ts";

const MAGIC = new Uint8Array([0x4f, 0x62, 0x6a, 1]);
const SYNC_BYTES = 16;
/** Bytes of records before compression, per block: readers inflate a block at a time. */
const BLOCK_BYTES = 64 * 1024;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

export interface AvroFileContent {
  /** The records' schema as JSON. */
  readonly schema: object;
  /** The writer's own keys; `avro.schema` and `avro.codec` are set here. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly records: Iterable<AvroValue>;
  readonly codec: "deflate" | "null";
}

/** @throws {AvroError} if a record does not fit the schema */
export function writeAvroFile({ schema, metadata, records, codec }: AvroFileContent): Uint8Array<ArrayBuffer> {
  const schemaText = JSON.stringify(schema);
  const type = parseAvroSchema(JSON.parse(schemaText));
  const blocks = [...encodeBlocks(type, records)];
  const sync = syncMarker(schemaText, blocks);

  const file = new AvroSink();
  file.writeRaw(MAGIC);
  writeMetadata(file, { "avro.schema": schemaText, "avro.codec": codec, ...metadata });
  file.writeRaw(sync);
  for (const { count, bytes } of blocks) {
    file.writeLong(count);
    file.writeBytes(codec === "deflate" ? deflateRawSync(bytes) : bytes);
    file.writeRaw(sync);
  }
  return file.toBytes();
}

interface RecordBlock {
  readonly count: number;
  readonly bytes: Uint8Array;
}

function* encodeBlocks(type: AvroType, records: Iterable<AvroValue>): Generator<RecordBlock> {
  const sink = new AvroSink();
  let count = 0;
  for (const record of records) {
    encodeAvro(type, record, sink);
    count++;
    if (sink.length < BLOCK_BYTES) continue;
    yield { count, bytes: sink.toBytes() };
    sink.clear();
    count = 0;
  }
  if (count > 0) yield { count, bytes: sink.toBytes() };
}

function writeMetadata(file: AvroSink, metadata: Readonly<Record<string, string>>): void {
  const keys = Object.entries(metadata);
  file.writeLong(keys.length);
  for (const [key, value] of keys) {
    file.writeString(key);
    file.writeString(value);
  }
  file.writeLong(0);
}

const FNV_PRIME = 0x01000193;
const FNV_BASIS = 0x811c9dc5;
const LANES = 4;

/**
 * Sixteen bytes unlikely to occur in the file: four FNV-1a sums over what it holds. Random bytes would
 * serve as well, but would make each writing differ.
 */
function syncMarker(schemaText: string, blocks: readonly RecordBlock[]): Uint8Array {
  const sums = Uint32Array.from({ length: LANES }, (_, lane) => FNV_BASIS + lane);
  for (const bytes of [textEncoder.encode(schemaText), ...blocks.map((block) => block.bytes)]) {
    for (let lane = 0; lane < LANES; lane++) {
      let sum = sums[lane] ?? FNV_BASIS;
      for (let at = lane; at < bytes.length; at += LANES) sum = Math.imul(sum ^ (bytes[at] ?? 0), FNV_PRIME);
      sums[lane] = sum;
    }
  }
  return new Uint8Array(sums.buffer);
}

/** What a file may grow to in memory; beyond, it is refused. */
export interface AvroLimits {
  /** All blocks together, decompressed. */
  readonly maxBytes: number;
  /** Values decoded, a record and each of its members counted. */
  readonly maxValues: number;
}

/**
 * A manifest of 2,000 files with a dozen columns each is 1 to 2 MiB and takes 18 MB of memory as entries.
 * Ten times that is more than an isolate has (128 MB), so a file may be about half of it.
 */
const AVRO_LIMITS: AvroLimits = { maxBytes: 8 * 1024 * 1024, maxValues: 4_000_000 };

/**
 * Nearly every value takes a byte or more; a null in a union or a record around others takes none of its
 * own. Far more values than bytes means a block made to fill the memory.
 */
const VALUES_PER_BYTE = 4;
const SPARE_VALUES = 1024;

export interface AvroFile {
  /** The writer's keys, `avro.schema` and `avro.codec` among them, read as text. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly type: AvroType;
  readonly records: readonly AvroValue[];
}

/**
 * Reads a whole file by the schema in it. Codecs: null, deflate, zstandard.
 *
 * @throws {AvroError} if the file is cut or broken, has another codec, or exceeds the limits
 */
export function readAvroFile(bytes: Uint8Array, limits: AvroLimits = AVRO_LIMITS): AvroFile {
  const cursor = new AvroCursor(bytes);
  if (bytes.length < MAGIC.length || !sameBytes(cursor.take(MAGIC.length), MAGIC)) {
    throw new AvroError("not an Avro file: it does not begin with Obj1");
  }
  const metadata = readMetadata(cursor);
  const type = parseAvroSchema(parseSchemaText(metadata.get("avro.schema")));
  const blocks = new BlockReader(metadata.get("avro.codec") ?? "null", limits.maxBytes);
  let valuesLeft = limits.maxValues;
  const sync = cursor.take(SYNC_BYTES);
  const records: AvroValue[] = [];
  while (cursor.left > 0) {
    const count = cursor.readLong();
    if (count < 0) throw new AvroError("Avro block has a negative count");
    const block = new AvroCursor(blocks.inflate(cursor.take(cursor.readLength())));
    if (!sameBytes(cursor.take(SYNC_BYTES), sync))
      throw new AvroError("Avro block does not end with the file's marker");
    const granted = Math.min(valuesLeft, VALUES_PER_BYTE * block.left + SPARE_VALUES);
    const budget: ValueBudget = { left: granted };
    for (let index = 0; index < count; index++) records.push(decodeAvro(type, block, budget));
    valuesLeft -= granted - budget.left;
    if (block.left > 0) throw new AvroError("Avro block holds more than its records");
  }
  return { metadata, type, records };
}

function readMetadata(cursor: AvroCursor): Map<string, string> {
  const metadata = new Map<string, string>();
  forEachItem(cursor, () => {
    const key = cursor.readString();
    metadata.set(key, textDecoder.decode(cursor.take(cursor.readLength())));
  });
  return metadata;
}

function parseSchemaText(text: string | undefined): unknown {
  if (text === undefined) throw new AvroError("Avro file has no schema");
  try {
    return JSON.parse(text);
  } catch {
    throw new AvroError("Avro file's schema is not JSON");
  }
}

/** Decompresses blocks while they fit what the file may grow to. */
class BlockReader {
  readonly #codec: string;
  #bytesLeft: number;

  constructor(codec: string, maxBytes: number) {
    this.#codec = codec;
    this.#bytesLeft = maxBytes;
  }

  inflate(packed: Uint8Array): Uint8Array {
    const bytes = this.#unpack(packed);
    this.#bytesLeft -= bytes.length;
    if (this.#bytesLeft < 0) throw new AvroError("Avro file is too large");
    return bytes;
  }

  #unpack(packed: Uint8Array): Uint8Array {
    // A limit of nothing is refused by zlib; one byte too many is caught by the caller.
    const options = { maxOutputLength: this.#bytesLeft + 1 };
    try {
      switch (this.#codec) {
        case "null":
          return packed;
        case "deflate":
          return inflateRawSync(packed, options);
        case "zstandard":
          return zstdDecompressSync(packed, options);
        default:
          throw new AvroError(`Avro codec is not supported: ${this.#codec}`);
      }
    } catch (error) {
      if (error instanceof AvroError) throw error;
      // zlib says "too large" by RangeError under Node and workerd alike.
      const reason = error instanceof RangeError ? "Avro file is too large" : "Avro block cannot be decompressed";
      throw new AvroError(reason, { cause: error });
    }
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
