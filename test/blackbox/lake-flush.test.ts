/**
 * When shards flush, what happens while they cannot, and what a restart leaves: invariants L1 to L3 of
 * durable-objects/analytics/shard-buffer.ts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { afterEach, expect, test } from "vitest";

import type { AdminStatus } from "../../protocol/admin-report.ts";
import { readRows } from "../fixtures/icebird-lake.ts";
import {
  BATCH,
  flushLake,
  jamTable,
  lakeStatus,
  numberedEvents,
  postEvents,
  sendEvents,
  unjamTable,
  untilStatus,
} from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService, type LakeServiceOptions } from "../fixtures/lake-service.ts";
import { problemOf } from "../fixtures/problems.ts";

const HOUR_MS = 3_600_000;
/** No trigger but the one under test. */
const ONE_SHARD = {
  ICEBERG_SHARDS: 1,
  ICEBERG_BUFFER_SIZE: 20_000,
  ICEBERG_BUFFER_TIMEOUT_MS: HOUR_MS,
  ICEBERG_COMMIT_INTERVAL_MS: 0,
};

let folder: string | undefined;
let service: LakeService | undefined;

afterEach(async () => {
  await service?.kill();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

async function start(vars: LakeServiceOptions["vars"]): Promise<LakeService> {
  folder = mkdtempSync(join(tmpdir(), "spillway-lake-"));
  service = await startLakeService({ persistTo: folder, ...(vars === undefined ? {} : { vars }) });
  return service;
}

/** SIGKILL, and up again over the same storage. */
async function restart(vars: LakeServiceOptions["vars"]): Promise<LakeService> {
  await service?.kill();
  service = await startLakeService({ persistTo: folder ?? "", ...(vars === undefined ? {} : { vars }) });
  return service;
}

const rowCount = ({ table }: AdminStatus): number => table?.rows ?? 0;
const buffered = ({ shards }: AdminStatus): number => shards.reduce((sum, { events }) => sum + events, 0);

async function numbersIn(lake: LakeService, source: string): Promise<number[]> {
  const rows = (await readRows(lake)).filter((row) => row.source === source);
  return rows.map(({ data }) => (JSON.parse(data ?? "") as { n: number }).n).toSorted((left, right) => left - right);
}

async function fillOf(lake: LakeService): Promise<number | undefined> {
  return (await lakeStatus(lake)).shards[0]?.buffer_fill_rate;
}

const counted = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

test("by size, and on demand: everything acknowledged before, as one file of one commit", async () => {
  const lake = await start({ ...ONE_SHARD, ICEBERG_BUFFER_SIZE: 100 });
  await sendEvents(lake, numberedEvents("/size", 99));
  expect(await lakeStatus(lake)).toMatchObject({ shards: [{ events: 99 }], table: { rows: 0 } });
  await sendEvents(lake, numberedEvents("/size", 1, { firstId: 99 }));
  const { table } = await untilStatus(lake, "a flush by size", (status) => rowCount(status) > 0);
  expect(table).toMatchObject({ files: 1, rows: 100 });
  expect(await numbersIn(lake, "/size")).toEqual(counted(100));

  await sendEvents(lake, numberedEvents("/demand", 50));
  expect(rowCount(await lakeStatus(lake))).toBe(100);
  const report = await flushLake(lake);
  expect(report).toMatchObject({ committed_files: 1, remaining_events: 0, staged_files: 0 });
  expect(report.committed_records).toBeGreaterThanOrEqual(50);
  expect(await numbersIn(lake, "/demand")).toEqual(counted(50));
});

test("by age, which steady traffic does not postpone (L3)", async () => {
  const lake = await start({ ...ONE_SHARD, ICEBERG_BUFFER_TIMEOUT_MS: 1500 });
  const startedAt = performance.now();
  let sent = 0;
  // Each event comes long before the one before it is due: a timer that began anew would never end.
  while (rowCount(await lakeStatus(lake)) === 0) {
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    await sendEvents(lake, numberedEvents("/age", 1, { firstId: sent++ }));
    await wait(20);
  }
  expect(performance.now() - startedAt).toBeGreaterThan(1400);
  expect(sent).toBeGreaterThan(5);
  await flushLake(lake);
  expect(await numbersIn(lake, "/age")).toEqual(counted(sent));
});

test("a full shard: 429 with Retry-After, its fill known, retried by itself, nothing lost or twice (L1, L2)", async () => {
  const lake = await start({ ...ONE_SHARD, ICEBERG_SHARD_MAX_EVENTS: 10_000 });
  await jamTable(lake);
  await sendEvents(lake, numberedEvents("/full", 5000));
  // The shard's own telemetry takes room, too: a few events beside ours.
  expect(await fillOf(lake)).toBeCloseTo(0.5, 2);
  await sendEvents(lake, numberedEvents("/full", 4950, { firstId: 5000 }));
  expect(await fillOf(lake)).toBeCloseTo(0.995, 2);

  const more = JSON.stringify([...numberedEvents("/full", 50, { firstId: 9950 }), ...numberedEvents("/full", 3)]);
  const refused = await postEvents(lake, more, { "Content-Type": BATCH });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await problemOf(refused)).toMatchObject({ status: 429, code: "buffer_full", accepted: 0, rejected: [] });
  // What has been taken needs no room: a producer that goes on after 429 is told so.
  expect(await sendEvents(lake, numberedEvents("/full", 3))).toMatchObject({ accepted: 0, duplicates: 3 });
  expect(await lakeStatus(lake)).toMatchObject({
    shards: [
      {
        pending_batches: 1,
        last_error: expect.stringMatching(/\w/),
        next_attempt_at: expect.stringMatching(/^\d{4}-/),
      },
    ],
  });

  await unjamTable(lake);
  // By itself: nobody asks for a flush.
  await untilStatus(lake, "the next attempt", (status) => rowCount(status) >= 9950);
  expect(await lakeStatus(lake)).toMatchObject({ shards: [{ last_error: null, next_attempt_at: null }] });
  const taken = await postEvents(lake, more, { "Content-Type": BATCH });
  expect([taken.status, await taken.json()]).toEqual([202, { accepted: 50, duplicates: 3, rejected: [] }]);
  await flushLake(lake);
  expect(await numbersIn(lake, "/full")).toEqual(counted(10_000));
  expect(await fillOf(lake)).toBeLessThan(0.01);
});

test("SIGKILL with events buffered: there afterwards, and known; fewer shards then strand nothing (L1)", async () => {
  const vars = { ICEBERG_BUFFER_SIZE: 20_000, ICEBERG_BUFFER_TIMEOUT_MS: HOUR_MS, ICEBERG_SHARDS: 4 };
  let lake = await start(vars);
  await sendEvents(lake, numberedEvents("/killed", 60));
  await flushLake(lake);
  await sendEvents(lake, numberedEvents("/killed", 60, { firstId: 60 }));
  lake = await restart(vars);
  expect(buffered(await lakeStatus(lake))).toBeGreaterThanOrEqual(60);
  expect(await sendEvents(lake, numberedEvents("/killed", 200))).toEqual({
    accepted: 80,
    duplicates: 120,
    rejected: [],
  });
  const before = (await lakeStatus(lake)).shards.map(({ name, events }) => ({ name, events }));
  expect(before.map(({ events }) => events > 0)).toEqual([true, true, true, true]);

  lake = await restart({ ...vars, ICEBERG_SHARDS: 1 });
  expect((await lakeStatus(lake)).shards).toMatchObject(before);
  await sendEvents(lake, numberedEvents("/killed", 50, { firstId: 200 }));
  const report = await flushLake(lake);
  expect(report).toMatchObject({ remaining_events: 0, failed: [] });
  expect(report.shards).toHaveLength(4);
  expect(await numbersIn(lake, "/killed")).toEqual(counted(250));
  const late = (await readRows(lake)).filter(({ source, id }) => source === "/killed" && Number(id) >= 200);
  expect(new Set(late.map(({ shard }) => shard.split("-")[0]))).toEqual(new Set(["0"]));
});
