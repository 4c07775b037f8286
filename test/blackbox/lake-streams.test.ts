/**
 * What streams and operators do, as rows of the table; and streams beside a lake that is down.
 */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { forge } from "../fixtures/forged-tokens.ts";
import { openDuckDbLake, type DuckDbLake, type LakeRecord } from "../fixtures/duckdb-lake.ts";
import { BATCH, callAdmin, flushLake, lakeStatus, numberedEvents, postEvents } from "../fixtures/lake-client.ts";
import { freePort, startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readStream, resumeStream } from "../fixtures/sse-reading.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";

const CLIENT_KEYS = '{"acme":["client-key-of-acme"],"globex":["client-key-of-globex"]}';
const AS_ACME = { Authorization: "Bearer client-key-of-acme" };
const UPSTREAM_KEY = "upstream-key-9b2d";
const EVENTS = 40;

/** As long as a telemetry hand-off may wait at a full shard: a stream that waited for one would show it. */
const FULL_WAIT_MS = 5000;

let lake: LakeService;
let downLake: LakeService;
let upstream: Upstream;
let duckdb: DuckDbLake;

beforeAll(async () => {
  upstream = await startUpstream();
  duckdb = await openDuckDbLake();
  const told = { name: "told", upstream: upstream.origin, allowGet: true, headers: { "X-Key": "${UPSTREAM_KEY}" } };
  const ROUTES = [told, { name: "demo", upstream: "builtin:demo", allowGet: true }];
  const down = {
    ICEBERG_CATALOG: "rest",
    ICEBERG_REST_URI: `http://127.0.0.1:${await freePort()}`,
    ICEBERG_WAREHOUSE: "nowhere",
    ICEBERG_SHARDS: 1,
    ICEBERG_SHARD_MAX_EVENTS: 10_000,
    ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000,
  };
  [lake, downLake] = await Promise.all([
    startLakeService({ vars: { ROUTES, UPSTREAM_KEY, CLIENT_AUTH: "bearer", CLIENT_KEYS } }),
    startLakeService({ vars: down }),
  ]);
});

afterAll(async () => {
  duckdb.close();
  await Promise.all([lake.kill(), downLake.kill()]);
  await upstream.stop();
});

/** Flushes until such a row is in the table: telemetry is gathered for a second before it is handed over. */
async function untilTold(isIt: (row: LakeRecord) => boolean): Promise<LakeRecord[]> {
  let rows: LakeRecord[] = [];
  const look = async () => {
    await flushLake(lake);
    await duckdb.refresh(lake);
    rows = await duckdb.rows();
    return rows.some(isIt);
  };
  await vi.waitUntil(look, { timeout: 30_000, interval: 700 });
  return rows;
}

const dataOf = ({ data }: LakeRecord): Record<string, unknown> => JSON.parse(data ?? "{}") as Record<string, unknown>;

test.concurrent("a stream that was cut and resumed: each step a row with its request, tenant and figures", async () => {
  const start = `${lake.origin}/demo/stream?events=${EVENTS}&rate=10`;
  const reading = await readStream(start, { headers: { ...AS_ACME, "X-Correlation-Id": "visit-7" } });
  await reading.untilContent(10);
  reading.cut();
  const position = reading.content[9]?.id ?? "";
  const resumed = await resumeStream(`${lake.origin}/demo/resume`, reading.token, position);
  await resumed.toEnd();
  expect(resumed.content).toHaveLength(EVENTS - 10);
  const refused = await fetch(`${lake.origin}/demo/resume`, {
    headers: { "X-Resume-Token": await forge(reading.token, { exp: 1000 }) },
  });
  expect(refused.status).toBe(410);

  const isOurs = (row: LakeRecord) => row.request_id === reading.requestId;
  await untilTold((row) => isOurs(row) && row.type === "SseStreamEnded");
  const rows = await untilTold((row) => row.type === "SseResumeFailed");
  const own = rows.filter(isOurs);
  const only = (type: string) => {
    const [row, ...others] = own.filter((found) => found.type === type);
    expect({ type, others }).toEqual({ type, others: [] });
    if (row === undefined) throw new Error(`no row of type ${type}`);
    return row;
  };
  for (const row of own) expect(row).toMatchObject({ tenant: "acme", source: "spillway/streams/demo" });
  expect(only("SseStreamStarted")).toMatchObject({ subject: "visit-7", extensions: null });
  expect(dataOf(only("SseResumeAttempt"))).toMatchObject({ position, route: "demo" });
  expect(dataOf(only("SseResumeSuccess"))).toMatchObject({ position, replayed_events: expect.any(Number) });
  const ended = dataOf(only("SseStreamEnded"));
  expect(ended).toMatchObject({ state: "completed", events: EVENTS, trimmed_events: 0, resumes: 1 });
  expect(ended["duration_ms"]).toBeGreaterThan(300);
  const times = ["SseStreamStarted", "SseResumeAttempt", "SseResumeSuccess", "SseStreamEnded"].map((type) =>
    Date.parse(only(type).time),
  );
  expect(times).toEqual(times.toSorted((left, right) => left - right));
  const failed = rows.filter(({ type }) => type === "SseResumeFailed");
  expect(failed.map(dataOf)).toContainEqual({ code: "token_expired" });
});

