/**
 * Manifests: Avro files that list data files with their metrics. Written in format version 2; read in
 * version 1 too, and as far as possible in later ones, so that entries of other writers can be written
 * again without loss. What cannot be is named in {@link ManifestEntry.unknownFields}.
 *
 * Source: Iceberg spec v2, "Manifests" and appendix C.
 */
import { writeAvroFile } from "./avro-container.ts";
import type { AvroRecord, AvroValue } from "./avro-schema.ts";
import type { DataFile } from "./data-file.ts";
import {
  ENTRY_STATUS,
  FILE_CONTENT,
  type ContentFile,
  type IntMap,
  type ManifestContent,
  type ManifestEntry,
} from "./manifest-entry.ts";
import { EntryReader, metadataInt, readContent, readPartitionSpec } from "./manifest-entry-reader.ts";
import { ManifestError, readRecordFile } from "./manifest-fields.ts";
import { ENTRY_FIELDS, FILE_FIELDS, manifestEntrySchema, partitionFieldName } from "./manifest-schema.ts";
import { partitionColumns } from "./partition-values.ts";
import { EVENTS_SORT_ORDER, type LongInt, type PartitionSpec, type Schema } from "./table-metadata.ts";

export { ENTRY_STATUS } from "./manifest-entry.ts";
export type { ContentFile, ManifestEntry } from "./manifest-entry.ts";

/**
 * @param snapshotId of the snapshot that adds it; `null`: whichever adds the manifest
 * @returns the entry of a file that this table's own shards wrote
 */
export function addedEntry(file: DataFile, snapshotId: LongInt | null): ManifestEntry {
  return {
    status: ENTRY_STATUS.added,
    snapshotId,
    // Both are the snapshot's, which is known only once the commit has succeeded ("Sequence Number Inheritance").
    sequenceNumber: null,
    fileSequenceNumber: null,
    file: {
      content: FILE_CONTENT.data,
      path: file.path,
      format: "PARQUET",
      partition: [file.day],
      recordCount: file.recordCount,
      fileSizeBytes: file.fileSizeBytes,
      columnSizes: byFieldId(file.columnSizes, Number),
      valueCounts: byFieldId(file.valueCounts, Number),
      nullValueCounts: byFieldId(file.nullValueCounts, Number),
      nanValueCounts: null,
      distinctCounts: null,
      lowerBounds: byFieldId(file.lowerBounds, fromBase64),
      upperBounds: byFieldId(file.upperBounds, fromBase64),
      keyMetadata: null,
      splitOffsets: [PARQUET_MAGIC_BYTES],
      equalityIds: null,
      sortOrderId: EVENTS_SORT_ORDER["order-id"],
      referencedDataFile: null,
    },
    unknownFields: [],
  };
}

/** Where the first row group begins. */
const PARQUET_MAGIC_BYTES = 4;

function byFieldId<From, To>(record: Readonly<Record<string, From>>, read: (value: From) => To): IntMap<To> {
  return new Map(Object.entries(record).map(([fieldId, value]) => [Number(fieldId), read(value)]));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0));
}

export interface NewManifest {
  readonly schema: Schema;
  /** Of this table and this schema; every entry's partition is by it. */
  readonly partitionSpec: PartitionSpec;
  readonly entries: readonly ManifestEntry[];
}

/**
 * Writes a data manifest. The same entries give the same bytes.
 *
 * @throws {ManifestError} if an entry is not of a data file, holds unknown fields, or lacks a sequence
 *   number that only an added file may inherit
 * @throws {Error} if a partition is not by the spec
 */
export function encodeManifest({ schema, partitionSpec, entries }: NewManifest): Uint8Array<ArrayBuffer> {
  const columns = partitionColumns(schema, partitionSpec);
  const names = columns.map(({ name }) => partitionFieldName(name));
  for (const entry of entries) requireWritable(entry, names.length);
  return writeAvroFile({
    schema: manifestEntrySchema(columns, {
      hasDistinctCounts: entries.some(({ file }) => file.distinctCounts !== null),
      hasReferencedDataFile: entries.some(({ file }) => file.referencedDataFile !== null),
    }),
    metadata: {
      schema: JSON.stringify(schema),
      "schema-id": String(schema["schema-id"]),
      "partition-spec": JSON.stringify(partitionSpec.fields),
      "partition-spec-id": String(partitionSpec["spec-id"]),
      "format-version": "2",
      content: "data",
    },
    records: entries.map((entry) => entryRecord(entry, names)),
    codec: "deflate",
  });
}

