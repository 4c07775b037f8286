/**
 * `/admin/*` of the lake: who may, what is answered, and which failure is named.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import { listLiveFiles, readRows } from "../fixtures/icebird-lake.ts";
import {
  bucketObject,
  callAdmin,
  flushLake,
  jamTable,
  lakeStatus,
  numberedEvents,
  sendEvents,
  TABLE_KEY,
  tableStatus,
  unjamTable,
} from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { problemOf } from "../fixtures/problems.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const ACTIONS = [
  ["POST", "flush"],
  ["GET", "status"],
  ["POST", "compact"],
  ["POST", "expire-snapshots"],
] as const;

let service: LakeService;
/** Whose table cannot be reached, until a test puts that right. */
let jammed: LakeService;
beforeAll(async () => {
  const vars = { ICEBERG_SHARDS: 2, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 };
  [service, jammed] = await Promise.all([startLakeService({ vars }), startLakeService({ vars })]);
  await jamTable(jammed);
});
afterAll(async () => {
  await Promise.all([service.stop(), jammed.stop()]);
});

test("207 while the table cannot be reached, naming every shard that failed; 200 once it can", async () => {
  await sendEvents(jammed, numberedEvents("/jammed", 50));
  const response = await callAdmin(jammed, "flush");
  const report = (await response.json()) as AdminFlushReport;
  expect(response.status).toBe(207);
  expect(report).toMatchObject({
    ok: false,
    failed: ["shard-0", "shard-1"],
    snapshot_id: null,
    committed_files: 0,
    staged_files: 0,
    shards: [0, 1].map((index) => ({ name: `shard-${index}`, events: 0, error: expect.stringMatching(/\w/) })),
  });
  expect(report.remaining_events).toBeGreaterThanOrEqual(50);
  const status = await lakeStatus(jammed);
  expect(status.table).toMatchObject({ rows: null, files: null, last_error: expect.stringMatching(/version/) });
  expect(status.shards).toMatchObject([0, 1].map(() => ({ pending_batches: 1, last_error: expect.any(String) })));

  await unjamTable(jammed);
  expect(await flushLake(jammed)).toMatchObject({ ok: true, failed: [] });
  expect((await readRows(jammed)).filter(({ source }) => source === "/jammed")).toHaveLength(50);
});

test("207 naming the commit that failed, while every shard has delivered", async () => {
  await sendEvents(service, numberedEvents("/uncommitted", 20));
  await flushLake(service);
  const { metadata_location: location, rows } = await tableStatus(service);
  const version = Number(/v(\d+)\.metadata\.json$/.exec(location ?? "")?.[1]);
  // The newest metadata, as a foreign writer of a later format would leave it.
  const next = `${TABLE_KEY}/metadata/v${version + 1}.metadata.json`;
  await bucketObject(service, next, { method: "PUT", body: '{"format-version":9}' });
  try {
    await sendEvents(service, numberedEvents("/uncommitted", 20, { firstId: 20 }));
    const response = await callAdmin(service, "flush");
    expect(response.status).toBe(207);
    const report = (await response.json()) as AdminFlushReport;
    expect(report).toMatchObject({ ok: false, failed: [], snapshot_id: null, committed_files: 0 });
    expect(report.commit_error).toMatch(/format version 9/);
    expect(report.staged_files).toBeGreaterThan(0);
  } finally {
    await bucketObject(service, next, { method: "DELETE" });
  }
  await flushLake(service);
  expect((await tableStatus(service)).rows).toBeGreaterThanOrEqual((rows ?? 0) + 20);
  expect((await readRows(service)).filter(({ source }) => source === "/uncommitted")).toHaveLength(40);
});

