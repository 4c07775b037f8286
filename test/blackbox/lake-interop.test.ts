/**
 * The table's whole life as two readers see it that nobody here wrote, icebird by its metadata and DuckDB by
 * its files: after appends, over several days, an added column, compaction and expiry they find what was
 * sent, row by row and in sum.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { LakeRow } from "../../protocol/lake-event.ts";
import { openDuckDbLake, type DuckDbLake, type LakeRecord } from "../fixtures/duckdb-lake.ts";
import { readMetadata, readRows } from "../fixtures/icebird-lake.ts";
import {
  bucketObject,
  callAdmin,
  flushLake,
  lakeStatus,
  sendEvents,
  TABLE_KEY,
  tableStatus,
} from "../fixtures/lake-client.ts";
import { cloudEventText, createLakeRows } from "../fixtures/lake-rows.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readXmlTexts } from "../fixtures/s3-encoding.ts";

const BUNDLE = resolve(import.meta.dirname, "../../dist/index.js");
/** The last column as the bundle defines it: without it, this is the version that first made the table. */
const LAST_COLUMN = /(var TABLE_COLUMNS = \[\s*\.\.\.FIRST_COLUMNS),\s*column\(12, "extensions"[^]*?\n {2}\}\)\s*\];/;
const DAYS = 3;
const DAY_US = 86_400_000_000;

let folder: string;
let service: LakeService;
let duckdb: DuckDbLake;
const sent: LakeRow[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "spillway-interop-"));
  duckdb = await openDuckDbLake();
});

