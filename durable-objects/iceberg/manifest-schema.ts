/**
 * The Avro schema of manifests as they are written, each field by its Iceberg id.
 *
 * Source: Iceberg spec v2, "Manifests"; Avro forms: appendix A.
 */
import type { FieldKey } from "./manifest-fields.ts";
import { avroTypeOf, type PartitionColumn } from "./partition-values.ts";

/** One field of an Avro record as it is written; `optional` is a union with null. */
export function avroField(key: FieldKey, type: unknown, presence: "required" | "optional" = "required"): object {
  const base = { name: key.name, type, "field-id": key.id };
  return presence === "required" ? base : { ...base, type: ["null", type], default: null };
}

/** Maps whose keys are not text are arrays of pairs in Avro (appendix A). */
function avroIntMap(keyId: number, valueId: number, valueType: string): object {
  return {
    type: "array",
    logicalType: "map",
    items: {
      type: "record",
      name: `k${keyId}_v${valueId}`,
      fields: [
        { name: "key", type: "int", "field-id": keyId },
        { name: "value", type: valueType, "field-id": valueId },
      ],
    },
  };
}

export function avroList(elementId: number, items: unknown): object {
  return { type: "array", items, "element-id": elementId };
}

export const ENTRY_FIELDS = {
  status: { id: 0, name: "status" },
  snapshotId: { id: 1, name: "snapshot_id" },
  sequenceNumber: { id: 3, name: "sequence_number" },
  fileSequenceNumber: { id: 4, name: "file_sequence_number" },
  file: { id: 2, name: "data_file" },
} as const satisfies Record<string, FieldKey>;

export const FILE_FIELDS = {
  content: { id: 134, name: "content" },
  path: { id: 100, name: "file_path" },
  format: { id: 101, name: "file_format" },
  partition: { id: 102, name: "partition" },
  recordCount: { id: 103, name: "record_count" },
  fileSizeBytes: { id: 104, name: "file_size_in_bytes" },
  columnSizes: { id: 108, name: "column_sizes" },
  valueCounts: { id: 109, name: "value_counts" },
  nullValueCounts: { id: 110, name: "null_value_counts" },
  nanValueCounts: { id: 137, name: "nan_value_counts" },
  distinctCounts: { id: 111, name: "distinct_counts" },
  lowerBounds: { id: 125, name: "lower_bounds" },
  upperBounds: { id: 128, name: "upper_bounds" },
  keyMetadata: { id: 131, name: "key_metadata" },
  splitOffsets: { id: 132, name: "split_offsets" },
  equalityIds: { id: 135, name: "equality_ids" },
  sortOrderId: { id: 140, name: "sort_order_id" },
  referencedDataFile: { id: 143, name: "referenced_data_file" },
} as const satisfies Record<string, FieldKey>;

/** Of version 1, and said of them "do not write". */
export const OBSOLETE_FILE_FIELDS: readonly FieldKey[] = [
  { id: 105, name: "block_size_in_bytes" },
  { id: 106, name: "file_ordinal" },
  { id: 107, name: "sort_columns" },
];

/** Optional fields that most writers leave out of the schema, and so does this one unless a file has them. */
export interface RareFields {
  readonly hasDistinctCounts: boolean;
  readonly hasReferencedDataFile: boolean;
}

/** Schema of a manifest whose files have such partitions: `manifest_entry` with `r2` and `r102`. */
export function manifestEntrySchema(columns: readonly PartitionColumn[], rare: RareFields): object {
  const { status, snapshotId, sequenceNumber, fileSequenceNumber, file } = ENTRY_FIELDS;
  return {
    type: "record",
    name: "manifest_entry",
    fields: [
      avroField(status, "int"),
      avroField(snapshotId, "long", "optional"),
      avroField(sequenceNumber, "long", "optional"),
      avroField(fileSequenceNumber, "long", "optional"),
      avroField(file, { type: "record", name: "r2", fields: dataFileFields(columns, rare) }),
    ],
  };
}

function dataFileFields(columns: readonly PartitionColumn[], rare: RareFields): readonly object[] {
  const of = FILE_FIELDS;
  return [
    avroField(of.content, "int"),
    avroField(of.path, "string"),
    avroField(of.format, "string"),
    avroField(of.partition, partitionSchema(columns)),
    avroField(of.recordCount, "long"),
    avroField(of.fileSizeBytes, "long"),
    avroField(of.columnSizes, avroIntMap(117, 118, "long"), "optional"),
    avroField(of.valueCounts, avroIntMap(119, 120, "long"), "optional"),
    avroField(of.nullValueCounts, avroIntMap(121, 122, "long"), "optional"),
    avroField(of.nanValueCounts, avroIntMap(138, 139, "long"), "optional"),
    ...(rare.hasDistinctCounts ? [avroField(of.distinctCounts, avroIntMap(123, 124, "long"), "optional")] : []),
    avroField(of.lowerBounds, avroIntMap(126, 127, "bytes"), "optional"),
    avroField(of.upperBounds, avroIntMap(129, 130, "bytes"), "optional"),
    avroField(of.keyMetadata, "bytes", "optional"),
    avroField(of.splitOffsets, avroList(133, "long"), "optional"),
    avroField(of.equalityIds, avroList(136, "int"), "optional"),
    avroField(of.sortOrderId, "int", "optional"),
    ...(rare.hasReferencedDataFile ? [avroField(of.referencedDataFile, "string", "optional")] : []),
  ];
}

function partitionSchema(columns: readonly PartitionColumn[]): object {
  return {
    type: "record",
    name: "r102",
    fields: columns.map(({ fieldId, name, type }) => {
      const avroName = partitionFieldName(name);
      const field = avroField({ id: fieldId, name: avroName }, avroTypeOf(type, `r102_${fieldId}`), "optional");
      return avroName === name ? field : { ...field, "iceberg-field-name": name };
    }),
  };
}

/** Avro names are letters, digits and underscores; others are written by their code, as Iceberg's writers do. */
export function partitionFieldName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9_]/g, (unit) => `_x${unit.charCodeAt(0).toString(16).toUpperCase()}`);
  return /^\d/.test(safe) ? `_${safe}` : safe;
}
