/**
 * Changes to table metadata as a REST catalog would apply them: all requirements first, then the updates.
 */
import { describe, expect, it } from "vitest";

import { applyChange, type ApplyContext } from "../../durable-objects/iceberg/metadata-updates.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import type { TableChange, TableRequirement, TableUpdate } from "../../durable-objects/iceberg/table-change.ts";
import {
  createMetadata,
  createSchema,
  type LongInt,
  type Snapshot,
  type TableMetadata,
} from "../../durable-objects/iceberg/table-metadata.ts";
import { LOCATION, START_MS } from "../fixtures/lake-parts.ts";

const CONTEXT: ApplyContext = { nowMs: START_MS + 10, previousLocation: "s3://b/v1.metadata.json", metadataLogMax: 3 };
const LONG_ID = 9_223_372_036_854_775_806n;

const empty = createMetadata({ uuid: "uuid-1", location: LOCATION, columns: TABLE_COLUMNS, nowMs: START_MS });

function snapshotOf(id: LongInt, sequenceNumber: LongInt, timeMs = START_MS + Number(sequenceNumber)): Snapshot {
  return {
    "snapshot-id": id,
    "sequence-number": sequenceNumber,
    "timestamp-ms": timeMs,
    "manifest-list": `${LOCATION}/metadata/snap-${id}.avro`,
    summary: { operation: "append" },
  };
}

