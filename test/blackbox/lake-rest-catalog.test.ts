/**
 * The whole service with its table in a REST catalog that is laid out as R2 Data Catalog is: a prefix of the
 * catalog's choice in every path, and a table whose place in the bucket only the catalog knows.
 */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { readTableRows } from "../fixtures/icebird-table.ts";
import { callAdmin, flushLake, numberedEvents, sendEvents, tableStatus } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { startCatalogServer, type CatalogCall, type CatalogServer } from "../fixtures/rest-catalog-server.ts";
import { S3Objects } from "../fixtures/s3-objects.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const BUCKET = "spillway-lake";
const PREFIX = randomUUID();
const TABLE_KEY = `__r2_data_catalog/${randomUUID()}/${randomUUID()}`;
const LOCATION = `s3://${BUCKET}/${TABLE_KEY}`;
const WAREHOUSE = `0123456789abcdef0123456789abcdef_${BUCKET}`;
const TOKEN = "catalog-and-storage-token-0123456789abcdef";
const NAME = "spillway.events";

let catalog: CatalogServer;
let service: LakeService;
let objects: S3Objects;

beforeAll(async () => {
  catalog = await startCatalogServer({ prefix: PREFIX, token: TOKEN, tableLocation: LOCATION });
  service = await startLakeService({
    vars: {
      ICEBERG_SHARDS: 1,
      ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000,
      ICEBERG_COMMIT_INTERVAL_MS: 600_000,
      ICEBERG_CATALOG: "rest",
      ICEBERG_REST_URI: catalog.uri,
      ICEBERG_REST_TOKEN: TOKEN,
      ICEBERG_WAREHOUSE: WAREHOUSE,
    },
  });
  objects = new S3Objects(service.s3Origin, BUCKET);
});

afterAll(async () => {
  await service?.stop();
  await catalog?.stop();
});

/** Ids of the rows that icebird finds of one source, sorted; each as often as it is there. */
async function idsOf(source: string): Promise<number[]> {
  const metadata = catalog.table(NAME)?.metadata;
  if (metadata === undefined) throw new Error("the catalog has no such table");
  const rows = await readTableRows({
    metadata,
    async read(path) {
      expect(path.startsWith(`${LOCATION}/`)).toBe(true);
      const bytes = await objects.get(path.slice(`s3://${BUCKET}/`.length));
      if (bytes === undefined) throw new Error(`the table refers to a file that is not there: ${path}`);
      return bytes;
    },
  });
  const ids = rows.filter((row) => row["source"] === source).map((row) => Number(row["id"]));
  return ids.toSorted((left, right) => left - right);
}

const numbersBelow = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

function commits(): CatalogCall[] {
  return catalog.calls.filter(({ operation }) => operation === "commit");
}

test("rows lie where the catalog wants the table, and a reader finds them by its metadata", async () => {
  await sendEvents(service, numberedEvents("/r2", 200, { time: "2026-11-20T23:00:00Z" }));
  await sendEvents(service, numberedEvents("/r2", 100, { firstId: 200, time: "2026-11-21T01:00:00Z" }));
  const report = await flushLake(service);
  expect(report).toMatchObject({ ok: true, staged_files: 0, remaining_events: 0, commit_error: null });

  const { objects: kept } = await objects.list("");
  const keys = kept.map(({ key }) => key);
  expect(keys.filter((key) => !key.startsWith(`${TABLE_KEY}/`))).toEqual([]);
  const data = keys.filter((key) => key.startsWith(`${TABLE_KEY}/data/`));
  expect(data).toEqual(expect.arrayContaining([expect.stringMatching(/\/data\/2026-11-20\/[\w-]+\.parquet$/)]));
  // Metadata files are the catalog's: ours are manifests and their lists alone.
  const others = keys.filter((key) => !data.includes(key));
  expect(others.length).toBeGreaterThan(1);
  for (const key of others) expect(key.slice(TABLE_KEY.length)).toMatch(/^\/metadata\/[\w-]+\.avro$/);
  expect(await idsOf("/r2")).toEqual(numbersBelow(300));
});

test("the catalog is asked by its own prefix, with the token, for the warehouse", () => {
  const [config, ...rest] = catalog.calls;
  expect(config).toMatchObject({ operation: "config", url: `/v1/config?warehouse=${WAREHOUSE}` });
  expect(rest.length).toBeGreaterThan(3);
  for (const { url } of rest) expect(url).toMatch(new RegExp(`^/v1/${PREFIX}/namespaces(/|$)`));
  for (const { operation, headers } of catalog.calls) {
    expect(operation).not.toBe("unknown");
    expect(headers.authorization).toBe(`Bearer ${TOKEN}`);
  }
});

test("a commit whose answer is lost, or that the catalog refuses for another's, leaves each row once", async () => {
  const commitsBefore = commits().length;
  catalog.fail(
    "commit",
    { how: { status: 409, body: '{"error":{"message":"moved on","type":"CommitFailedException","code":409}}' } },
    { how: "reset", isApplied: true },
  );
  await sendEvents(service, numberedEvents("/faults", 150));
  expect(await flushLake(service)).toMatchObject({ ok: true, staged_files: 0 });
  expect(await idsOf("/faults")).toEqual(numbersBelow(150));
  expect(await idsOf("/r2")).toEqual(numbersBelow(300));
  const attempts = commits().slice(commitsBefore);
  expect(attempts).toHaveLength(2);
  const keys = attempts.map(({ headers }) => headers["idempotency-key"]);
  expect(keys).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), keys[0]]);
});

test("the status names the catalog's place; looking after snapshots and small files is the catalog's", async () => {
  const status = await tableStatus(service);
  expect(status).toMatchObject({ location: LOCATION, metadata_location: catalog.table(NAME)?.location });
  for (const action of ["compact", "expire-snapshots"]) {
    const response = await callAdmin(service, action);
    expect([action, await response.json()]).toEqual([
      action,
      expect.objectContaining({ ok: false, reason: "this catalog looks after its tables itself" }),
    ]);
  }
  expect(commits().every(({ body }) => JSON.stringify(body).includes("add-snapshot"))).toBe(true);
  const attached = await fetch(`${service.origin}/iceberg/v1/config`, {
    headers: { Authorization: `Bearer ${TEST_SECRETS.ICEBERG_READ_TOKEN}` },
  });
  expect(attached.status).toBe(404);
});
