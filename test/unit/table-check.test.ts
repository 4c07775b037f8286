/**
 * Which tables of others can take our files, and what is said of those that cannot.
 */
import { describe, expect, it } from "vitest";

import { findUnfit, missingColumns } from "../../durable-objects/iceberg/table-check.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import {
  createMetadata,
  type PartitionField,
  type SchemaField,
  type TableMetadata,
} from "../../durable-objects/iceberg/table-metadata.ts";
import { LOCATION, START_MS } from "../fixtures/lake-parts.ts";

const ours = createMetadata({ uuid: "u", location: LOCATION, columns: TABLE_COLUMNS, nowMs: START_MS });

function withField(id: number, change: Partial<SchemaField>): TableMetadata {
  const schemas = ours.schemas.map((schema) => ({
    ...schema,
    fields: schema.fields.map((field) => (field.id === id ? { ...field, ...change } : field)),
  }));
  return { ...ours, schemas };
}

function withMore(...more: SchemaField[]): TableMetadata {
  return { ...ours, schemas: ours.schemas.map((schema) => ({ ...schema, fields: [...schema.fields, ...more] })) };
}

function withPartition(...changes: Partial<PartitionField>[]): TableMetadata {
  const day = { name: "time_day", transform: "day", "source-id": 5, "field-id": 1000 };
  return { ...ours, "partition-specs": [{ "spec-id": 0, fields: changes.map((change) => ({ ...day, ...change })) }] };
}

const isFit = (metadata: TableMetadata) => findUnfit(metadata, TABLE_COLUMNS);

describe("a table that fits", () => {
  it("is our own, with however many columns of the first version", () => {
    expect(isFit(ours)).toBeUndefined();
    const first = createMetadata({
      uuid: "u",
      location: LOCATION,
      columns: TABLE_COLUMNS.slice(0, 11),
      nowMs: START_MS,
    });
    expect(isFit(first)).toBeUndefined();
    expect(missingColumns(first, TABLE_COLUMNS).map(({ name }) => name)).toEqual(["extensions"]);
    expect(missingColumns(ours, TABLE_COLUMNS)).toEqual([]);
  });

  it("has another name for its partition, or other optional columns", () => {
    expect(isFit(withPartition({ name: "day" }))).toBeUndefined();
    expect(isFit(withMore({ id: 40, name: "region", required: false, type: "string" }))).toBeUndefined();
  });
});

describe("a table that does not", () => {
  const cases: readonly (readonly [string, TableMetadata, RegExp])[] = [
    ["another format version", { ...ours, "format-version": 3 }, /format version 3, this committer writes 2/],
    ["no current schema", { ...ours, "current-schema-id": 9 }, /no current schema/],
    ["no partitions", withPartition(), /day\(time\) alone/],
    ["a second partition field", withPartition({}, { "field-id": 1001, transform: "identity" }), /day\(time\) alone/],
    ["another transform", withPartition({ transform: "hour" }), /day\(time\) alone/],
    ["another source", withPartition({ "source-id": 9 }), /day\(time\) alone/],
    ["another partition field id", withPartition({ "field-id": 1001 }), /day\(time\) alone/],
    ["no such partition spec", { ...ours, "default-spec-id": 4 }, /day\(time\) alone/],
    ["another type", withField(11, { type: "string" }), /column seq \(field 11\) has type "string" in the table, long/],
    ["a nested type", withField(8, { type: { type: "struct", fields: [] } }), /column data \(field 8\) has type \{/],
    ["another name", withField(7, { name: "org" }), /field 7 is org in the table, tenant here/],
    ["our name elsewhere", withField(12, { id: 30 }), /column extensions has field id 30 in the table, 12 here/],
    [
      "a foreign required column",
      withMore({ id: 40, name: "region", required: true, type: "string" }),
      /column region is required/,
    ],
  ];
  it.each(cases)("has %s", (_, metadata, reason) => {
    expect(isFit(metadata)).toMatch(reason);
  });

  it("had a column of ours under another type once: its older files have it still", () => {
    const [current] = ours.schemas;
    const [older] = withField(8, { type: "binary" }).schemas;
    if (current === undefined || older === undefined) throw new Error("no schema");
    const metadata = { ...ours, schemas: [older, { ...current, "schema-id": 1 }], "current-schema-id": 1 };
    expect(isFit(metadata)).toMatch(/column data \(field 8\) has type "binary"/);
  });
});
