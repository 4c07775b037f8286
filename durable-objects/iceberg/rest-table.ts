/**
 * What a REST catalog says a table is, held against what the committer relies on. Pure.
 *
 * Foreign members stay as they came: the metadata is checked, not rebuilt.
 * Source: Iceberg REST Catalog OpenAPI, `LoadTableResult` and `CommitTableResponse`.
 */
import { z } from "zod";

import { CatalogError, type LoadedTable } from "./catalog.ts";
import type { TableColumn } from "./table-columns.ts";
import {
  currentSnapshot,
  EVENTS_PARTITION_SPEC,
  type PartitionField,
  type SchemaField,
  type TableMetadata,
} from "./table-metadata.ts";

const FORMAT_VERSION = 2;

const whole = z.int();
const longInt = z.union([z.int(), z.bigint()]);

const metadataShape = z.looseObject({
  "format-version": whole,
  "table-uuid": z.string().min(1),
  location: z.string().min(1),
  "last-sequence-number": longInt,
  "last-updated-ms": whole,
  "last-column-id": whole,
  schemas: z.array(
    z.looseObject({
      type: z.literal("struct"),
      "schema-id": whole,
      fields: z.array(z.looseObject({ id: whole, name: z.string(), required: z.boolean(), type: z.unknown() })),
    }),
  ),
  "current-schema-id": whole,
  "partition-specs": z.array(
    z.looseObject({
      "spec-id": whole,
      fields: z.array(
        z.looseObject({ name: z.string(), transform: z.string(), "source-id": whole, "field-id": whole }),
      ),
    }),
  ),
  "default-spec-id": whole,
  "last-partition-id": whole,
  "sort-orders": z.array(z.looseObject({ "order-id": whole, fields: z.array(z.looseObject({})) })),
  "default-sort-order-id": whole,
  properties: z.record(z.string(), z.string()).optional(),
  "current-snapshot-id": longInt.nullable().optional(),
  refs: z.record(z.string(), z.looseObject({ "snapshot-id": longInt, type: z.enum(["branch", "tag"]) })).optional(),
  snapshots: z
    .array(
      z.looseObject({
        "snapshot-id": longInt,
        "parent-snapshot-id": longInt.optional(),
        "sequence-number": longInt,
        "timestamp-ms": whole,
        "manifest-list": z.string().min(1),
        summary: z.record(z.string(), z.string()),
        "schema-id": whole.optional(),
      }),
    )
    .optional(),
});

const answerShape = z.object({ "metadata-location": z.string().min(1), metadata: z.unknown() });

/**
 * @param body parsed losslessly
 * @param columns what the committer writes; the table may lack some of them still
 * @throws {CatalogError} naming what is not as it must be
 */
export function readTable(body: unknown, columns: readonly TableColumn[]): LoadedTable {
  const answer = answerShape.safeParse(body);
  if (!answer.success) throw new CatalogError(`the catalog's answer is no table: ${firstFault(answer.error)}`);
  // An answer of another version has another shape: that it is another version says more.
  const version = z.looseObject({ "format-version": whole }).safeParse(answer.data.metadata);
  if (version.success && version.data["format-version"] !== FORMAT_VERSION) {
    throw new CatalogError(`the table has format version ${version.data["format-version"]}, not ${FORMAT_VERSION}`);
  }
  const checked = metadataShape.safeParse(answer.data.metadata);
  if (!checked.success) throw new CatalogError(`the table's metadata is not valid: ${firstFault(checked.error)}`);
  // As it came, so that no foreign member is lost.
  const metadata = answer.data.metadata as TableMetadata;
  const fault = findTableFault(metadata) ?? findColumnFault(metadata, columns);
  if (fault !== undefined) throw new CatalogError(fault);
  return { metadata, metadataLocation: answer.data["metadata-location"] };
}

function firstFault({ issues: [issue] }: z.ZodError): string {
  return issue === undefined ? "of unknown shape" : `${issue.path.join(".") || "the whole"}: ${issue.message}`;
}

function findTableFault(metadata: TableMetadata): string | undefined {
  if (currentFields(metadata) === undefined) return "the table's current schema is missing from its metadata";
  const head = metadata.refs?.["main"]?.["snapshot-id"] ?? metadata["current-snapshot-id"] ?? -1;
  if (head !== -1 && currentSnapshot(metadata) === undefined) {
    return "the table's current snapshot is missing from its metadata";
  }
  const spec = metadata["partition-specs"].find((one) => one["spec-id"] === metadata["default-spec-id"]);
  if (spec?.["spec-id"] !== EVENTS_PARTITION_SPEC["spec-id"] || !isSamePartition(spec.fields)) {
    return "the table is not partitioned by day(time) alone, as it was made";
  }
  return undefined;
}

/** Another writer's members, such as a field's list of sources, say nothing new of one field. */
function isSamePartition(fields: readonly PartitionField[]): boolean {
  return (
    fields.length === EVENTS_PARTITION_SPEC.fields.length &&
    EVENTS_PARTITION_SPEC.fields.every((ours, index) => {
      const field = fields[index];
      return (
        field?.name === ours.name &&
        field.transform === ours.transform &&
        field["source-id"] === ours["source-id"] &&
        field["field-id"] === ours["field-id"]
      );
    })
  );
}

function currentFields(metadata: TableMetadata): readonly SchemaField[] | undefined {
  return metadata.schemas.find((schema) => schema["schema-id"] === metadata["current-schema-id"])?.fields;
}

/**
 * A catalog may number a new table's fields as it likes, and other writers may have added columns; the
 * data files name ours by number.
 */
function findColumnFault(metadata: TableMetadata, columns: readonly TableColumn[]): string | undefined {
  const fields = currentFields(metadata) ?? [];
  for (const column of columns) {
    const { fieldId, name, type, isRequired } = column;
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      const other = metadata.schemas.flatMap((schema) => schema.fields).find(({ id }) => id === fieldId);
      if (other !== undefined) return `column ${name}: its field id ${fieldId} is taken by column ${other.name}`;
      continue;
    }
    if (field.id !== fieldId) return `column ${name}: its field id is ${field.id}, not ${fieldId}`;
    if (field.type !== type) return `column ${name}: its type is ${describeType(field.type)}, not ${type}`;
    if (field.required && !isRequired) return `column ${name}: it is required, and not every event has it`;
  }
  const known = new Set(columns.map(({ name }) => name));
  const foreign = fields.find((field) => field.required && !known.has(field.name));
  return foreign === undefined ? undefined : `column ${foreign.name}: it is required, and no event has it`;
}

function describeType(type: unknown): string {
  return typeof type === "string" ? type : "a nested one";
}
