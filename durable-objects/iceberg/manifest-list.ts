/**
 * Manifest lists: Avro files that name the manifests of a snapshot, with counts and partition bounds by
 * which a reader skips whole manifests.
 *
 * Source: Iceberg spec v2, "Manifest Lists".
 */
import { writeAvroFile } from "./avro-container.ts";
import type { AvroRecord, AvroType, AvroValue } from "./avro-schema.ts";
import { ENTRY_STATUS, type EntryStatus, type ManifestContent, type ManifestEntry } from "./manifest-entry.ts";
import { asRecord, itemType, ManifestError, readRecordFile, RecordReader, type FieldKey } from "./manifest-fields.ts";
import { avroField, avroList } from "./manifest-schema.ts";
import { partitionColumns, summarizePartition, type PartitionSummary } from "./partition-values.ts";
import type { LongInt, PartitionSpec, Schema } from "./table-metadata.ts";

/** By their numbers in a manifest list. */
const CONTENTS: readonly ManifestContent[] = ["data", "deletes"];

/** A manifest as the list describes it (struct `manifest_file`). */
export interface ManifestFile {
  readonly path: string;
  readonly length: LongInt;
  readonly partitionSpecId: number;
  readonly content: ManifestContent;
  /** The snapshot's that added the manifest; entries without one of their own have it. */
  readonly sequenceNumber: LongInt;
  readonly minSequenceNumber: LongInt;
  readonly addedSnapshotId: LongInt;
  readonly addedFilesCount: number;
  readonly existingFilesCount: number;
  readonly deletedFilesCount: number;
  readonly addedRowsCount: LongInt;
  readonly existingRowsCount: LongInt;
  readonly deletedRowsCount: LongInt;
  /** One per field of the partition spec; `null` is not known. */
  readonly partitions: readonly PartitionSummary[] | null;
  readonly keyMetadata: Uint8Array | null;
  /** Fields of a later format that hold something. Such an item cannot be written again. */
  readonly unknownFields: readonly string[];
}

const FIELDS = {
  path: { id: 500, name: "manifest_path" },
  length: { id: 501, name: "manifest_length" },
  partitionSpecId: { id: 502, name: "partition_spec_id" },
  content: { id: 517, name: "content" },
  sequenceNumber: { id: 515, name: "sequence_number" },
  minSequenceNumber: { id: 516, name: "min_sequence_number" },
  addedSnapshotId: { id: 503, name: "added_snapshot_id" },
  addedFilesCount: { id: 504, name: "added_files_count" },
  existingFilesCount: { id: 505, name: "existing_files_count" },
  deletedFilesCount: { id: 506, name: "deleted_files_count" },
  addedRowsCount: { id: 512, name: "added_rows_count" },
  existingRowsCount: { id: 513, name: "existing_rows_count" },
  deletedRowsCount: { id: 514, name: "deleted_rows_count" },
  partitions: { id: 507, name: "partitions" },
  keyMetadata: { id: 519, name: "key_metadata" },
} as const satisfies Record<string, FieldKey>;

const SUMMARY_FIELDS = {
  containsNull: { id: 509, name: "contains_null" },
  containsNan: { id: 518, name: "contains_nan" },
  lowerBound: { id: 510, name: "lower_bound" },
  upperBound: { id: 511, name: "upper_bound" },
} as const satisfies Record<string, FieldKey>;

const SCHEMA = {
  type: "record",
  name: "manifest_file",
  fields: [
    avroField(FIELDS.path, "string"),
    avroField(FIELDS.length, "long"),
    avroField(FIELDS.partitionSpecId, "int"),
    avroField(FIELDS.content, "int"),
    avroField(FIELDS.sequenceNumber, "long"),
    avroField(FIELDS.minSequenceNumber, "long"),
    avroField(FIELDS.addedSnapshotId, "long"),
    avroField(FIELDS.addedFilesCount, "int"),
    avroField(FIELDS.existingFilesCount, "int"),
    avroField(FIELDS.deletedFilesCount, "int"),
    avroField(FIELDS.addedRowsCount, "long"),
    avroField(FIELDS.existingRowsCount, "long"),
    avroField(FIELDS.deletedRowsCount, "long"),
    avroField(
      FIELDS.partitions,
      avroList(508, {
        type: "record",
        name: "r508",
        fields: [
          avroField(SUMMARY_FIELDS.containsNull, "boolean"),
          avroField(SUMMARY_FIELDS.containsNan, "boolean", "optional"),
          avroField(SUMMARY_FIELDS.lowerBound, "bytes", "optional"),
          avroField(SUMMARY_FIELDS.upperBound, "bytes", "optional"),
        ],
      }),
      "optional",
    ),
    avroField(FIELDS.keyMetadata, "bytes", "optional"),
  ],
};

