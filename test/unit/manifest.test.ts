/**
 * Manifests and manifest lists: nothing of an entry is lost on its way through a file, and what cannot be
 * kept is named.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { readAvroFile, writeAvroFile } from "../../durable-objects/iceberg/avro-container.ts";
import {
  decodeManifestList,
  encodeManifestList,
  type ManifestFile,
} from "../../durable-objects/iceberg/manifest-list.ts";
import { addedEntry, decodeManifest, encodeManifest, ENTRY_STATUS } from "../../durable-objects/iceberg/manifest.ts";
import { avroTypeOf, partitionColumns, summarizePartition } from "../../durable-objects/iceberg/partition-values.ts";
import { EVENTS_PARTITION_SPEC } from "../../durable-objects/iceberg/table-metadata.ts";
import { bytes, longInt, text } from "../fixtures/avro-samples.ts";
import {
  asDeleted,
  dataFile,
  DAY,
  EVENTS,
  foreignManifest,
  manifestEntry,
  PARTITIONED_SCHEMA,
  PARTITIONED_SPEC,
  written,
} from "../fixtures/manifest-samples.ts";

const SNAPSHOT_ID = 2n ** 62n + 1n;

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

function hex(bound: Uint8Array | null): string | null {
  return bound === null ? null : Buffer.from(bound).toString("hex");
}

function optional<Value>(values: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> {
  return fc.option(values, { nil: null });
}

function optionalLong(name: string, fieldId: number): object {
  return { name, type: ["null", "long"], "field-id": fieldId };
}

describe("a manifest", () => {
  test("keeps all that any writer says of its files, partitions of every type included", () => {
    fc.assert(
      fc.property(fc.array(manifestEntry, { maxLength: 4 }), (entries) => {
        const spec = { schema: PARTITIONED_SCHEMA, partitionSpec: PARTITIONED_SPEC };
        const manifest = decodeManifest(encodeManifest({ ...spec, entries }));
        expect(manifest).toEqual({
          formatVersion: 2,
          content: "data",
          schemaId: 7,
          partitionSpec: PARTITIONED_SPEC,
          entries,
        });
        expect(encodeManifest({ ...spec, entries: manifest.entries })).toEqual(encodeManifest({ ...spec, entries }));
      }),
      { numRuns: 200 },
    );
  });

  test("has the file metadata and the partition type the format asks for", () => {
    const { metadata } = readAvroFile(written({ entries: [], snapshotId: 1, sequenceNumber: 1 }).bytes);
    expect(JSON.parse(metadata.get("schema") ?? "")).toEqual(EVENTS.schema);
    expect(JSON.parse(metadata.get("partition-spec") ?? "")).toEqual(EVENTS_PARTITION_SPEC.fields);
    expect(Object.fromEntries(metadata)).toMatchObject({
      "schema-id": "0",
      "partition-spec-id": "0",
      "format-version": "2",
      content: "data",
      "avro.codec": "deflate",
    });
    const schema = metadata.get("avro.schema") ?? "";
    expect(schema).toContain(
      '{"name":"time_day","type":["null",{"type":"int","logicalType":"date"}],"field-id":1000,"default":null}',
    );
    const ids = [...schema.matchAll(/"(?:field|element)-id":(\d+)/g)].map(([, id]) => Number(id));
    expect(ids.toSorted((a, b) => a - b)).toEqual([
      0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 108, 109, 110, 117, 118, 119, 120, 121, 122, 125, 126, 127, 128, 129, 130,
      131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 1000,
    ]);
  });

  test("of our own file says what the shard measured", () => {
    const entry = addedEntry(dataFile(DAY, "a"), SNAPSHOT_ID);
    const [read] = decodeManifest(encodeManifest({ ...EVENTS, entries: [entry] })).entries;
    expect(read).toEqual(entry);
    expect(entry).toMatchObject({ status: 1, snapshotId: SNAPSHOT_ID, sequenceNumber: null, fileSequenceNumber: null });
    expect(entry.file).toMatchObject({ format: "PARQUET", sortOrderId: 1, splitOffsets: [4], partition: [DAY] });
    expect(entry.file.lowerBounds?.get(5)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1));
    expect(entry.file.nullValueCounts?.get(1)).toBe(0);
  });

  test("of version 1 is read, with sequence number 0 throughout", () => {
    const manifest = decodeManifest(foreignManifest());
    expect(manifest).toMatchObject({ formatVersion: 1, content: "data", schemaId: undefined });
    expect(manifest.partitionSpec.fields[0]?.["field-id"]).toBe(1000);
    const [entry] = manifest.entries;
    expect(entry).toMatchObject({ snapshotId: 99, sequenceNumber: 0, fileSequenceNumber: 0, unknownFields: [] });
    expect(entry?.file).toMatchObject({ content: 0, partition: [4], recordCount: 5, columnSizes: null });
  });

  test("with fields of a later format names those that hold something", () => {
    const [entry] = decodeManifest(
      foreignManifest({
        entryFields: [optionalLong("tracking", 5)],
        fileFields: [optionalLong("first_row_id", 142), optionalLong("content_offset", 144)],
        partitionFields: [optionalLong("q", 1001)],
        entry: { tracking: 1 },
        file: { first_row_id: 2n ** 60n, content_offset: null },
        partition: { q: 3 },
      }),
    ).entries;
    expect(entry?.unknownFields).toEqual(["tracking", "first_row_id", "partition.q"]);
    const entries = entry === undefined ? [] : [{ ...entry, file: { ...entry.file, partition: [1] } }];
    expect(() => encodeManifest({ ...EVENTS, entries })).toThrow("would lose tracking, first_row_id, partition.q");
  });

  const good = addedEntry(dataFile(DAY, "a"), 1);
  test.each([
    ["deletes", { ...good, file: { ...good.file, content: 1 } }, "not a data file"],
    ["another partition", { ...good, file: { ...good.file, partition: [] } }, "not by the spec"],
    ["no sequence number though not added", { ...good, status: ENTRY_STATUS.existing }, "may inherit"],
    ["a text where a day belongs", { ...good, file: { ...good.file, partition: ["x"] } }, "fits no branch"],
  ])("is not written of %s", (_, entry, reason) => {
    expect(() => encodeManifest({ ...EVENTS, entries: [entry] })).toThrow(reason);
  });

  test.each([
    ["no partition spec", foreignManifest({ metadata: { "partition-spec": "{" } }), "not JSON"],
    ["a spec of numbers", foreignManifest({ metadata: { "partition-spec": "[1]" } }), "has no fields"],
    ["other content", foreignManifest({ metadata: { content: "index" } }), "neither data nor deletes"],
    ["no version", foreignManifest({ metadata: { "format-version": "two" } }), "format-version is not a number"],
    ["an unknown status", foreignManifest({ entry: { status: 3 } }), "unknown status"],
    ["no records", writeAvroFile({ schema: { type: "long" }, metadata: {}, records: [1], codec: "null" }), "records"],
    [
      "a path that is a number",
      foreignManifest({
        fileFields: [{ name: "sort_order_id", type: "string", "field-id": 140 }],
        file: { sort_order_id: "1" },
      }),
      "field 140 sort_order_id is not an int",
    ],
  ])("with %s is refused", (_, file, reason) => {
    expect(() => decodeManifest(file)).toThrow(reason);
  });
});

describe("a manifest list", () => {
  const count = fc.nat();
  const manifestFile: fc.Arbitrary<ManifestFile> = fc.record({
    path: text,
    length: longInt,
    partitionSpecId: count,
    content: fc.constantFrom("data" as const, "deletes" as const),
    sequenceNumber: longInt,
    minSequenceNumber: longInt,
    addedSnapshotId: longInt,
    addedFilesCount: count,
    existingFilesCount: count,
    deletedFilesCount: count,
    addedRowsCount: longInt,
    existingRowsCount: longInt,
    deletedRowsCount: longInt,
    partitions: optional(
      fc.array(
        fc.record({
          containsNull: fc.boolean(),
          containsNan: optional(fc.boolean()),
          lowerBound: optional(bytes),
          upperBound: optional(bytes),
        }),
        { maxLength: 3 },
      ),
    ),
    keyMetadata: optional(bytes),
    unknownFields: fc.constant([]),
  });

  test("keeps all that it says of its manifests", () => {
    fc.assert(
      fc.property(fc.array(manifestFile, { maxLength: 5 }), (manifests) => {
        const list = { snapshotId: SNAPSHOT_ID, parentSnapshotId: null, sequenceNumber: 3, manifests };
        expect(decodeManifestList(encodeManifestList(list))).toEqual(manifests);
      }),
    );
  });

  test.each([
    [null, "null"],
    [2n ** 61n, "2305843009213693952"],
  ])("names its snapshot, and its parent %s", (parentSnapshotId, expected) => {
    const list = { snapshotId: SNAPSHOT_ID, parentSnapshotId, sequenceNumber: 3, manifests: [] };
    expect(Object.fromEntries(readAvroFile(encodeManifestList(list)).metadata)).toMatchObject({
      "snapshot-id": String(SNAPSHOT_ID),
      "parent-snapshot-id": expected,
      "sequence-number": "3",
      "format-version": "2",
    });
  });

  test("counts files and rows by status, and bounds live numbers and partitions", () => {
    const [a, b, c] = [-3, DAY, 7].map((day) => addedEntry(dataFile(day, "f"), 5));
    if (a === undefined || b === undefined || c === undefined) throw new Error("three entries were made");
    const existing = { ...b, status: ENTRY_STATUS.existing, sequenceNumber: 4, fileSequenceNumber: 4 };
    const { listed } = written({
      entries: [a, existing, asDeleted(c, 5, 2)],
      snapshotId: 5,
      sequenceNumber: 9,
    });
    expect(listed).toMatchObject({
      content: "data",
      sequenceNumber: 9,
      // The deleted file's 2 is not a live one's.
      minSequenceNumber: 4,
      addedSnapshotId: 5,
      addedFilesCount: 1,
      existingFilesCount: 1,
      deletedFilesCount: 1,
      addedRowsCount: 7,
      existingRowsCount: DAY + 10,
      deletedRowsCount: 17,
      partitions: [{ containsNull: false, containsNan: false, lowerBound: int32(-3), upperBound: int32(DAY) }],
    });
  });

  test("with fields of a later format names them, and is not written again", () => {
    const file = encodeManifestList({
      snapshotId: 1,
      parentSnapshotId: null,
      sequenceNumber: 1,
      manifests: [written({ entries: [addedEntry(dataFile(DAY, "a"), 1)], snapshotId: 1, sequenceNumber: 1 }).listed],
    });
    const { metadata, records } = readAvroFile(file);
    const schema = JSON.parse(metadata.get("avro.schema") ?? "") as { fields: object[] };
    schema.fields.push({ name: "first_row_id", type: ["null", "long"], "field-id": 520 });
    const rewrite = (firstRowId: number | null) => {
      const later = records.map((record) => ({ ...(record as object), first_row_id: firstRowId }));
      return decodeManifestList(writeAvroFile({ schema, metadata: {}, records: later, codec: "null" }));
    };
    expect(rewrite(null)[0]?.unknownFields).toEqual([]);
    const manifests = rewrite(0);
    expect(manifests[0]?.unknownFields).toEqual(["first_row_id"]);
    const list = { snapshotId: 1, parentSnapshotId: null, sequenceNumber: 1, manifests };
    expect(() => encodeManifestList(list)).toThrow("would lose first_row_id");
  });
});

describe("partition bounds", () => {
  test.each([
    ["long", [3n, -(2n ** 62n), 5], "00000000000000c0", "0500000000000000"],
    ["int", [1, -1], "ffffffff", "01000000"],
    ["boolean", [true, false], "00", "01"],
    ["float", [0, -0, Number.NaN], "00000080", "00000000"],
    ["double", [1.5, -2], "00000000000000c0", "000000000000f83f"],
    // U+FFFF comes before U+1F30A in UTF-8, and after it in UTF-16.
    ["string", ["\u{1f30a}", "\uffff"], "efbfbf", "f09f8c8a"],
    ["binary", [Uint8Array.of(1, 2), Uint8Array.of(1), Uint8Array.of(0x80)], "01", "80"],
    ["decimal(9, 2)", [Uint8Array.of(0, 0, 0, 0x80), Uint8Array.of(255, 255, 255, 0x80)], "80", "0080"],
    ["date", [null, null], null, null],
  ] as const)("of %s %s", (type, values, lower, upper) => {
    const summary = summarizePartition(type, values);
    expect([hex(summary.lowerBound), hex(summary.upperBound)]).toEqual([lower, upper]);
    expect(summary.containsNull).toBe(type === "date");
    expect(summary.containsNan).toBe(type === "float");
  });

  test.each([
    ["an unknown transform", { transform: "zorder", "source-id": 5 }],
    ["a column that is gone", { transform: "identity", "source-id": 99 }],
  ])("need a known type: %s is refused", (_, field) => {
    const spec = { "spec-id": 1, fields: [{ ...field, name: "p", "field-id": 1000 }] };
    expect(() => partitionColumns(EVENTS.schema, spec)).toThrow("not known");
  });

  test.each([
    [9, 4],
    [18, 8],
    [38, 16],
  ])("of decimals with %i digits are %i bytes in Avro", (precision, size) => {
    expect(avroTypeOf(`decimal(${precision}, 2)`, "d")).toMatchObject({ size });
  });
});
