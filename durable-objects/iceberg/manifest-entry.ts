/**
 * A manifest's entries in memory: every field of format version 2, so that what another engine wrote can
 * be written again.
 *
 * Source: Iceberg spec v2, "Manifests", structs manifest_entry and data_file.
 */
import type { PartitionValue } from "./partition-values.ts";
import type { LongInt } from "./table-metadata.ts";

export type IntMap<Value> = ReadonlyMap<number, Value>;

/** What the files of a manifest hold. */
export type ManifestContent = "data" | "deletes";

/** What a file holds: rows, or deletes by position or by equality. */
export const FILE_CONTENT = { data: 0, positionDeletes: 1, equalityDeletes: 2 } as const;

/** A file as manifests describe it (struct `data_file`); `null` is a field its writer left out. */
export interface ContentFile {
  readonly content: number;
  readonly path: string;
  /** `PARQUET`, `AVRO` or `ORC`, in the writer's own case. */
  readonly format: string;
  /** One value per field of the manifest's partition spec, in its order. */
  readonly partition: readonly PartitionValue[];
  readonly recordCount: LongInt;
  readonly fileSizeBytes: LongInt;
  readonly columnSizes: IntMap<LongInt> | null;
  readonly valueCounts: IntMap<LongInt> | null;
  readonly nullValueCounts: IntMap<LongInt> | null;
  readonly nanValueCounts: IntMap<LongInt> | null;
  readonly distinctCounts: IntMap<LongInt> | null;
  readonly lowerBounds: IntMap<Uint8Array> | null;
  readonly upperBounds: IntMap<Uint8Array> | null;
  readonly keyMetadata: Uint8Array | null;
  readonly splitOffsets: readonly LongInt[] | null;
  readonly equalityIds: readonly number[] | null;
  readonly sortOrderId: number | null;
  readonly referencedDataFile: string | null;
}

export const ENTRY_STATUS = { existing: 0, added: 1, deleted: 2 } as const;
export type EntryStatus = (typeof ENTRY_STATUS)[keyof typeof ENTRY_STATUS];

export interface ManifestEntry {
  readonly status: EntryStatus;
  /** `null`: as the manifest list says of the manifest; the same for the two below. */
  readonly snapshotId: LongInt | null;
  readonly sequenceNumber: LongInt | null;
  readonly fileSequenceNumber: LongInt | null;
  readonly file: ContentFile;
  /** Fields of a later format that hold something. Such an entry cannot be written again. */
  readonly unknownFields: readonly string[];
}