describe("the token", () => {
  test.each(ACTIONS)("%s /admin/%s without it, or with another: 401 and a challenge", async (method, action) => {
    for (const authorization of [undefined, "Bearer wrong", `Basic ${TEST_SECRETS.ADMIN_TOKEN}`]) {
      const headers = authorization === undefined ? {} : { Authorization: authorization };
      const response = await fetch(`${service.origin}/admin/${action}`, { method, headers });
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="spillway"');
      expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthorized" });
    }
  });

  test("no other key opens it", async () => {
    for (const key of [TEST_SECRETS.ICEBERG_READ_TOKEN, "test-ingest-key-acme"]) {
      const response = await callAdmin(service, "flush", { headers: { Authorization: `Bearer ${key}` } });
      expect(await problemOf(response)).toMatchObject({ status: 401 });
    }
  });

  test.each(ACTIONS)("%s /admin/%s is not served to other methods", async (method, action) => {
    const response = await callAdmin(service, action, { method: method === "GET" ? "POST" : "GET" });
    expect(response.headers.get("allow")).toBe(`${method}, OPTIONS`);
    expect(await problemOf(response)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });
});

test("POST /admin/flush: every shard with its events, files and bytes, the snapshot, and what remains", async () => {
  await flushLake(service);
  const before = await tableStatus(service);
  await sendEvents(service, numberedEvents("/report", 40));
  const response = await callAdmin(service, "flush");
  expect(response.headers.get("cache-control")).toBe("no-store");
  const report = (await response.json()) as AdminFlushReport;
  expect(response.status).toBe(200);
  const { shards, ...rest } = report;
  expect(rest).toEqual({
    ok: true,
    failed: [],
    snapshot_id: expect.stringMatching(/^[1-9]\d*$/),
    committed_files: shards.reduce((sum, { files }) => sum + files, 0),
    committed_records: shards.reduce((sum, { events }) => sum + events, 0),
    remaining_events: expect.any(Number),
    staged_files: 0,
    commit_error: null,
  });
  for (const [index, shard] of shards.entries()) {
    expect(shard).toEqual({
      name: `shard-${index}`,
      shard: expect.stringMatching(new RegExp(`^${index}-[0-9a-f]{8}$`)),
      events: expect.any(Number),
      files: expect.any(Number),
      bytes: expect.any(Number),
      remaining: expect.any(Number),
      error: null,
    });
    expect([shard.events, shard.files, shard.bytes].every((figure) => figure > 0)).toBe(true);
  }
  expect(rest.committed_records).toBeGreaterThanOrEqual(40);
  const after = await tableStatus(service);
  expect(after).toMatchObject({
    snapshot_id: report.snapshot_id,
    snapshots: before.snapshots + 1,
    files: (before.files ?? 0) + rest.committed_files,
    rows: (before.rows ?? 0) + rest.committed_records,
  });
});

test("GET /admin/status: every field of every shard and of the table", async () => {
  const flushedAt = Date.now();
  await sendEvents(service, numberedEvents("/status", 10));
  await flushLake(service);
  await sendEvents(service, numberedEvents("/status", 20, { firstId: 10 }));
  const response = await callAdmin(service, "status", { method: "GET" });
  expect(response.headers.get("cache-control")).toBe("no-store");
  const status = await lakeStatus(service);
  expect(status).toEqual({
    sink: "iceberg",
    shards: [0, 1].map((index) => ({
      name: `shard-${index}`,
      is_reachable: true,
      shard: expect.stringMatching(new RegExp(`^${index}-[0-9a-f]{8}$`)),
      events: expect.any(Number),
      bytes: expect.any(Number),
      buffer_fill_rate: expect.any(Number),
      oldest_age_ms: expect.any(Number),
      pending_batches: 0,
      dead_letters: 0,
      last_flush_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      last_error: null,
      next_attempt_at: null,
    })),
    table: {
      table: "spillway.events",
      catalog: "r2",
      location: "s3://spillway-lake/warehouse/spillway/events",
      metadata_location: expect.stringMatching(/^s3:\/\/spillway-lake\/.*\/metadata\/v\d+\.metadata\.json$/),
      snapshot_id: expect.stringMatching(/^\d+$/),
      snapshots: expect.any(Number),
      files: expect.any(Number),
      rows: expect.any(Number),
      staged_files: 0,
      last_commit_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      last_error: null,
      next_attempt_at: null,
    },
    table_error: null,
  });
  expect(status.shards.reduce((sum, { events }) => sum + events, 0)).toBeGreaterThanOrEqual(20);
  expect(status.shards.every(({ events, bytes }) => events > 0 && bytes > 0)).toBe(true);
  expect(Date.parse(status.table?.last_commit_at ?? "")).toBeGreaterThanOrEqual(flushedAt - 1000);
});

test("POST /admin/compact: small files become few, with the same rows", async () => {
  for (let round = 0; round < 4; round++) {
    await sendEvents(service, numberedEvents("/compact", 10, { firstId: round * 10 }));
    await flushLake(service);
  }
  const before = (await readRows(service)).filter(({ source }) => source === "/compact");
  const files = await listLiveFiles(service);
  const response = await callAdmin(service, "compact");
  const report = (await response.json()) as Record<string, number | string>;
  expect(response.status).toBe(200);
  expect(report).toMatchObject({ ok: true, reason: null, remaining_files: 0 });
  expect(Number(report["rewritten_files"])).toBeGreaterThanOrEqual(8);
  expect(await tableStatus(service)).toMatchObject({
    snapshot_id: report["snapshot_id"],
    files: files.length - Number(report["rewritten_files"]) + Number(report["added_files"]),
  });
  expect(await listLiveFiles(service)).toHaveLength((await tableStatus(service)).files ?? -1);
  const after = (await readRows(service)).filter(({ source }) => source === "/compact");
  const bySeq = (rows: typeof after) => rows.map((row) => `${row.shard} ${row.seq} ${row.id} ${row.data}`).toSorted();
  expect(bySeq(after)).toEqual(bySeq(before));
  const again = (await (await callAdmin(service, "compact")).json()) as object;
  expect(again).toMatchObject({ ok: true, rewritten_files: 0, added_files: 0 });
});

test("POST /admin/expire-snapshots?keep=2: the two newest stay, and the rows with them", async () => {
  for (let round = 0; round < 3; round++) {
    await sendEvents(service, numberedEvents("/expire", 5, { firstId: round * 5 }));
    await flushLake(service);
  }
  const { snapshots, rows, snapshot_id: current } = await tableStatus(service);
  const response = await callAdmin(service, "expire-snapshots?keep=2");
  expect([response.status, await response.json()]).toEqual([
    200,
    {
      ok: true,
      expired_snapshots: snapshots - 2,
      deleted_objects: 0,
      // Nothing is deleted before it has lain unreferenced for an hour at the least.
      kept_young_objects: expect.any(Number),
      reason: null,
    },
  ]);
  expect(await tableStatus(service)).toMatchObject({ snapshots: 2, rows, snapshot_id: current });
  expect((await readRows(service)).filter(({ source }) => source === "/expire")).toHaveLength(15);
});

test.each(["0", "1001", "-1", "1.5", "many", ""])("keep=%s: 400, and no snapshot goes", async (keep) => {
  const { snapshots } = await tableStatus(service);
  const problem = await problemOf(await callAdmin(service, `expire-snapshots?keep=${keep}`));
  expect(problem).toMatchObject({ status: 400, code: "invalid_request", field: "keep" });
  expect((await tableStatus(service)).snapshots).toBe(snapshots);
});