export interface NewManifestList {
  readonly snapshotId: LongInt;
  /** `null` for a table's first. */
  readonly parentSnapshotId: LongInt | null;
  readonly sequenceNumber: LongInt;
  readonly manifests: readonly ManifestFile[];
}

/**
 * Writes a snapshot's manifest list. The same manifests give the same bytes.
 *
 * @throws {ManifestError} if a manifest holds unknown fields
 */
export function encodeManifestList(list: NewManifestList): Uint8Array<ArrayBuffer> {
  for (const { path, unknownFields } of list.manifests) {
    if (unknownFields.length > 0) throw new ManifestError(`${path} would lose ${unknownFields.join(", ")}`);
  }
  return writeAvroFile({
    schema: SCHEMA,
    metadata: {
      "snapshot-id": String(list.snapshotId),
      "parent-snapshot-id": String(list.parentSnapshotId),
      "sequence-number": String(list.sequenceNumber),
      "format-version": "2",
    },
    records: list.manifests.map(manifestRecord),
    codec: "deflate",
  });
}

function manifestRecord(manifest: ManifestFile): AvroRecord {
  const scalars = {
    [FIELDS.path.name]: manifest.path,
    [FIELDS.length.name]: manifest.length,
    [FIELDS.partitionSpecId.name]: manifest.partitionSpecId,
    [FIELDS.content.name]: CONTENTS.indexOf(manifest.content),
    [FIELDS.sequenceNumber.name]: manifest.sequenceNumber,
    [FIELDS.minSequenceNumber.name]: manifest.minSequenceNumber,
    [FIELDS.addedSnapshotId.name]: manifest.addedSnapshotId,
    [FIELDS.addedFilesCount.name]: manifest.addedFilesCount,
    [FIELDS.existingFilesCount.name]: manifest.existingFilesCount,
    [FIELDS.deletedFilesCount.name]: manifest.deletedFilesCount,
    [FIELDS.addedRowsCount.name]: manifest.addedRowsCount,
    [FIELDS.existingRowsCount.name]: manifest.existingRowsCount,
    [FIELDS.deletedRowsCount.name]: manifest.deletedRowsCount,
    [FIELDS.keyMetadata.name]: manifest.keyMetadata,
  };
  return { ...scalars, [FIELDS.partitions.name]: manifest.partitions?.map(summaryRecord) ?? null };
}

function summaryRecord(summary: PartitionSummary): AvroRecord {
  return {
    [SUMMARY_FIELDS.containsNull.name]: summary.containsNull,
    [SUMMARY_FIELDS.containsNan.name]: summary.containsNan,
    [SUMMARY_FIELDS.lowerBound.name]: summary.lowerBound,
    [SUMMARY_FIELDS.upperBound.name]: summary.upperBound,
  };
}

/**
 * Reads a manifest list of any writer of version 2, or of version 1 where it gives the counts.
 *
 * @throws {AvroError} if the bytes are cut or broken
 * @throws {ManifestError} if they are not a manifest list
 */
export function decodeManifestList(bytes: Uint8Array): readonly ManifestFile[] {
  const { type, records } = readRecordFile(bytes, "manifest list");
  const read = new RecordReader(type, Object.values(FIELDS));
  const readSummary = summaryReader(itemType(read.typeOf(FIELDS.partitions)));
  return records.map((record) => readManifestFile(record, read, readSummary));
}

interface ReadSummary {
  readonly summary: PartitionSummary;
  readonly unknownFields: readonly string[];
}

function summaryReader(type: AvroType | undefined): (value: AvroValue) => ReadSummary {
  const reader = type === undefined ? undefined : new RecordReader(type, Object.values(SUMMARY_FIELDS));
  return (value) => {
    if (reader === undefined) throw new ManifestError("manifest list has partition summaries that are not records");
    const record = asRecord(value, FIELDS.partitions);
    return {
      summary: {
        containsNull: reader.boolean(record, SUMMARY_FIELDS.containsNull),
        containsNan: reader.optionalBoolean(record, SUMMARY_FIELDS.containsNan),
        lowerBound: reader.optionalBytes(record, SUMMARY_FIELDS.lowerBound),
        upperBound: reader.optionalBytes(record, SUMMARY_FIELDS.upperBound),
      },
      unknownFields: reader.strangers(record).map((name) => `${FIELDS.partitions.name}.${name}`),
    };
  };
}

