/**
 * `ANALYTICS_SINK=pipelines`: events go to a pipeline instead of our own files, at least once, told apart by
 * `shard` and `seq`. A Worker under the same interface stands in for the pipeline.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import { callAdmin, flushLake, lakeStatus, numberedEvents, sendEvents, untilStatus } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { startUpstream, type Upstream, type UpstreamHandler } from "../fixtures/upstream.ts";

const MIB = 1_048_576;

type PipelineRecord = Readonly<Record<string, unknown>>;

let folder: string;
let pipeline: Upstream;
let service: LakeService;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "spillway-pipelines-"));
  pipeline = await startUpstream();
  service = await start();
});

/** Each test finds a pipeline that takes, and shards that have delivered. */
beforeEach(async () => {
  pipeline.handle(take);
  await flushLake(service);
});

afterAll(async () => {
  await service.kill();
  await pipeline.stop();
  rmSync(folder, { recursive: true, force: true });
});

function start(shards = 2): Promise<LakeService> {
  return startLakeService({
    persistTo: folder,
    pipelineUrl: pipeline.origin,
    vars: { ANALYTICS_SINK: "pipelines", ICEBERG_SHARDS: shards, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 },
  });
}

const fail: UpstreamHandler = (_, response) => void response.writeHead(503).end();
const take: UpstreamHandler = (_, response) => void response.end();

function recordsOf(source: string): PipelineRecord[] {
  const records = pipeline.calls.flatMap(({ body }) => JSON.parse(body) as PipelineRecord[]);
  return records.filter((record) => record["source"] === source);
}

const numbersOf = (records: readonly PipelineRecord[]): number[] =>
  records.map(({ id }) => Number(id)).toSorted((left, right) => left - right);
const keyOf = ({ id, shard, seq }: PipelineRecord): string => `${String(id)} ${String(shard)} ${String(seq)}`;
const counted = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

test("every event arrives, with the table's columns, and no file is written", async () => {
  const attributes = { time: "2026-11-20T10:00:00.123456Z", subject: "s", requestid: "r", colour: "green" };
  await sendEvents(service, numberedEvents("/pipe", 300, attributes));
  const report = await flushLake(service);
  expect(report).toMatchObject({ ok: true, failed: [], snapshot_id: null, remaining_events: 0 });
  expect(report.shards).toMatchObject([0, 1].map(() => ({ files: 0, error: null })));
  const records = recordsOf("/pipe");
  expect(numbersOf(records)).toEqual(counted(300));
  expect(records.find(({ id }) => id === "7")).toEqual({
    id: "7",
    source: "/pipe",
    type: "test.numbered",
    subject: "s",
    time: "2026-11-20T10:00:00.123456Z",
    request_id: "r",
    tenant: "acme",
    data: '{"n":7}',
    extensions: '{"colour":"green"}',
    ingest_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    shard: expect.stringMatching(/^[01]-[0-9a-f]{8}$/),
    seq: expect.any(Number),
  });
  expect(await lakeStatus(service)).toMatchObject({ sink: "pipelines", table: null, table_error: null });
  const listing = await (await fetch(`${service.s3Origin}/${service.bucket}?list-type=2`)).text();
  expect(listing).not.toContain("<Key>");
});

test("a pipeline that fails: named, backed off, and nothing lost once it is back", async () => {
  pipeline.handle(fail);
  await sendEvents(service, numberedEvents("/down", 100));
  const response = await callAdmin(service, "flush");
  const report = (await response.json()) as AdminFlushReport;
  expect([response.status, report.failed]).toEqual([207, ["shard-0", "shard-1"]]);
  expect(report.remaining_events).toBeGreaterThanOrEqual(100);
  const { shards } = await lakeStatus(service);
  for (const shard of shards) {
    expect(shard).toMatchObject({ pending_batches: 1, last_error: expect.stringContaining("503") });
    // Half a second to a second after the first failure.
    const waitMs = Date.parse(shard.next_attempt_at ?? "") - Date.now();
    expect(waitMs).toBeLessThan(1100);
  }
  // By itself: two more failures of each shard take more than a second, each wait longer than the last.
  const calls = pipeline.calls.length;
  await expect.poll(() => pipeline.calls.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(calls + 4);
  pipeline.handle(take);
  const given = pipeline.calls.length;
  await untilStatus(service, "both shards to deliver", (status) =>
    status.shards.every(({ pending_batches: pending, last_error: error }) => pending === 0 && error === null),
  );
  const taken = pipeline.calls.slice(given).flatMap(({ body }) => JSON.parse(body) as PipelineRecord[]);
  expect(numbersOf(taken.filter(({ source }) => source === "/down"))).toEqual(counted(100));
});

test("taken, but answered with an error: sent again, and told apart by shard and seq", async () => {
  pipeline.handle(fail);
  await sendEvents(service, numberedEvents("/twice", 60));
  expect((await callAdmin(service, "flush")).status).toBe(207);
  pipeline.handle(take);
  await flushLake(service);
  const records = recordsOf("/twice");
  expect(numbersOf(records)).toEqual(counted(120).map((n) => Math.floor(n / 2)));
  const once = new Map(records.map((record) => [`${String(record["shard"])}:${String(record["seq"])}`, record]));
  expect(numbersOf([...once.values()])).toEqual(counted(60));
});

test("SIGKILL with batches undelivered, and fewer shards then: delivered on demand, under the same seqs", async () => {
  pipeline.handle(fail);
  await sendEvents(service, numberedEvents("/killed", 50));
  await callAdmin(service, "flush");
  const before = recordsOf("/killed");
  await service.kill();
  pipeline.handle(take);
  const given = pipeline.calls.length;
  service = await start(1);
  expect((await flushLake(service)).shards).toMatchObject([{ name: "shard-0" }, { name: "shard-1" }]);
  const after = pipeline.calls.slice(given).flatMap(({ body }) => JSON.parse(body) as PipelineRecord[]);
  const delivered = after.filter(({ source }) => source === "/killed").map(keyOf);
  expect(new Set(delivered)).toEqual(new Set(before.map(keyOf)));
  await service.kill();
  service = await start();
  expect(await sendEvents(service, numberedEvents("/killed", 50))).toMatchObject({ accepted: 0, duplicates: 50 });
});

test("an event that no pipeline takes is a dead letter, and holds up none behind it", async () => {
  const large = { specversion: "1.0", id: "large", source: "/large", type: "t", data: "x".repeat(MIB - 100) };
  await sendEvents(service, [large, ...numberedEvents("/large", 20)]);
  await flushLake(service);
  expect(numbersOf(recordsOf("/large"))).toEqual(counted(20));
  const { shards } = await lakeStatus(service);
  expect(shards.reduce((sum, { dead_letters: letters }) => sum + letters, 0)).toBe(1);
});