test.concurrent("admin actions, done and refused, and what flushes and commits did", async () => {
  await postEvents(lake, JSON.stringify(numberedEvents("/told", 10)), { "Content-Type": BATCH });
  await flushLake(lake);
  await callAdmin(lake, "compact");
  await callAdmin(lake, "expire-snapshots?keep=0");
  await callAdmin(lake, "flush", { headers: { Authorization: "Bearer wrong" } });
  const isAction = (action: string, actor: string, result: string) => (row: LakeRecord) =>
    row.type === (actor === "unknown" ? "AdminRefused" : "AdminAction") &&
    JSON.stringify(dataOf(row)) === JSON.stringify({ action, actor, result }) &&
    row.tenant === "spillway" &&
    row.request_id === null;
  await untilTold(isAction("flush", "unknown", "unauthorized"));
  await untilTold(isAction("expire-snapshots", "admin", "400"));
  await untilTold(isAction("compact", "admin", "200"));
  await untilTold(isAction("flush", "admin", "200"));
  const rows = await untilTold(({ type }) => type === "IcebergCommitted");
  expect(rows.filter(({ type }) => type === "IcebergCommitted").map(dataOf)).toContainEqual(
    expect.objectContaining({ operation: "append", snapshot_id: expect.stringMatching(/^\d+$/) }),
  );
  const flushes = rows.filter(({ type }) => type === "BufferFlushSucceeded").map(dataOf);
  expect(flushes.length).toBeGreaterThanOrEqual(1);
  for (const flush of flushes) expect(flush).toMatchObject({ shard: expect.any(String), files: expect.any(Number) });
});

test.concurrent("no row holds a token, a key, a secret or a payload", async () => {
  const mark = `marker-${randomUUID()}`;
  upstream.handle(sendChunks([`event: ${mark}\ndata: ${mark}\n\n`]));
  const reading = await readStream(`${lake.origin}/told/stream?q=${mark}`, {
    method: "POST",
    headers: { ...AS_ACME, "Idempotency-Key": `${mark}-idempotency` },
    body: mark,
  });
  await reading.toEnd();
  expect(reading.data).toEqual([mark]);
  expect(upstream.calls.at(-1)).toMatchObject({ body: mark });
  await (await readStream(`${lake.origin}/told/resume?token=${reading.token}&q=${mark}`)).toEnd();
  await fetch(`${lake.origin}/told/resume?token=${reading.token}&last_event_id=${mark}`);
  await fetch(`${lake.origin}/told/resume?token=${mark}`);
  await fetch(`${lake.origin}/${mark}`);
  await callAdmin(lake, `flush?q=${mark}`);
  await callAdmin(lake, "flush", { headers: { Authorization: `Bearer ${mark}` } });

  for (const type of ["SseStreamEnded", "SseResumeSuccess", "SseResumeFailed", "AdminAction"]) {
    await untilTold((row) => row.type === type);
  }
  const text = JSON.stringify(await duckdb.query("SELECT events::VARCHAR AS row FROM events"));
  expect(text).toContain(reading.requestId);
  const [, , signature = mark] = reading.token.split(".");
  for (const secret of [...Object.values(TEST_SECRETS), UPSTREAM_KEY, "client-key", mark, "eyJ", signature]) {
    expect(text).not.toContain(secret);
  }
});

test.concurrent("a lake that is down and full: streams run and resume as ever, and what is not told is counted", async () => {
  // Until nothing more goes in: telemetry of the lake itself takes the last places.
  const fill = async (from: number, count: number) =>
    (
      await postEvents(downLake, JSON.stringify(numberedEvents("/fill", count, { firstId: from })), {
        "Content-Type": BATCH,
      })
    ).status;
  expect(await fill(0, 9900)).toBe(202);
  for (let next = 9900; (await fill(next, 10)) === 202; next += 10) expect(next).toBeLessThan(10_000);
  for (let next = 20_000; (await fill(next, 1)) === 202; next++) expect(next).toBeLessThan(20_010);

  const startedAt = performance.now();
  const reading = await readStream(`${downLake.origin}/demo/stream?events=200&rate=0`);
  await reading.untilContent(50);
  reading.cut();
  const resumed = await resumeStream(`${downLake.origin}/demo/resume`, reading.token, reading.content[49]?.id);
  expect(await resumed.toEnd()).toBe("closed");
  expect(resumed.content).toHaveLength(150);
  expect(resumed.control("end")).toMatchObject([{ status: "complete" }]);
  expect(performance.now() - startedAt).toBeLessThan(FULL_WAIT_MS);

  const { shards, table } = await lakeStatus(downLake);
  expect(shards).toMatchObject([{ is_reachable: true, last_error: expect.stringMatching(/\w/) }]);
  expect(table).toMatchObject({ catalog: "rest", rows: null, last_error: expect.stringMatching(/\w/) });
  const dropped = () => downLake.lines.filter((line) => line.includes('"TelemetryDropped"'));
  await vi.waitUntil(() => dropped().length > 0, { timeout: 45_000, interval: 100 });
  expect(JSON.parse(dropped()[0] ?? "{}")).toMatchObject({ reason: "not_delivered", events: expect.any(Number) });
});