function readManifestFile(
  record: AvroRecord,
  read: RecordReader,
  readSummary: (value: AvroValue) => ReadSummary,
): ManifestFile {
  const summaries = read.optionalList(record, FIELDS.partitions, readSummary);
  return {
    path: read.text(record, FIELDS.path),
    length: read.long(record, FIELDS.length),
    partitionSpecId: read.int(record, FIELDS.partitionSpecId),
    // Version 1 has neither deletes nor sequence numbers (appendix C: they read as 0).
    content: asContent(read.optionalInt(record, FIELDS.content) ?? 0),
    sequenceNumber: read.optionalLong(record, FIELDS.sequenceNumber) ?? 0,
    minSequenceNumber: read.optionalLong(record, FIELDS.minSequenceNumber) ?? 0,
    addedSnapshotId: read.long(record, FIELDS.addedSnapshotId),
    addedFilesCount: read.int(record, FIELDS.addedFilesCount),
    existingFilesCount: read.int(record, FIELDS.existingFilesCount),
    deletedFilesCount: read.int(record, FIELDS.deletedFilesCount),
    addedRowsCount: read.long(record, FIELDS.addedRowsCount),
    existingRowsCount: read.long(record, FIELDS.existingRowsCount),
    deletedRowsCount: read.long(record, FIELDS.deletedRowsCount),
    partitions: summaries?.map(({ summary }) => summary) ?? null,
    keyMetadata: read.optionalBytes(record, FIELDS.keyMetadata),
    unknownFields: [...read.strangers(record), ...(summaries ?? []).flatMap(({ unknownFields }) => unknownFields)],
  };
}

function asContent(number: number): ManifestContent {
  const content = CONTENTS[number];
  if (content === undefined) throw new ManifestError(`manifest list has a manifest of unknown content: ${number}`);
  return content;
}

export interface ManifestFacts {
  readonly path: string;
  /** Bytes of the manifest file. */
  readonly length: number;
  readonly schema: Schema;
  readonly partitionSpec: PartitionSpec;
  readonly entries: readonly ManifestEntry[];
  /** Of the snapshot that the manifest is written for. */
  readonly snapshotId: LongInt;
  readonly sequenceNumber: LongInt;
}

/** @returns what the list says of a data manifest with these entries */
export function describeManifest(facts: ManifestFacts): ManifestFile {
  const { path, length, schema, partitionSpec, entries, snapshotId, sequenceNumber } = facts;
  const added = count(entries, ENTRY_STATUS.added);
  const existing = count(entries, ENTRY_STATUS.existing);
  const deleted = count(entries, ENTRY_STATUS.deleted);
  return {
    path,
    length,
    partitionSpecId: partitionSpec["spec-id"],
    content: "data",
    sequenceNumber,
    minSequenceNumber: minSequenceNumber(entries, sequenceNumber),
    addedSnapshotId: snapshotId,
    addedFilesCount: added.files,
    existingFilesCount: existing.files,
    deletedFilesCount: deleted.files,
    addedRowsCount: added.rows,
    existingRowsCount: existing.rows,
    deletedRowsCount: deleted.rows,
    partitions: partitionColumns(schema, partitionSpec).map(({ type }, at) =>
      summarizePartition(
        type,
        entries.map(({ file }) => file.partition[at] ?? null),
      ),
    ),
    keyMetadata: null,
    unknownFields: [],
  };
}

function count(entries: readonly ManifestEntry[], status: EntryStatus): { files: number; rows: LongInt } {
  const counted = entries.filter((entry) => entry.status === status);
  const rows = counted.reduce((sum, { file }) => sum + BigInt(file.recordCount), 0n);
  return { files: counted.length, rows: toLongInt(rows) };
}

/** The lowest data sequence number of the live files; the manifest's own where there is none. */
function minSequenceNumber(entries: readonly ManifestEntry[], inherited: LongInt): LongInt {
  const numbers = entries
    .filter(({ status }) => status !== ENTRY_STATUS.deleted)
    .map((entry) => entry.sequenceNumber ?? inherited);
  return numbers.reduce((least, number) => (number < least ? number : least), numbers[0] ?? inherited);
}

function toLongInt(value: bigint): LongInt {
  const exact = Number(value);
  return Number.isSafeInteger(exact) ? exact : value;
}
