/**
 * Table metadata, format version 2, and the table as it is first made.
 *
 * Foreign members are kept as they are: whoever reads metadata here writes all of it back.
 * Source: Iceberg spec, "Table Metadata" and appendix C.
 */
import {
  DAY_PARTITION_FIELD_ID,
  DAY_PARTITION_NAME,
  TIME_FIELD_ID,
  TYPE_FIELD_ID,
  type TableColumn,
} from "./table-columns.ts";

/** A 63-bit integer: number where that is exact, bigint beyond. */
export type LongInt = number | bigint;

export interface SchemaField {
  readonly id: number;
  readonly name: string;
  readonly required: boolean;
  /** A primitive's name, or a nested type of another writer. */
  readonly type: unknown;
  readonly doc?: string;
}

export interface Schema {
  readonly type: "struct";
  readonly "schema-id": number;
  readonly fields: readonly SchemaField[];
}

export interface PartitionField {
  readonly name: string;
  readonly transform: string;
  readonly "source-id": number;
  readonly "field-id": number;
}

export interface PartitionSpec {
  readonly "spec-id": number;
  readonly fields: readonly PartitionField[];
}

export interface SortOrder {
  readonly "order-id": number;
  readonly fields: readonly {
    readonly transform: string;
    readonly "source-id": number;
    readonly direction: "asc" | "desc";
    readonly "null-order": "nulls-first" | "nulls-last";
  }[];
}

export interface Snapshot {
  readonly "snapshot-id": LongInt;
  readonly "parent-snapshot-id"?: LongInt;
  readonly "sequence-number": LongInt;
  readonly "timestamp-ms": number;
  readonly "manifest-list": string;
  readonly summary: Readonly<Record<string, string>>;
  readonly "schema-id"?: number;
}

interface SnapshotRef {
  readonly "snapshot-id": LongInt;
  readonly type: "branch" | "tag";
}

export interface TableMetadata {
  readonly "format-version": number;
  readonly "table-uuid": string;
  readonly location: string;
  readonly "last-sequence-number": LongInt;
  readonly "last-updated-ms": number;
  readonly "last-column-id": number;
  readonly schemas: readonly Schema[];
  readonly "current-schema-id": number;
  readonly "partition-specs": readonly PartitionSpec[];
  readonly "default-spec-id": number;
  readonly "last-partition-id": number;
  readonly "sort-orders": readonly SortOrder[];
  readonly "default-sort-order-id": number;
  readonly properties?: Readonly<Record<string, string>>;
  readonly "current-snapshot-id"?: LongInt | null;
  readonly refs?: Readonly<Record<string, SnapshotRef>>;
  readonly snapshots?: readonly Snapshot[];
  readonly "snapshot-log"?: readonly { readonly "snapshot-id": LongInt; readonly "timestamp-ms": number }[];
  readonly "metadata-log"?: readonly { readonly "metadata-file": string; readonly "timestamp-ms": number }[];
}

/** @param columns without duplicate ids */
export function createSchema(columns: readonly TableColumn[], schemaId: number): Schema {
  const fields = columns.map(({ fieldId, name, isRequired, type, doc }) => ({
    id: fieldId,
    name,
    required: isRequired,
    type,
    doc,
  }));
  return { type: "struct", "schema-id": schemaId, fields };
}

export const EVENTS_PARTITION_SPEC: PartitionSpec = {
  "spec-id": 0,
  fields: [
    {
      name: DAY_PARTITION_NAME,
      transform: "day",
      "source-id": TIME_FIELD_ID,
      "field-id": DAY_PARTITION_FIELD_ID,
    },
  ],
};

/** Order 0 means unsorted (spec, "Sorting"). */
export const EVENTS_SORT_ORDER: SortOrder = {
  "order-id": 1,
  fields: [TYPE_FIELD_ID, TIME_FIELD_ID].map((sourceId) => ({
    transform: "identity",
    "source-id": sourceId,
    direction: "asc",
    "null-order": "nulls-first",
  })),
};

/** Properties the table is made with; the codec's name is for other writers. */
export const EVENTS_PROPERTIES: Readonly<Record<string, string>> = {
  "write.format.default": "parquet",
  "write.parquet.compression-codec": "zstd",
};

export interface NewTable {
  readonly uuid: string;
  readonly location: string;
  readonly columns: readonly TableColumn[];
  readonly nowMs: number;
}

export function createMetadata({ uuid, location, columns, nowMs }: NewTable): TableMetadata {
  return {
    "format-version": 2,
    "table-uuid": uuid,
    location,
    "last-sequence-number": 0,
    "last-updated-ms": nowMs,
    "last-column-id": Math.max(...columns.map(({ fieldId }) => fieldId)),
    schemas: [createSchema(columns, 0)],
    "current-schema-id": 0,
    "partition-specs": [EVENTS_PARTITION_SPEC],
    "default-spec-id": 0,
    "last-partition-id": DAY_PARTITION_FIELD_ID,
    "sort-orders": [{ "order-id": 0, fields: [] }, EVENTS_SORT_ORDER],
    "default-sort-order-id": EVENTS_SORT_ORDER["order-id"],
    properties: EVENTS_PROPERTIES,
    "current-snapshot-id": null,
    refs: {},
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
  };
}

/** The snapshot that readers of the main branch see; `undefined` for a table without rows yet. */
export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata.refs?.["main"]?.["snapshot-id"] ?? metadata["current-snapshot-id"];
  if (id === undefined || id === null || id === -1) return undefined;
  return metadata.snapshots?.find((snapshot) => sameInt(snapshot["snapshot-id"], id));
}

export function sameInt(left: LongInt, right: LongInt): boolean {
  return BigInt(left) === BigInt(right);
}
