/**
 * The columns of the events table, which grow by optional ones only: a column is never removed, renamed
 * or given another type, and its place in this list is not its identity; its field id is.
 */
import type { LakeRow } from "../../protocol/lake-event.ts";

/** Iceberg primitive types in use (spec, "Primitive Types"). `timestamptz` is microseconds, UTC. */
export type ColumnType = "string" | "long" | "timestamptz";

export interface TableColumn {
  readonly fieldId: number;
  readonly name: string;
  readonly type: ColumnType;
  readonly isRequired: boolean;
  readonly doc: string;
  /** What a row holds there. Numbers are whole. */
  readonly read: (row: LakeRow) => string | number | undefined;
}

function column(
  fieldId: number,
  name: string,
  type: ColumnType,
  rest: Pick<TableColumn, "isRequired" | "doc" | "read">,
): TableColumn {
  return { fieldId, name, type, ...rest };
}

/** As the table was first made. */
const FIRST_COLUMNS: readonly TableColumn[] = [
  column(1, "id", "string", { isRequired: true, doc: "CloudEvents id, one within a source", read: (row) => row.id }),
  column(2, "source", "string", { isRequired: true, doc: "CloudEvents source", read: (row) => row.source }),
  column(3, "type", "string", { isRequired: true, doc: "CloudEvents type", read: (row) => row.type }),
  column(4, "subject", "string", { isRequired: false, doc: "CloudEvents subject", read: (row) => row.subject }),
  column(5, "time", "timestamptz", { isRequired: true, doc: "when it happened", read: (row) => row.timeUs }),
  column(6, "request_id", "string", {
    isRequired: false,
    doc: "stream it is about",
    read: (row) => row.requestId,
  }),
  column(7, "tenant", "string", { isRequired: true, doc: "whose key brought it in", read: (row) => row.tenant }),
  column(8, "data", "string", { isRequired: false, doc: "payload, JSON text", read: (row) => row.data }),
  column(9, "ingest_time", "timestamptz", {
    isRequired: true,
    doc: "when a shard took it",
    read: (row) => row.ingestTimeUs,
  }),
  column(10, "shard", "string", { isRequired: true, doc: "shard that took it", read: (row) => row.shard }),
  column(11, "seq", "long", { isRequired: true, doc: "its number in that shard", read: (row) => row.seq }),
];

/** Every column of this version. */
export const TABLE_COLUMNS: readonly TableColumn[] = [
  ...FIRST_COLUMNS,
  column(12, "extensions", "string", {
    isRequired: false,
    doc: "other CloudEvents attributes, JSON text",
    read: (row) => row.extensions,
  }),
];

/** Field the table is partitioned by, as `day`, and fields it is sorted by. */
export const TIME_FIELD_ID = 5;
export const TYPE_FIELD_ID = 3;
/** Partition field ids begin at 1000 (spec, "Partition Specs"). */
export const DAY_PARTITION_FIELD_ID = 1000;
export const DAY_PARTITION_NAME = "time_day";
