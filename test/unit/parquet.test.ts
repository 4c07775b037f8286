/**
 * Rows to Parquet and back: nothing changed, nothing lost, one order, one set of bytes.
 */
import * as fc from "fast-check";
import { parquetMetadata } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { expect, test } from "vitest";

import { decodeParquet, UnknownColumnsError } from "../../durable-objects/iceberg/parquet-decode.ts";
import { encodeParquet, findUnencodable } from "../../durable-objects/iceberg/parquet-encode.ts";
import { TABLE_COLUMNS, type TableColumn } from "../../durable-objects/iceberg/table-columns.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { cloudEventText, createLakeRows } from "../fixtures/lake-rows.ts";
import { createRandom } from "../fixtures/process-random.ts";

const SAMPLE: LakeRow = {
  id: "id",
  source: "source",
  type: "type",
  subject: "subject",
  timeUs: 1_795_251_599_955_001,
  requestId: "request",
  tenant: "tenant",
  data: "{}",
  extensions: '{"traceparent":"00"}',
  ingestTimeUs: 1_795_251_600_003_002,
  shard: "0-3fa9c1d2",
  seq: 7,
};

function shuffle<T>(items: readonly T[], seed: number): T[] {
  const random = createRandom(seed);
  return items
    .map((item) => ({ item, rank: random.int(0, 2 ** 31) }))
    .sort((left, right) => left.rank - right.rank)
    .map(({ item }) => item);
}

function bySeq(rows: readonly LakeRow[]): LakeRow[] {
  return rows.toSorted((left, right) => left.seq - right.seq);
}

function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

async function roundTrip(rows: readonly LakeRow[]): Promise<LakeRow[]> {
  return decodeParquet(encodeParquet(rows, TABLE_COLUMNS).bytes);
}

/** Any text there is but lone surrogates; now and then what decoders like to drop or stop at. */
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  fc.constantFrom("", "\0", "\ufeffbom", "\ue000", "\u{1f600}", "null", "NaN"),
);
const optionalText = fc.option(text, { nil: undefined, freq: 2 });
const micros = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -2_208_988_800_000_001),
);
const anyRow = fc.record({
  id: text,
  source: text,
  type: text,
  subject: optionalText,
  timeUs: micros,
  requestId: optionalText,
  tenant: text,
  data: optionalText,
  extensions: optionalText,
  ingestTimeUs: micros,
  shard: text,
});

test("rows come back as they were, to the microsecond and the code point", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyRow, { minLength: 1, maxLength: 60 }), async (made) => {
      const rows = made.map((row, seq) => ({ ...row, seq }));
      expect(bySeq(await roundTrip(rows))).toStrictEqual(rows);
    }),
    { numRuns: 300 },
  );
});

test("a full file of ordinary rows comes back, five times smaller than its JSON", async () => {
  const rows = createLakeRows(20_000, { seed: 20 });
  const { bytes, recordCount } = encodeParquet(rows, TABLE_COLUMNS);
  expect(recordCount).toBe(20_000);
  expect(bySeq(await decodeParquet(bytes))).toStrictEqual(rows);
  const jsonBytes = rows.reduce((sum, row) => sum + Buffer.byteLength(cloudEventText(row)), 0);
  expect(jsonBytes / bytes.length).toBeGreaterThan(5);
});

test("columns longer than a page come back", async () => {
  const data = JSON.stringify({ text: "x".repeat(900_000) });
  const rows = Array.from({ length: 12 }, (_, seq) => ({
    ...SAMPLE,
    seq,
    data: `${data}${seq}`.slice(0, 900_000 + seq),
  }));
  expect(bySeq(await roundTrip(rows))).toStrictEqual(rows);
});

test.for([1, 7, 8, 9, 300])("%i equal rows but for seq come back", async (count) => {
  const bare = { ...SAMPLE, subject: undefined, requestId: undefined, data: undefined, extensions: undefined };
  const rows = Array.from({ length: count }, (_, seq) => ({ ...(seq === 4 ? SAMPLE : bare), seq }));
  expect(bySeq(await roundTrip(rows))).toStrictEqual(rows);
});

test("every column of the table is decoded", async () => {
  const [decoded] = await roundTrip([SAMPLE]);
  if (decoded === undefined) throw new Error("no row came back");
  for (const { read } of TABLE_COLUMNS) {
    expect(read(SAMPLE)).toBeDefined();
    expect(read(decoded)).toBe(read(SAMPLE));
  }
});

test("the same rows give the same bytes, in whatever order they come", () => {
  const rows = createLakeRows(3000, { seed: 3 });
  const { bytes, metrics } = encodeParquet(rows, TABLE_COLUMNS);
  for (const seed of [1, 2, 3]) {
    const again = encodeParquet(shuffle(rows, seed), TABLE_COLUMNS);
    expect(Buffer.compare(again.bytes, bytes)).toBe(0);
    expect(again.metrics).toStrictEqual(metrics);
  }
});

