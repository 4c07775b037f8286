/**
 * `/iceberg/v1`: the embedded catalog as clients of the Iceberg REST protocol see it. Source: Iceberg REST
 * Catalog OpenAPI.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { readRows, type IcebirdMetadata } from "../fixtures/icebird-lake.ts";
import {
  bucketObject,
  type CallInit,
  flushLake,
  numberedEvents,
  sendEvents,
  TABLE_KEY,
  tableStatus,
} from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

/** The largest there is (spec, "Snapshots": long); a double would make …5808 of it. */
const LARGEST_ID = "9223372036854775807";
const TABLE = "/namespaces/spillway/tables/events";

let service: LakeService;
/** Answers from before the first event. */
const before: { table?: number; rows?: number | null; hint?: number } = {};
beforeAll(async () => {
  service = await startLakeService({ vars: { ICEBERG_SHARDS: 1 } });
  before.table = (await call(TABLE)).status;
  before.rows = (await tableStatus(service)).rows;
  before.hint = (await bucketObject(service, `${TABLE_KEY}/metadata/version-hint.text`)).status;
  await sendEvents(service, numberedEvents("/catalog", 30));
  await flushLake(service);
});
afterAll(async () => {
  await service.stop();
});

function call(path: string, init: CallInit = {}): Promise<Response> {
  return fetch(`${service.origin}/iceberg/v1${path}`, {
    ...init,
    headers: { Authorization: `Bearer ${TEST_SECRETS.ICEBERG_READ_TOKEN}`, ...init.headers },
  });
}

async function read(path: string): Promise<unknown> {
  const response = await call(path);
  expect({ path, status: response.status }).toEqual({ path, status: 200 });
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  return response.json();
}

test("before the first event there is no table, and looking makes none", () => {
  expect(before).toEqual({ table: 404, rows: 0, hint: 404 });
});

test.each(["/config", "/namespaces", "/namespaces/spillway", "/namespaces/spillway/tables", TABLE])(
  "GET %s without the token, or with another: 401 in the catalog's shape",
  async (path) => {
    for (const key of ["", "Bearer ", "Bearer wrong", `Bearer ${TEST_SECRETS.ADMIN_TOKEN}`]) {
      const response = await call(path, { headers: { Authorization: key } });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await response.json()).toEqual({
        error: { message: expect.stringMatching(/\w/), type: "NotAuthorizedException", code: 401 },
      });
    }
  },
);

test("config, namespaces and tables; nothing below the namespace, so that no client goes on for ever", async () => {
  expect(await read("/config?warehouse=any")).toEqual({
    defaults: {},
    overrides: {},
    endpoints: expect.arrayContaining(["GET /v1/{prefix}/namespaces/{namespace}/tables/{table}"]),
  });
  expect(await read("/namespaces")).toEqual({ namespaces: [["spillway"]] });
  expect(await read("/namespaces?parent=")).toEqual({ namespaces: [["spillway"]] });
  expect(await read("/namespaces?parent=spillway")).toEqual({ namespaces: [] });
  expect(await read("/namespaces/spillway")).toEqual({ namespace: ["spillway"], properties: {} });
  expect(await read("/namespaces/spillway/tables")).toEqual({
    identifiers: [{ namespace: ["spillway"], name: "events" }],
  });
});

test("the table: metadata that a reader gets at every row with", async () => {
  const table = (await read(TABLE)) as { "metadata-location": string; metadata: IcebirdMetadata };
  const { metadata_location: location, rows } = await tableStatus(service);
  expect(table["metadata-location"]).toBe(location);
  expect(table).toMatchObject({ config: {}, metadata: { "format-version": 2 } });
  const found = await readRows(service, table.metadata);
  expect(found).toHaveLength(rows ?? -1);
  expect(found.filter(({ source }) => source === "/catalog")).toHaveLength(30);
});

test("HEAD tells what is there, without a body", async () => {
  for (const [path, status] of [
    [TABLE, 200],
    ["/namespaces/spillway", 200],
    ["/namespaces/other", 404],
    ["/namespaces/spillway/tables/other", 404],
  ] as const) {
    const response = await call(path, { method: "HEAD" });
    expect([path, response.status, await response.text()]).toEqual([path, status, ""]);
  }
});

test.each([
  ["/namespaces/other", "NoSuchNamespaceException"],
  ["/namespaces/other/tables", "NoSuchNamespaceException"],
  ["/namespaces/spillway/tables/other", "NoSuchTableException"],
  ["/namespaces/other/tables/events", "NoSuchTableException"],
])("GET %s: 404 as %s", async (path, type) => {
  const response = await call(path);
  expect([response.status, await response.json()]).toEqual([
    404,
    { error: { message: expect.stringMatching(/\w/), type, code: 404 } },
  ]);
});

test("nothing can be written by it: 405, and the table stays as it is", async () => {
  const before = await tableStatus(service);
  for (const [method, path] of [
    ["POST", "/namespaces"],
    ["POST", "/namespaces/spillway/tables"],
    ["POST", TABLE],
    ["DELETE", TABLE],
    ["DELETE", "/namespaces/spillway"],
  ] as const) {
    const response = await call(path, { method, ...(method === "POST" ? { body: "{}" } : {}) });
    expect({ method, path, status: response.status }).toEqual({ method, path, status: 405 });
    expect(response.headers.get("allow")).toBe("GET, HEAD, OPTIONS");
  }
  expect(await tableStatus(service)).toEqual(before);
});

test("ids of 63 bits keep their digits: when read, and as the parent of the next snapshot", async () => {
  // As another writer would have left it: the same table, its snapshot under the largest id.
  const { metadata_location: location, snapshot_id: id } = await tableStatus(service);
  const version = Number(/v(\d+)\.metadata\.json$/.exec(location ?? "")?.[1]);
  const text = await (await bucketObject(service, `${TABLE_KEY}/metadata/v${version}.metadata.json`)).text();
  const body = text.replaceAll(new RegExp(`(snapshot-id": ?)${String(id)}`, "g"), `$1${LARGEST_ID}`);
  expect(body).not.toBe(text);
  await bucketObject(service, `${TABLE_KEY}/metadata/v${version + 1}.metadata.json`, { method: "PUT", body });

  expect((await tableStatus(service)).snapshot_id).toBe(LARGEST_ID);
  expect(await (await call(TABLE)).text()).toMatch(new RegExp(`"current-snapshot-id": ?${LARGEST_ID}[,}]`));

  await sendEvents(service, numberedEvents("/catalog", 10, { firstId: 30 }));
  const { snapshot_id: next } = await flushLake(service);
  const after = await (await call(TABLE)).text();
  expect(after).toMatch(new RegExp(`"parent-snapshot-id": ?${LARGEST_ID}[,}]`));
  expect(after).toMatch(new RegExp(`"current-snapshot-id": ?${String(next)}[,}]`));
  expect((await readRows(service)).filter(({ source }) => source === "/catalog")).toHaveLength(40);
});
