/**
 * Files as DuckDB sees them, a reader that nobody here wrote: same rows, same sums, right types.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, expect, test } from "vitest";

import { decodeParquet } from "../../durable-objects/iceberg/parquet-decode.ts";
import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { createLakeRows } from "../fixtures/lake-rows.ts";

let directory: string;
let instance: DuckDBInstance;
let duckdb: DuckDBConnection;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "spillway-parquet-"));
  instance = await DuckDBInstance.create(":memory:");
  duckdb = await instance.connect();
  await duckdb.run("SET TimeZone = 'UTC'");
});

afterAll(() => {
  duckdb.closeSync();
  instance.closeSync();
  rmSync(directory, { recursive: true });
});

async function query(sql: string): Promise<Record<string, unknown>[]> {
  const reader = await duckdb.runAndReadAll(sql);
  return reader.getRowObjects();
}

function write(name: string, rows: readonly LakeRow[]): string {
  const path = join(directory, name);
  writeFileSync(path, encodeParquet(rows, TABLE_COLUMNS).bytes);
  return path;
}

/** A row as the table's columns name it, times in microseconds. */
function toRecord(row: LakeRow): Record<string, unknown> {
  return Object.fromEntries(
    TABLE_COLUMNS.map(({ name, read }) => {
      const value = read(row);
      return [name, typeof value === "number" ? BigInt(value) : (value ?? null)];
    }),
  );
}

async function readRecords(path: string): Promise<Record<string, unknown>[]> {
  return query(
    `SELECT * REPLACE (epoch_us(time) AS time, epoch_us(ingest_time) AS ingest_time) FROM '${path}' ORDER BY seq`,
  );
}

test("a full file has the same rows, counts and sums", async () => {
  const rows = createLakeRows(20_000, { seed: 30 });
  const path = write("full.parquet", rows);
  const [sums] = await query(
    `SELECT count(*) AS rows, sum(seq)::BIGINT AS seqs, count(subject) AS subjects, sum(strlen(data))::BIGINT AS data_bytes,
       count(DISTINCT request_id) AS streams, max(time) = make_timestamptz(${Math.max(...rows.map(({ timeUs }) => timeUs))}) AS is_last
     FROM '${path}'`,
  );
  expect(sums).toStrictEqual({
    rows: 20_000n,
    seqs: rows.reduce((sum, { seq }) => sum + BigInt(seq), 0n),
    subjects: BigInt(rows.filter(({ subject }) => subject !== undefined).length),
    data_bytes: BigInt(rows.reduce((sum, { data }) => sum + Buffer.byteLength(data ?? ""), 0)),
    streams: BigInt(new Set(rows.flatMap(({ requestId }) => requestId ?? [])).size),
    is_last: true,
  });
  expect(await readRecords(path)).toStrictEqual(rows.map(toRecord));
});

test("edges come through: one value a column, all null, empty text, every plane, times before 1970", async () => {
  const [first] = createLakeRows(1, { seed: 31 });
  if (first === undefined) throw new Error("the generator made no row");
  const bare = { ...first, subject: undefined, requestId: undefined, data: undefined, extensions: undefined };
  const cases: Record<string, LakeRow[]> = {
    one: [first],
    allNull: Array.from({ length: 40 }, (_, seq) => ({ ...bare, seq })),
    edges: ["", "é", "x\ufeff", "\uffee", "\u{1f600}", "a\nb", '"'].map((text, seq) => ({
      ...bare,
      id: text,
      type: text,
      data: text,
      timeUs: seq % 2 === 0 ? -1 - seq : 7_258_118_399_999_999 + seq,
      seq,
    })),
  };
  for (const [name, rows] of Object.entries(cases)) {
    expect(await readRecords(write(`${name}.parquet`, rows)), name).toStrictEqual(rows.map(toRecord));
  }
});

test("its schema shows field ids, types and which columns are required", async () => {
  const path = write("schema.parquet", createLakeRows(10, { seed: 32 }));
  const schema = await query(
    `SELECT name, field_id, repetition_type FROM parquet_schema('${path}') WHERE num_children IS NULL`,
  );
  expect(schema).toStrictEqual(
    TABLE_COLUMNS.map(({ fieldId, name, isRequired }) => ({
      name,
      field_id: BigInt(fieldId),
      repetition_type: isRequired ? "REQUIRED" : "OPTIONAL",
    })),
  );
  const types = { string: "VARCHAR", long: "BIGINT", timestamptz: "TIMESTAMP WITH TIME ZONE" };
  const described = await query(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '${path}')`);
  expect(described).toStrictEqual(
    TABLE_COLUMNS.map(({ name, type }) => ({ column_name: name, column_type: types[type] })),
  );
});

test("it is one row group, in the table's order, with statistics that hold", async () => {
  const rows = createLakeRows(5000, { seed: 33 });
  const path = write("sorted.parquet", rows);
  const [order] = await query(
    `SELECT count(*) FILTER (type < previous_type OR (type = previous_type AND time < previous_time)) AS misplaced
     FROM (SELECT type, time, lag(type) OVER (ORDER BY file_row_number) AS previous_type,
             lag(time) OVER (ORDER BY file_row_number) AS previous_time
           FROM read_parquet('${path}', file_row_number = true))`,
  );
  expect(order).toStrictEqual({ misplaced: 0n });
  const chunks = await query(
    `SELECT path_in_schema AS name, row_group_num_rows AS rows, compression, stats_null_count AS nulls
     FROM parquet_metadata('${path}')`,
  );
  expect(chunks).toStrictEqual(
    TABLE_COLUMNS.map(({ name, read }) => ({
      name,
      rows: 5000n,
      compression: "ZSTD",
      nulls: BigInt(rows.filter((row) => read(row) === undefined).length),
    })),
  );
  // Filters are answered by statistics first: a wrong one would lose rows here.
  for (const row of rows.filter((_, index) => index % 500 === 0)) {
    const found = await query(
      `SELECT seq FROM '${path}' WHERE id = '${row.id}' AND type = '${row.type}' AND time = make_timestamptz(${row.timeUs})`,
    );
    expect(found).toStrictEqual([{ seq: BigInt(row.seq) }]);
  }
});

test.for(["zstd", "snappy"])("a file that DuckDB wrote, of several row groups and %s, is decoded", async (codec) => {
  const rows = createLakeRows(6000, { seed: 34 });
  const path = write("ours.parquet", rows);
  const theirs = join(directory, `theirs-${codec}.parquet`);
  const fieldIds = TABLE_COLUMNS.map(({ name, fieldId }) => `"${name}": ${fieldId}`).join(", ");
  await duckdb.run(
    `COPY (SELECT * FROM '${path}' ORDER BY seq) TO '${theirs}'
     (FORMAT parquet, CODEC '${codec}', ROW_GROUP_SIZE 2048, FIELD_IDS {${fieldIds}})`,
  );
  const [groups] = await query(`SELECT count(DISTINCT row_group_id) AS groups FROM parquet_metadata('${theirs}')`);
  expect(groups).toStrictEqual({ groups: 3n });
  expect(await decodeParquet(readFileSync(theirs))).toStrictEqual(rows);
});
