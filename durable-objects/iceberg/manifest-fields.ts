/**
 * Iceberg's records in Avro, read by field id whatever their writer called the fields, and checked.
 *
 * Source: Iceberg spec, "Column Projection" and appendix A.
 */
import { readAvroFile } from "./avro-container.ts";
import {
  isAvroRecord,
  type AvroList,
  type AvroRecord,
  type AvroRecordType,
  type AvroType,
  type AvroValue,
} from "./avro-schema.ts";
import type { LongInt } from "./table-metadata.ts";

/** A manifest or manifest list that is not one as the format says, or that cannot be written without loss. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}

/** A field by id and name; the id counts, the name serves writers that give no ids. */
export interface FieldKey {
  readonly id: number;
  readonly name: string;
}

export interface RecordFile {
  readonly metadata: ReadonlyMap<string, string>;
  readonly type: AvroType;
  readonly records: readonly AvroRecord[];
}

/**
 * @param what said in errors, such as `manifest`
 * @throws {AvroError} if the bytes are not an Avro file
 * @throws {ManifestError} if it does not hold records
 */
export function readRecordFile(bytes: Uint8Array, what: string): RecordFile {
  const { metadata, type, records } = readAvroFile(bytes);
  if (!records.every(isAvroRecord)) throw new ManifestError(`${what} holds something other than records`);
  return { metadata, type, records };
}

/** Made once for a record type, used for each of its records; every read throws {@link ManifestError}. */
export class RecordReader {
  readonly #type: AvroRecordType;
  readonly #names = new Map<number, string>();
  readonly #strange: readonly string[];

  /** @param known every field that will be asked for, and those to pass over */
  constructor(type: AvroType | undefined, known: readonly FieldKey[]) {
    if (type?.kind !== "record") throw new ManifestError("Avro schema has something else where a record belongs");
    this.#type = type;
    for (const key of known) {
      const field = type.fields.find(
        ({ name, fieldId }) => fieldId === key.id || (fieldId === undefined && name === key.name),
      );
      if (field !== undefined) this.#names.set(key.id, field.name);
    }
    const named = new Set(this.#names.values());
    this.#strange = type.fields.map(({ name }) => name).filter((name) => !named.has(name));
  }

  /** Type of a field, inside its union with null where it has one. */
  typeOf(key: FieldKey): AvroType | undefined {
    const name = this.#names.get(key.id);
    return withoutNull(this.#type.fields.find((field) => field.name === name)?.type);
  }

  /** Members that hold something and that this code does not know: leaving them out would lose them. */
  strangers(record: AvroRecord): readonly string[] {
    return this.#strange.filter((name) => record[name] !== null);
  }

  /** `null` also where the writer did not have the field. */
  value(record: AvroRecord, key: FieldKey): AvroValue {
    const name = this.#names.get(key.id);
    return name === undefined ? null : (record[name] ?? null);
  }

  record(record: AvroRecord, key: FieldKey): AvroRecord {
    return asRecord(this.value(record, key), key);
  }

  text(record: AvroRecord, key: FieldKey): string {
    return present(this.optionalText(record, key), key);
  }

  optionalText(record: AvroRecord, key: FieldKey): string | null {
    const value = this.value(record, key);
    if (value !== null && typeof value !== "string") throw misfit(key, "text");
    return value;
  }

  int(record: AvroRecord, key: FieldKey): number {
    return present(this.optionalInt(record, key), key);
  }

  optionalInt(record: AvroRecord, key: FieldKey): number | null {
    const value = this.value(record, key);
    return value === null ? null : asInt(value, key);
  }

  long(record: AvroRecord, key: FieldKey): LongInt {
    return present(this.optionalLong(record, key), key);
  }

  optionalLong(record: AvroRecord, key: FieldKey): LongInt | null {
    const value = this.value(record, key);
    return value === null ? null : asLong(value, key);
  }

  optionalBytes(record: AvroRecord, key: FieldKey): Uint8Array | null {
    const value = this.value(record, key);
    return value === null ? null : asBytes(value, key);
  }

  boolean(record: AvroRecord, key: FieldKey): boolean {
    return present(this.optionalBoolean(record, key), key);
  }

  optionalBoolean(record: AvroRecord, key: FieldKey): boolean | null {
    const value = this.value(record, key);
    if (value !== null && typeof value !== "boolean") throw misfit(key, "a boolean");
    return value;
  }

  optionalList<Item>(
    record: AvroRecord,
    key: FieldKey,
    read: (value: AvroValue, key: FieldKey) => Item,
  ): readonly Item[] | null {
    const value = this.value(record, key);
    return value === null ? null : asList(value, key).map((item) => read(item, key));
  }

  /** A map by field id, which Avro holds as pairs. */
  optionalIntMap<Item>(
    record: AvroRecord,
    key: FieldKey,
    read: (value: AvroValue, key: FieldKey) => Item,
  ): ReadonlyMap<number, Item> | null {
    const value = this.value(record, key);
    if (value === null) return null;
    const map = new Map<number, Item>();
    for (const pair of asList(value, key)) {
      if (!isAvroRecord(pair) || Object.keys(pair).length !== 2) throw misfit(key, "a map of pairs");
      map.set(asInt(pair["key"] ?? null, key), read(pair["value"] ?? null, key));
    }
    return map;
  }
}

/** @throws {ManifestError} if it is not a number of 32 bits */
export function asInt(value: AvroValue, key: FieldKey): number {
  if (typeof value !== "number" || (value | 0) !== value) throw misfit(key, "an int");
  return value;
}

/** @throws {ManifestError} if it is not a whole number */
export function asLong(value: AvroValue, key: FieldKey): LongInt {
  if (typeof value === "bigint") return value;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw misfit(key, "a long");
  return value;
}

/** @throws {ManifestError} if it is not bytes */
export function asBytes(value: AvroValue, key: FieldKey): Uint8Array {
  if (!(value instanceof Uint8Array)) throw misfit(key, "bytes");
  return value;
}

/** The items' type of a list, inside its union with null where it has one. */
export function itemType(type: AvroType | undefined): AvroType | undefined {
  return type?.kind === "array" ? withoutNull(type.items) : undefined;
}

function withoutNull(type: AvroType | undefined): AvroType | undefined {
  return type?.kind === "union" ? type.branches.find(({ kind }) => kind !== "null") : type;
}

/** @throws {ManifestError} if it is not a record */
export function asRecord(value: AvroValue, key: FieldKey): AvroRecord {
  if (!isAvroRecord(value)) throw misfit(key, "a record");
  return value;
}

function asList(value: AvroValue, key: FieldKey): AvroList {
  if (!Array.isArray(value)) throw misfit(key, "a list");
  return value as AvroList;
}

function present<Value>(value: Value | null, key: FieldKey): Value {
  if (value === null) throw misfit(key, "there");
  return value;
}

function misfit({ id, name }: FieldKey, expected: string): ManifestError {
  return new ManifestError(`field ${id} ${name} is not ${expected}`);
}
