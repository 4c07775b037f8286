/**
 * Whether a table, which somebody else may have made or changed, can take our files. Pure.
 */
import { DAY_PARTITION_FIELD_ID, TIME_FIELD_ID, type TableColumn } from "./table-columns.ts";
import type { PartitionSpec, Schema, TableMetadata } from "./table-metadata.ts";

/** @returns what is in the way, or `undefined` */
export function findUnfit(metadata: TableMetadata, columns: readonly TableColumn[]): string | undefined {
  if (metadata["format-version"] !== 2) {
    return `the table has format version ${String(metadata["format-version"])}, this committer writes 2`;
  }
  const schema = currentSchema(metadata);
  if (schema === undefined) return "the table has no current schema";
  const spec = defaultSpec(metadata);
  const [field] = spec?.fields ?? [];
  const isByDay =
    spec?.fields.length === 1 &&
    field?.transform === "day" &&
    field["source-id"] === TIME_FIELD_ID &&
    field["field-id"] === DAY_PARTITION_FIELD_ID;
  if (!isByDay) return "the table is not partitioned by day(time) alone";
  return findColumnClash(metadata, columns) ?? findForeignRequired(schema, columns);
}

/** The files name columns by field id: another column under one of ours would show our values as its own. */
function findColumnClash(metadata: TableMetadata, columns: readonly TableColumn[]): string | undefined {
  for (const { fieldId, name, type } of columns) {
    for (const { fields } of metadata.schemas) {
      const byId = fields.find((field) => field.id === fieldId);
      if (byId !== undefined && byId.type !== type) {
        return `column ${name} (field ${fieldId}) has type ${JSON.stringify(byId.type)} in the table, ${type} here`;
      }
      const byName = fields.find((field) => field.name === name);
      if (byName !== undefined && byName.id !== fieldId) {
        return `column ${name} has field id ${byName.id} in the table, ${fieldId} here`;
      }
      if (byId !== undefined && byId.name !== name)
        return `field ${fieldId} is ${byId.name} in the table, ${name} here`;
    }
  }
  return undefined;
}

function findForeignRequired(schema: Schema, columns: readonly TableColumn[]): string | undefined {
  const ours = new Set(columns.map(({ fieldId }) => fieldId));
  const foreign = schema.fields.find((field) => field.required && !ours.has(field.id));
  return foreign === undefined ? undefined : `column ${foreign.name} is required, and our rows do not have it`;
}

export function currentSchema(metadata: TableMetadata): Schema | undefined {
  return metadata.schemas?.find((schema) => schema["schema-id"] === metadata["current-schema-id"]);
}

export function defaultSpec(metadata: TableMetadata): PartitionSpec | undefined {
  return metadata["partition-specs"]?.find((spec) => spec["spec-id"] === metadata["default-spec-id"]);
}

/** Columns the current schema lacks. */
export function missingColumns(metadata: TableMetadata, columns: readonly TableColumn[]): readonly TableColumn[] {
  const present = new Set(currentSchema(metadata)?.fields.map((field) => field.id));
  return columns.filter(({ fieldId }) => !present.has(fieldId));
}