test("rows given are left as they are", () => {
  const rows = Object.freeze(shuffle(createLakeRows(50, { seed: 4 }), 1).map((row) => Object.freeze(row)));
  expect(() => encodeParquet(rows, TABLE_COLUMNS)).not.toThrow();
});

test("a file is sorted by type as UTF-8 bytes, then time, shard and seq", async () => {
  const types = ["b", "a", "\u{1f600}", "\uffee", "é", "", "a\0", "a\u{10000}", "a\ue000"] as const;
  const random = createRandom(11);
  const rows = Array.from({ length: 400 }, (_, seq) => ({
    ...SAMPLE,
    type: random.pick(types),
    timeUs: random.int(-3, 3),
    shard: random.pick(["0-\ue000", "0-\u{1f600}", "1-a"]),
    seq,
  }));
  const decoded = await roundTrip(shuffle(rows, 1));
  const expected = rows.toSorted(
    (left, right) =>
      compareBytes(left.type, right.type) ||
      left.timeUs - right.timeUs ||
      compareBytes(left.shard, right.shard) ||
      left.seq - right.seq,
  );
  expect(decoded.map(({ seq }) => seq)).toStrictEqual(expected.map(({ seq }) => seq));
});

test("lone surrogates are written as U+FFFD, and sorted and bounded as such", async () => {
  const rows = ["\ud800", "\ufffd", "\ufffc", "\udfff!"].map((type, seq) => ({ ...SAMPLE, type, data: type, seq }));
  expect(findUnencodable(rows, TABLE_COLUMNS)).toStrictEqual([]);
  const { bytes, metrics } = encodeParquet(rows, TABLE_COLUMNS);
  const decoded = await decodeParquet(bytes);
  expect(decoded.map(({ type, data, seq }) => [type, data, seq])).toStrictEqual([
    ["\ufffc", "\ufffc", 2],
    ["\ufffd", "\ufffd", 0],
    ["\ufffd", "\ufffd", 1],
    ["\ufffd!", "\ufffd!", 3],
  ]);
  expect(Buffer.from(metrics.lowerBounds[8] ?? "", "base64").toString()).toBe("\ufffc");
  expect(Buffer.from(metrics.upperBounds[8] ?? "", "base64").toString()).toBe("\ufffd!");
});

test("the footer names field ids, types, one row group, statistics and the sizes that metrics repeat", () => {
  const rows = createLakeRows(1000, { seed: 6 });
  const { bytes, metrics } = encodeParquet(rows, TABLE_COLUMNS);
  const footer = parquetMetadata(bytes);
  expect(footer.created_by).toBe("spillway");
  expect(footer.num_rows).toBe(1000n);
  const [group, ...others] = footer.row_groups;
  if (group === undefined) throw new Error("there is no row group");
  expect(others).toStrictEqual([]);
  const [, ...elements] = footer.schema;
  expect(elements.map(({ field_id, name, repetition_type }) => [field_id, name, repetition_type])).toStrictEqual(
    TABLE_COLUMNS.map(({ fieldId, name, isRequired }) => [fieldId, name, isRequired ? "REQUIRED" : "OPTIONAL"]),
  );
  expect(elements.find(({ name }) => name === "time")).toMatchObject({
    type: "INT64",
    logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
  });
  expect(elements.find(({ name }) => name === "data")).toMatchObject({
    type: "BYTE_ARRAY",
    logical_type: { type: "STRING" },
  });
  let columnBytes = 0;
  for (const [index, { meta_data: chunk }] of group.columns.entries()) {
    const fieldId = TABLE_COLUMNS[index]?.fieldId ?? 0;
    expect(chunk?.codec).toBe("ZSTD");
    expect(chunk?.statistics?.min_value).toBeDefined();
    expect(metrics.columnSizes[fieldId]).toBe(Number(chunk?.total_compressed_size));
    columnBytes += metrics.columnSizes[fieldId] ?? 0;
  }
  expect(columnBytes).toBeLessThan(bytes.length);
  expect(columnBytes).toBeGreaterThan(bytes.length / 2);
});

/** A row as storage or a later version could hand it over, whatever its type claims. */
function distort(fields: Partial<Record<keyof LakeRow, unknown>>): LakeRow {
  return { ...SAMPLE, ...fields } as LakeRow;
}