function appending(id: LongInt, sequenceNumber: LongInt): readonly TableUpdate[] {
  return [
    { action: "add-snapshot", snapshot: snapshotOf(id, sequenceNumber) },
    { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
  ];
}

function apply(metadata: TableMetadata, change: Partial<TableChange>, context: Partial<ApplyContext> = {}) {
  const outcome = applyChange(metadata, { requirements: [], updates: [], ...change }, { ...CONTEXT, ...context });
  if (!outcome.ok) throw new Error(outcome.reason);
  return outcome.metadata;
}

function tableWith(...ids: LongInt[]): TableMetadata {
  return ids.reduce((metadata, id, at) => apply(metadata, { updates: appending(id, at + 1) }), empty);
}

describe("requirements", () => {
  const table = tableWith(LONG_ID);
  const holding: readonly TableRequirement[] = [
    { type: "assert-table-uuid", uuid: "uuid-1" },
    { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": LONG_ID },
    { type: "assert-ref-snapshot-id", ref: "audit", "snapshot-id": null },
    { type: "assert-current-schema-id", "current-schema-id": 0 },
    { type: "assert-last-assigned-field-id", "last-assigned-field-id": 12 },
  ];
  it.each(holding)("hold: $type", (requirement) => {
    expect(applyChange(table, { requirements: [requirement], updates: [] }, CONTEXT).ok).toBe(true);
  });

  const broken: readonly (readonly [TableRequirement, RegExp])[] = [
    [{ type: "assert-create" }, /exists/],
    [{ type: "assert-table-uuid", uuid: "uuid-2" }, /another table/],
    [{ type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": null }, /at snapshot 9223372036854775806, not null/],
    // As doubles the two ids are the same.
    [{ type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": LONG_ID - 1n }, /not 9223372036854775805/],
    [{ type: "assert-ref-snapshot-id", ref: "audit", "snapshot-id": 1 }, /branch audit is at snapshot null/],
    [{ type: "assert-current-schema-id", "current-schema-id": 1 }, /schema has changed/],
    [{ type: "assert-last-assigned-field-id", "last-assigned-field-id": 11 }, /column has been added/],
  ];
  it.each(broken)("does not hold: %#", (requirement, reason) => {
    const outcome = applyChange(table, { requirements: [...holding, requirement], updates: [] }, CONTEXT);
    expect(outcome).toEqual({ ok: false, reason: expect.stringMatching(reason) });
  });

  it("take a number and a bigint of the same value for the same", () => {
    const requirement = { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": 5n } as const;
    expect(applyChange(tableWith(5), { requirements: [requirement], updates: [] }, CONTEXT).ok).toBe(true);
  });
});

describe("updates", () => {
  it("never change the metadata they are applied to", () => {
    const before = JSON.stringify(empty);
    apply(empty, { updates: [...appending(1, 1), { action: "set-properties", updates: { a: "b" } }] });
    expect(JSON.stringify(empty)).toBe(before);
  });

  it("add a snapshot, and the main branch moves to it", () => {
    const table = tableWith(LONG_ID);
    expect(table).toMatchObject({
      "current-snapshot-id": LONG_ID,
      "last-sequence-number": 1,
      refs: { main: { type: "branch", "snapshot-id": LONG_ID } },
      snapshots: [{ "snapshot-id": LONG_ID }],
      "snapshot-log": [{ "snapshot-id": LONG_ID, "timestamp-ms": START_MS + 1 }],
    });
  });

  it("refuse a sequence number that does not grow", () => {
    const table = tableWith(1, 2);
    expect(() => apply(table, { updates: appending(3, 2) })).toThrow("must grow");
  });

  it("refuse a snapshot whose id is there already", () => {
    const table = tableWith(1, 2);
    expect(() => apply(table, { updates: appending(1, 3) })).toThrow("is there already");
  });

  it("let another branch be where it is without moving the table's own", () => {
    const ref = { action: "set-snapshot-ref", "ref-name": "audit", type: "branch", "snapshot-id": 1 } as const;
    const table = apply(tableWith(1, 2), { updates: [ref] });
    expect(table).toMatchObject({ "current-snapshot-id": 2, refs: { audit: { "snapshot-id": 1 } } });
    expect(table["snapshot-log"]).toHaveLength(2);
  });

  it("remove snapshots, and cut the log after the last one that is gone", () => {
    const table = tableWith(1, 2, 3, 4, LONG_ID);
    const rest = apply(table, { updates: [{ action: "remove-snapshots", "snapshot-ids": [1n, 3] }] });
    expect(rest.snapshots?.map((snapshot) => snapshot["snapshot-id"])).toEqual([2, 4, LONG_ID]);
    // Snapshot 2 is there still, but what came after it is not all known any more.
    expect(rest["snapshot-log"]?.map((entry) => entry["snapshot-id"])).toEqual([4, LONG_ID]);
  });

  it("never remove a snapshot that a branch is at", () => {
    const remove = { action: "remove-snapshots", "snapshot-ids": [2] } as const;
    expect(() => apply(tableWith(1, 2), { updates: [remove] })).toThrow("snapshot of main cannot be removed");
  });

  it("add a schema under the next id, and make it current where asked by -1", () => {
    const schema = { ...createSchema(TABLE_COLUMNS, 0), fields: [] };
    const add = { action: "add-schema", schema, "last-column-id": 20 } as const;
    const added = apply(empty, { updates: [add] });
    expect(added).toMatchObject({ "current-schema-id": 0, "last-column-id": 20 });
    expect(added.schemas.map((each) => each["schema-id"])).toEqual([0, 1]);
    const current = apply(empty, { updates: [add, { action: "set-current-schema", "schema-id": -1 }] });
    expect(current["current-schema-id"]).toBe(1);
    const back = apply(current, { updates: [{ action: "set-current-schema", "schema-id": 0 }] });
    expect(back["current-schema-id"]).toBe(0);
    const fewer = apply(current, { updates: [{ ...add, "last-column-id": 3 }] });
    expect(fewer["last-column-id"]).toBe(20);
  });

  it("set properties beside those that are there", () => {
    const table = apply(empty, { updates: [{ action: "set-properties", updates: { mine: "1" } }] });
    expect(table.properties).toEqual({ ...empty.properties, mine: "1" });
  });

  it("keep members that nobody here knows", () => {
    const foreign = { ...empty, statistics: [{ "snapshot-id": 1 }] };
    expect(apply(foreign, { updates: appending(1, 1) })).toMatchObject({ statistics: [{ "snapshot-id": 1 }] });
  });
});

describe("logs and times", () => {
  it("name the replaced metadata file with its own time, and no more files than allowed", () => {
    let table = empty;
    for (let version = 1; version <= 6; version++) {
      table = apply(table, {}, { previousLocation: `v${version}`, nowMs: START_MS + version });
    }
    expect(table["metadata-log"]).toEqual([
      { "metadata-file": "v4", "timestamp-ms": START_MS + 3 },
      { "metadata-file": "v5", "timestamp-ms": START_MS + 4 },
      { "metadata-file": "v6", "timestamp-ms": START_MS + 5 },
    ]);
  });

  it("never go back with a clock that does", () => {
    expect(apply(empty, {}, { nowMs: START_MS - 5000 })["last-updated-ms"]).toBe(START_MS);
  });
});
