/**
 * One Parquet file of the table as Iceberg's manifests describe it. Plain JSON: it travels between
 * objects, lies in SQLite, and is kept beside the file itself.
 *
 * Source: Iceberg spec v2, "Manifests", struct data_file.
 */

/** What is known of a file's columns, each by field id. */
export interface ColumnMetrics {
  /** Compressed bytes. */
  readonly columnSizes: Readonly<Record<string, number>>;
  /** Values, nulls included. */
  readonly valueCounts: Readonly<Record<string, number>>;
  readonly nullValueCounts: Readonly<Record<string, number>>;
  /**
   * Base64 of Iceberg's single-value serialization (spec, appendix D). Text bounds are cut at 16 code
   * points, the upper one then rounded up; a text that cannot be rounded up has none.
   */
  readonly lowerBounds: Readonly<Record<string, string>>;
  readonly upperBounds: Readonly<Record<string, string>>;
}

/** Name under which a data file's {@link DataFile} lies beside it as JSON: about 2 KB of the 8 KB that R2 keeps. */
export const DESCRIPTOR = "descriptor";

export interface DataFile extends ColumnMetrics {
  /** Absolute, such as `s3://bucket/warehouse/…/data/2026-11-21/0-3fa9c1d2-17.parquet`. */
  readonly path: string;
  /** Days since 1970: the partition. */
  readonly day: number;
  readonly recordCount: number;
  readonly fileSizeBytes: number;
  /** Bytes of the rows as JSON, before encoding: what compaction plans by. */
  readonly jsonBytes: number;
}
