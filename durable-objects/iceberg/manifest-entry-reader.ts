/**
 * From a manifest's Avro records to entries, and from its file metadata to what they mean.
 *
 * Source: Iceberg spec v2, "Manifests"; version 1 manifests: appendix C, "Version 2".
 */
import type { AvroRecord, AvroType, AvroValue } from "./avro-schema.ts";
import {
  ENTRY_STATUS,
  type ContentFile,
  type EntryStatus,
  type ManifestContent,
  type ManifestEntry,
} from "./manifest-entry.ts";
import { asBytes, asInt, asLong, ManifestError, RecordReader, type FieldKey } from "./manifest-fields.ts";
import { ENTRY_FIELDS, FILE_FIELDS, OBSOLETE_FILE_FIELDS } from "./manifest-schema.ts";
import { FIRST_PARTITION_FIELD_ID, type PartitionValue } from "./partition-values.ts";
import type { PartitionField, PartitionSpec } from "./table-metadata.ts";

/** Reads the entries of one manifest. */
export class EntryReader {
  readonly #entries: RecordReader;
  readonly #files: RecordReader;
  readonly #partitions: RecordReader;
  readonly #partitionKeys: readonly FieldKey[];
  readonly #formatVersion: number;

  /** @throws {ManifestError} if the file's schema is not of manifest entries */
  constructor(type: AvroType, spec: PartitionSpec, formatVersion: number) {
    this.#partitionKeys = spec.fields.map((field) => ({ id: field["field-id"], name: field.name }));
    this.#entries = new RecordReader(type, Object.values(ENTRY_FIELDS));
    this.#files = new RecordReader(this.#entries.typeOf(ENTRY_FIELDS.file), [
      ...Object.values(FILE_FIELDS),
      ...OBSOLETE_FILE_FIELDS,
    ]);
    this.#partitions = new RecordReader(this.#files.typeOf(FILE_FIELDS.partition), this.#partitionKeys);
    this.#formatVersion = formatVersion;
  }

  /** @throws {ManifestError} if a field is missing or of another type */
  entry(record: AvroRecord): ManifestEntry {
    const fileRecord = this.#entries.record(record, ENTRY_FIELDS.file);
    const partition = this.#files.record(fileRecord, FILE_FIELDS.partition);
    return {
      status: asStatus(this.#entries.int(record, ENTRY_FIELDS.status)),
      snapshotId: this.#entries.optionalLong(record, ENTRY_FIELDS.snapshotId),
      sequenceNumber: this.#sequenceNumber(record, ENTRY_FIELDS.sequenceNumber),
      fileSequenceNumber: this.#sequenceNumber(record, ENTRY_FIELDS.fileSequenceNumber),
      file: this.#file(fileRecord, partition),
      unknownFields: [
        ...this.#entries.strangers(record),
        ...this.#files.strangers(fileRecord),
        ...this.#partitions.strangers(partition).map((name) => `partition.${name}`),
      ],
    };
  }

  /** Version 1 has none, and they count as 0. */
  #sequenceNumber(record: AvroRecord, key: FieldKey): ManifestEntry["sequenceNumber"] {
    return this.#entries.optionalLong(record, key) ?? (this.#formatVersion === 1 ? 0 : null);
  }

  #file(record: AvroRecord, partition: AvroRecord): ContentFile {
    const of = FILE_FIELDS;
    const read = this.#files;
    return {
      // Version 1 knows data files alone.
      content: read.optionalInt(record, of.content) ?? 0,
      path: read.text(record, of.path),
      format: read.text(record, of.format),
      partition: this.#partitionKeys.map((key) => asPartitionValue(this.#partitions.value(partition, key), key)),
      recordCount: read.long(record, of.recordCount),
      fileSizeBytes: read.long(record, of.fileSizeBytes),
      columnSizes: read.optionalIntMap(record, of.columnSizes, asLong),
      valueCounts: read.optionalIntMap(record, of.valueCounts, asLong),
      nullValueCounts: read.optionalIntMap(record, of.nullValueCounts, asLong),
      nanValueCounts: read.optionalIntMap(record, of.nanValueCounts, asLong),
      distinctCounts: read.optionalIntMap(record, of.distinctCounts, asLong),
      lowerBounds: read.optionalIntMap(record, of.lowerBounds, asBytes),
      upperBounds: read.optionalIntMap(record, of.upperBounds, asBytes),
      keyMetadata: read.optionalBytes(record, of.keyMetadata),
      splitOffsets: read.optionalList(record, of.splitOffsets, asLong),
      equalityIds: read.optionalList(record, of.equalityIds, asInt),
      sortOrderId: read.optionalInt(record, of.sortOrderId),
      referencedDataFile: read.optionalText(record, of.referencedDataFile),
    };
  }
}

function asStatus(status: number): EntryStatus {
  const known = Object.values(ENTRY_STATUS).find((value) => value === status);
  if (known === undefined) throw new ManifestError(`manifest entry has an unknown status: ${status}`);
  return known;
}

function asPartitionValue(value: AvroValue, { name }: FieldKey): PartitionValue {
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    throw new ManifestError(`partition field ${name} is not a primitive`);
  }
  return value;
}

/** What a manifest's file metadata says it lists. @throws {ManifestError} */
export function readContent(content: string | undefined): ManifestContent {
  if (content === undefined || content === "data") return "data";
  if (content === "deletes") return content;
  throw new ManifestError(`manifest holds neither data nor deletes: ${content}`);
}

/** A number of a manifest's file metadata. @throws {ManifestError} */
export function metadataInt(metadata: ReadonlyMap<string, string>, key: string): number | undefined {
  const text = metadata.get(key);
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new ManifestError(`manifest's ${key} is not a number`);
  return Number(text);
}

/**
 * The spec a manifest's partitions are by. Version 1 gives no field ids: they count from 1000.
 *
 * @throws {ManifestError}
 */
export function readPartitionSpec(metadata: ReadonlyMap<string, string>): PartitionSpec {
  const fields = parseJson(metadata.get("partition-spec"));
  if (!Array.isArray(fields)) throw new ManifestError("manifest has no partition spec");
  return { "spec-id": metadataInt(metadata, "partition-spec-id") ?? 0, fields: fields.map(asPartitionField) };
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    throw new ManifestError("manifest's partition spec is not JSON");
  }
}

function asPartitionField(json: unknown, index: number): PartitionField {
  if (typeof json !== "object" || json === null) throw new ManifestError("manifest's partition spec has no fields");
  const { name, transform, ...ids } = json as Readonly<Record<string, unknown>>;
  const sourceId = ids["source-id"];
  const fieldId = ids["field-id"] ?? FIRST_PARTITION_FIELD_ID + index;
  const isField =
    typeof name === "string" &&
    typeof transform === "string" &&
    typeof sourceId === "number" &&
    typeof fieldId === "number";
  if (!isField) throw new ManifestError("manifest's partition spec has a field without name, transform or source");
  return { name, transform, "source-id": sourceId, "field-id": fieldId };
}