function requireWritable({ status, file, unknownFields, ...numbers }: ManifestEntry, partitionFields: number): void {
  const { path } = file;
  if (file.content !== FILE_CONTENT.data) throw new ManifestError(`not a data file: ${path}`);
  if (unknownFields.length > 0) throw new ManifestError(`${path} would lose ${unknownFields.join(", ")}`);
  if (file.partition.length !== partitionFields) throw new ManifestError(`partition is not by the spec: ${path}`);
  if (status === ENTRY_STATUS.added) return;
  if (numbers.snapshotId === null || numbers.sequenceNumber === null || numbers.fileSequenceNumber === null) {
    throw new ManifestError(`only an added file may inherit its numbers: ${path}`);
  }
}

function entryRecord(entry: ManifestEntry, partitionNames: readonly string[]): AvroRecord {
  return {
    [ENTRY_FIELDS.status.name]: entry.status,
    [ENTRY_FIELDS.snapshotId.name]: entry.snapshotId,
    [ENTRY_FIELDS.sequenceNumber.name]: entry.sequenceNumber,
    [ENTRY_FIELDS.fileSequenceNumber.name]: entry.fileSequenceNumber,
    [ENTRY_FIELDS.file.name]: fileRecord(entry.file, partitionNames),
  };
}

function fileRecord(file: ContentFile, partitionNames: readonly string[]): AvroRecord {
  const of = FILE_FIELDS;
  return {
    [of.content.name]: file.content,
    [of.path.name]: file.path,
    [of.format.name]: file.format,
    [of.partition.name]: Object.fromEntries(partitionNames.map((name, at) => [name, file.partition[at] ?? null])),
    [of.recordCount.name]: file.recordCount,
    [of.fileSizeBytes.name]: file.fileSizeBytes,
    [of.columnSizes.name]: pairs(file.columnSizes),
    [of.valueCounts.name]: pairs(file.valueCounts),
    [of.nullValueCounts.name]: pairs(file.nullValueCounts),
    [of.nanValueCounts.name]: pairs(file.nanValueCounts),
    [of.distinctCounts.name]: pairs(file.distinctCounts),
    [of.lowerBounds.name]: pairs(file.lowerBounds),
    [of.upperBounds.name]: pairs(file.upperBounds),
    [of.keyMetadata.name]: file.keyMetadata,
    [of.splitOffsets.name]: file.splitOffsets,
    [of.equalityIds.name]: file.equalityIds,
    [of.sortOrderId.name]: file.sortOrderId,
    [of.referencedDataFile.name]: file.referencedDataFile,
  };
}

function pairs(map: IntMap<LongInt | Uint8Array> | null): AvroValue {
  return map === null ? null : Array.from(map, ([key, value]) => ({ key, value }));
}

export interface Manifest {
  readonly formatVersion: number;
  readonly content: ManifestContent;
  /** `undefined` where a version 1 writer did not say. */
  readonly schemaId: number | undefined;
  readonly partitionSpec: PartitionSpec;
  readonly entries: readonly ManifestEntry[];
}

/**
 * Reads a manifest of any writer. Numbers that are inherited stay `null`: the manifest list has them.
 *
 * @throws {AvroError} if the bytes are cut or broken
 * @throws {ManifestError} if they are not a manifest
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const { metadata, type, records } = readRecordFile(bytes, "manifest");
  const formatVersion = metadataInt(metadata, "format-version") ?? 1;
  const partitionSpec = readPartitionSpec(metadata);
  const read = new EntryReader(type, partitionSpec, formatVersion);
  return {
    formatVersion,
    content: readContent(metadata.get("content")),
    schemaId: metadataInt(metadata, "schema-id"),
    partitionSpec,
    entries: records.map((record) => read.entry(record)),
  };
}