afterAll(async () => {
  duckdb.close();
  await service.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function start(bundle?: string): Promise<void> {
  const vars = { ICEBERG_SHARDS: 2, ICEBERG_BUFFER_SIZE: 20_000, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 };
  service = await startLakeService({ persistTo: folder, vars, ...(bundle === undefined ? {} : { bundle }) });
}

/** Makes an older version of the bundle, which knows no `extensions`. */
function writeFirstVersion(): string {
  const now = readFileSync(BUNDLE, "utf8");
  const first = now.replace(LAST_COLUMN, "$1];");
  expect(first.length).toBeLessThan(now.length);
  const path = join(folder, "first-version.js");
  writeFileSync(path, first);
  return path;
}

/** Sends rows as CloudEvents, spread over the days before, and flushes them. */
async function append(count: number, seed: number): Promise<void> {
  const rows = createLakeRows(count, { seed }).map((row, at) => ({
    ...row,
    id: `${seed}-${row.id}`,
    timeUs: row.timeUs - (at % DAYS) * DAY_US,
  }));
  const events = rows.map((row) => JSON.parse(cloudEventText(row)) as object);
  expect(await sendEvents(service, events)).toEqual({ accepted: count, duplicates: 0, rejected: [] });
  sent.push(...rows);
  await flushLake(service);
}

/** What the sender knows of a row; `requestid` is an extension on the wire, and none of these has one. */
const knownOf = ({ id, source, type, subject, time, data, extensions }: Omit<LakeRecord, "seq" | "shard">) =>
  JSON.stringify({ id, source, type, subject, time, data, extensions });

const sentOf = (row: LakeRow): string =>
  knownOf({
    ...row,
    subject: row.subject ?? null,
    time: new Date(row.timeUs / 1000).toISOString(),
    data: row.data ?? null,
    extensions: row.extensions ?? null,
    request_id: null,
    ingest_time: "",
  });

/** Both readers' rows are what was sent, and their sums are the status's. */
async function expectAllThere(): Promise<void> {
  const all = (await readRows(service)).toSorted(bySeq);
  const files = await duckdb.refresh(service);
  const [sums] = await duckdb.query(
    `SELECT count(*)::INT AS rows, sum(seq)::DOUBLE AS seqs, count(DISTINCT shard || ':' || seq)::INT AS keys,
       sum(strlen(data))::INT AS data_bytes, count(extensions)::INT AS extensions FROM events`,
  );
  expect(sums).toEqual({
    rows: all.length,
    keys: all.length,
    seqs: all.reduce((sum, { seq }) => sum + Number(seq), 0),
    data_bytes: all.reduce((sum, { data }) => sum + Buffer.byteLength(data ?? ""), 0),
    extensions: all.filter(({ extensions }) => extensions !== null).length,
  });
  const { table } = await lakeStatus(service);
  expect(table).toMatchObject({ rows: all.length, files });
  const ours = all.filter(({ source }) => source !== "spillway/lake");
  expect(ours.map(knownOf).toSorted()).toEqual(sent.map(sentOf).toSorted());
  expect((await duckdb.rows()).toSorted(bySeq)).toEqual(all);
}

function bySeq(left: LakeRecord, right: LakeRecord): number {
  return left.shard === right.shard ? Number(left.seq - right.seq) : left.shard < right.shard ? -1 : 1;
}

test("both readers find every row, from the first version to compaction and expiry", async () => {
  await start(writeFirstVersion());
  await append(300, 71);
  const first = await readMetadata(service);
  expect(first.schemas[0]?.fields.map(({ name }) => name)).not.toContain("extensions");
  // The first version had no place for them.
  sent.splice(0, sent.length, ...sent.map((row) => ({ ...row, extensions: undefined })));
  const [days] = await duckdbDays();
  expect(days).toEqual({ days: DAYS });

  await service.kill();
  await start();
  await append(500, 72);
  await append(40, 73);
  const evolved = await readMetadata(service);
  const schema = evolved.schemas.find((found) => found["schema-id"] === evolved["current-schema-id"]);
  expect(schema?.fields.at(-1)).toMatchObject({ id: 12, name: "extensions", required: false });
  expect(evolved.schemas).toHaveLength(2);
  await expectAllThere();
  expect(sent.filter(({ extensions }) => extensions !== undefined).length).toBeGreaterThan(20);

  const before = await tableStatus(service);
  const compacted = await callAdmin(service, "compact");
  expect(await compacted.json()).toMatchObject({ ok: true, remaining_files: 0 });
  expect((await tableStatus(service)).files).toBeLessThan(before.files ?? 0);
  await expectAllThere();

  const expired = await callAdmin(service, "expire-snapshots?keep=1");
  expect(await expired.json()).toMatchObject({ ok: true, expired_snapshots: 3 });
  expect((await readMetadata(service)).snapshots).toHaveLength(1);
  await expectAllThere();

  await append(100, 74);
  await expectAllThere();
  await expectOnceByFolder();
});

/** As docs/queries.md reads the folder itself, where compaction has left the files that it replaced. */
async function expectOnceByFolder(): Promise<void> {
  const [once] =
    /QUALIFY [^;]+/.exec(readFileSync(resolve(import.meta.dirname, "../../docs/queries.md"), "utf8")) ?? [];
  const { rows, files } = await tableStatus(service);
  const prefix = encodeURIComponent(`${TABLE_KEY}/data/`);
  const listing = await (await bucketObject(service, `?list-type=2&prefix=${prefix}`)).text();
  expect(await duckdb.refresh(service, readXmlTexts(listing, "Key"))).toBeGreaterThan(files ?? 0);
  const [counts] = await duckdb.query(
    `SELECT count(*)::INT AS found, (SELECT count(*)::INT FROM (SELECT * FROM events ${once ?? ""})) AS once FROM events`,
  );
  expect(counts?.["once"]).toBe(rows);
  expect(Number(counts?.["found"])).toBeGreaterThan(rows ?? 0);
}

async function duckdbDays(): Promise<Record<string, unknown>[]> {
  await duckdb.refresh(service);
  return duckdb.query(
    "SELECT count(DISTINCT date_trunc('day', time))::INT AS days FROM events WHERE source <> 'spillway/lake'",
  );
}