test.for<[string, LakeRow, string]>([
  ["half a microsecond", distort({ timeUs: 1.5 }), "time: found 1.5, allowed is a safe integer"],
  [
    "a time that no double holds",
    distort({ timeUs: 2 ** 53 }),
    "time: found 9007199254740992, allowed is a safe integer",
  ],
  ["no time", distort({ ingestTimeUs: Number.NaN }), "ingest_time: found NaN, allowed is a safe integer"],
  ["a seq as text", distort({ seq: "7" }), "seq: found a string, allowed is a safe integer"],
  ["no type", distort({ type: undefined }), "type: a value is required, found none"],
  ["a null tenant", distort({ tenant: null }), "tenant: a value is required, found none"],
  ["data as an object", distort({ data: {} }), "data: found a object, allowed is text"],
])("a row with %s is refused by place and column, and can be singled out", ([, poison, reason]) => {
  const rows = [SAMPLE, poison, { ...SAMPLE, seq: 8 }, poison];
  expect(() => encodeParquet(rows, TABLE_COLUMNS)).toThrow(`row 1 cannot be encoded: ${reason}`);
  expect(findUnencodable(rows, TABLE_COLUMNS)).toStrictEqual([
    { index: 1, reason },
    { index: 3, reason },
  ]);
});

test("a null in an optional column is no value", async () => {
  const [decoded] = await roundTrip([distort({ subject: null })]);
  expect(decoded).toStrictEqual({ ...SAMPLE, subject: undefined });
});

test("no rows make no file", () => {
  expect(() => encodeParquet([], TABLE_COLUMNS)).toThrow("at least one row");
});

test("a file without a later optional column is read, whatever its columns are called and in whatever order", async () => {
  const older = TABLE_COLUMNS.filter(({ name }) => name !== "extensions")
    .map((column) => ({ ...column, name: `old_${column.name}` }))
    .toReversed();
  const decoded = await decodeParquet(encodeParquet([SAMPLE], older).bytes);
  expect(decoded).toStrictEqual([{ ...SAMPLE, extensions: undefined }]);
});

test("a file with a column of a later version is refused by name", async () => {
  const later: TableColumn = {
    fieldId: 13,
    name: "region",
    type: "string",
    isRequired: false,
    doc: "",
    read: () => "eu",
  };
  const { bytes } = encodeParquet([SAMPLE], [...TABLE_COLUMNS, later]);
  const error: unknown = await decodeParquet(bytes).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UnknownColumnsError);
  expect(error).toHaveProperty("columns", ["region (13)"]);
});

test("a file without field ids is refused: names are not identity", async () => {
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer,
    schema: [
      { name: "root", num_children: 1 },
      { name: "id", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
    ],
  });
  void file.write({ columnData: [{ name: "id", data: ["a"] }] });
  void file.finish();
  await expect(decodeParquet(writer.getBytes())).rejects.toThrow("id (no field id)");
});

test("a file that lacks a required column, gives one another type or repeats one is refused", async () => {
  const without = TABLE_COLUMNS.filter(({ name }) => name !== "tenant");
  await expect(decodeParquet(encodeParquet([SAMPLE], without).bytes)).rejects.toThrow("tenant (7) is missing");
  const retyped = TABLE_COLUMNS.map((column): TableColumn =>
    column.name === "time" ? { ...column, type: "long" } : column,
  );
  await expect(decodeParquet(encodeParquet([SAMPLE], retyped).bytes)).rejects.toThrow("time is no timestamptz");
  const repeated = TABLE_COLUMNS.map((column) => (column.name === "subject" ? { ...column, fieldId: 1 } : column));
  await expect(decodeParquet(encodeParquet([SAMPLE], repeated).bytes)).rejects.toThrow("columns are not distinct");
});

test("a null in a required column of the table is refused", async () => {
  const loose = TABLE_COLUMNS.map((column) => ({ ...column, isRequired: false }));
  const { bytes } = encodeParquet([SAMPLE, distort({ seq: null })], loose);
  await expect(decodeParquet(bytes)).rejects.toThrow("no value in required column 11");
});

test("a damaged file is refused", async () => {
  const { bytes } = encodeParquet(createLakeRows(200, { seed: 8 }), TABLE_COLUMNS);
  await expect(decodeParquet(bytes.subarray(0, -1))).rejects.toThrow("parquet");
  const half = Math.floor(bytes.length / 2);
  await expect(decodeParquet(bytes.with(half, 0).fill(0, 4, half))).rejects.toThrow(/parquet|thrift|frame/i);
  await expect(decodeParquet(new Uint8Array())).rejects.toThrow("too short");
});

test("a file inside a larger buffer is read", async () => {
  const { bytes } = encodeParquet([SAMPLE], TABLE_COLUMNS);
  const larger = new Uint8Array(bytes.length + 13);
  larger.set(bytes, 5);
  expect(await decodeParquet(larger.subarray(5, 5 + bytes.length))).toStrictEqual([SAMPLE]);
});
