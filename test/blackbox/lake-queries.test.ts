/**
 * The queries of docs/queries.md, run as they stand there, over what real streams, refused resumes and senders
 * have left in the table.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { openDuckDbLake, type DuckDbLake } from "../fixtures/duckdb-lake.ts";
import { forge } from "../fixtures/forged-tokens.ts";
import { flushLake, GLOBEX_KEY, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readmeQueries } from "../fixtures/readme-queries.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";

const DOCUMENT = readFileSync(resolve(import.meta.dirname, "../../docs/queries.md"), "utf8");
const CLIENT_KEYS = '{"acme":["client-key-of-acme"],"globex":["client-key-of-globex"]}';
const BUFFER_EVENTS = 16;
const DAY_MS = 86_400_000;

/** Queries of an engine by their name. */
function queriesOf(engine: string): Map<string, string> {
  const blocks = DOCUMENT.matchAll(/```sql\n-- (\w+): (.+)\n([^]*?)```/g);
  return new Map([...blocks].flatMap(([, of, name, sql]) => (of === engine ? [[name ?? "", sql ?? ""]] : [])));
}

const duckdbQueries = queriesOf("duckdb");
let service: LakeService;
let duckdb: DuckDbLake;
let long: SseReading;
let quick: SseReading;

/** Two streams of acme and one of globex; four resumes, of which two are refused; events of both. */
beforeAll(async () => {
  const vars = { CLIENT_AUTH: "bearer", CLIENT_KEYS, SSE_BUFFER_MAX_EVENTS: BUFFER_EVENTS };
  [service, duckdb] = await Promise.all([startLakeService({ vars }), openDuckDbLake()]);
  const start = (query: string, tenant: string) =>
    readStream(`${service.origin}/demo/stream?${query}`, {
      headers: { Authorization: `Bearer client-key-of-${tenant}` },
    });
  const resume = (token: string, position?: string) => resumeStream(`${service.origin}/demo/resume`, token, position);
  long = await start("events=60&rate=60", "acme");
  await long.untilContent(5);
  long.cut();
  const resumed = await resume(long.token, long.content.at(-1)?.id);
  await resumed.toEnd();
  await (await resume(long.token, resumed.content.at(-4)?.id)).toEnd();
  quick = await start("events=5&rate=0", "globex");
  await quick.toEnd();
  await (await start("events=10&rate=0", "acme")).toEnd();
  for (const claims of [{ exp: 1000 }, { rte: "assist/draft-graph" }]) {
    await (await resume(await forge(long.token, claims))).toEnd();
  }
  await sendEvents(service, numberedEvents("/shop", 30));
  await sendEvents(service, numberedEvents("/shop", 12), GLOBEX_KEY);
  // Too old for every query.
  const time = new Date(Date.now() - 30 * DAY_MS).toISOString();
  await sendEvents(service, numberedEvents("/old", 7, { time }), GLOBEX_KEY);
  // Telemetry is gathered before it is handed over.
  const types = "'SseStreamEnded', 'SseResumeSuccess', 'SseResumeFailed'";
  const told = `SELECT count(*)::INT AS told FROM events WHERE type IN (${types})`;
  const look = async () => {
    await flushLake(service);
    await duckdb.refresh(service);
    return (await duckdb.query(told))[0]?.["told"];
  };
  await vi.waitUntil(async () => (await look()) === 7, { timeout: 20_000, interval: 200 });
});

afterAll(async () => {
  duckdb.close();
  await service.kill();
});

/** Runs a query of the document; whole numbers as numbers. */
async function ask(name: string): Promise<Record<string, unknown>[]> {
  const sql = duckdbQueries.get(name);
  if (sql === undefined) throw new Error(`docs/queries.md has no DuckDB query "${name}"`);
  const rows = await duckdb.query(sql);
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [key, typeof value === "bigint" ? Number(value) : value]),
    ),
  );
}

/** A column's sum: what was done may lie on both sides of an hour. */
function sumOf(rows: readonly Record<string, unknown>[], column: string): number {
  return rows.reduce((sum, row) => sum + Number(row[column]), 0);
}

test("every query is there for both engines, and each of them has a test here", () => {
  expect([...duckdbQueries.keys()]).toEqual([...queriesOf("clickhouse").keys()]);
  expect([...duckdbQueries.keys()]).toEqual([
    "resume success rate per hour",
    "trim rate per hour",
    "slowest streams",
    "events per tenant",
    "refused resumes by reason",
  ]);
});

test("resume success rate per hour", async () => {
  const rows = await ask("resume success rate per hour");
  expect([sumOf(rows, "succeeded"), sumOf(rows, "refused")]).toEqual([2, 2]);
  for (const { succeeded, refused, success_rate: rate } of rows) {
    expect(rate).toBeCloseTo(Number(succeeded) / (Number(succeeded) + Number(refused)), 4);
  }
});

test("trim rate per hour", async () => {
  const rows = await ask("trim rate per hour");
  expect([sumOf(rows, "streams"), sumOf(rows, "trimmed_streams")]).toEqual([3, 1]);
  expect(sumOf(rows, "trimmed_events")).toBe(60 - BUFFER_EVENTS);
  const trimmed = rows.filter((row) => row["trimmed_streams"] === 1);
  // Alone in its hour, or beside the short ones.
  const shares = [60, 65, 70, 75].map((events) => Number(((60 - BUFFER_EVENTS) / events).toFixed(4)));
  expect(shares).toContain(trimmed[0]?.["trim_rate"]);
});

test("slowest streams", async () => {
  const rows = await ask("slowest streams");
  expect(rows).toHaveLength(3);
  expect(rows[0]).toEqual({
    request_id: long.requestId,
    tenant: "acme",
    route: "demo",
    state: "completed",
    duration_ms: expect.any(Number),
    stream_events: 60,
    resumes: expect.any(Number),
  });
  expect(rows[0]?.["duration_ms"]).toBeGreaterThan(700);
  const durations = rows.map((row) => Number(row["duration_ms"]));
  expect(durations).toEqual(durations.toSorted((left, right) => right - left));
  expect(rows.find((row) => row["request_id"] === quick.requestId)).toMatchObject({
    tenant: "globex",
    stream_events: 5,
    resumes: 0,
  });
});

test("events per tenant", async () => {
  const rows = await ask("events per tenant");
  const byTenant = new Map(rows.map((row) => [row["tenant"], row]));
  expect(new Set(byTenant.keys())).toEqual(new Set(["acme", "globex", "spillway"]));
  expect(byTenant.get("acme")).toMatchObject({ streams: 2 });
  // Twelve events sent, a stream started, its token issued, its end.
  expect(byTenant.get("globex")).toMatchObject({ streams: 1, events: 15 });
  expect(Number(byTenant.get("acme")?.["events"])).toBeGreaterThan(30);
  expect(byTenant.get("spillway")).toMatchObject({ streams: 0 });
  const counts = rows.map((row) => Number(row["events"]));
  expect(counts).toEqual(counts.toSorted((left, right) => right - left));
});

test("refused resumes by reason", async () => {
  expect(await ask("refused resumes by reason")).toEqual([
    { code: "token_expired", reason: null, refused: 1 },
    { code: "token_wrong_route", reason: null, refused: 1 },
  ]);
});

test("what README.md asks gets the same answers", async () => {
  const [success, trims, slowest, tenants] = await Promise.all(readmeQueries("DuckDB").map((sql) => duckdb.query(sql)));
  const rates = await ask("resume success rate per hour");
  expect(success?.map((row) => Number(row["success"]).toFixed(4))).toEqual(
    rates.map((row) => Number(row["success_rate"]).toFixed(4)),
  );
  expect(trims?.[0]?.["trim_rate"]).toBeCloseTo((60 - BUFFER_EVENTS) / 75, 6);
  const durations = (await ask("slowest streams")).map((row) => row["duration_ms"]);
  expect(slowest?.map((row) => Number(row["ms"]))).toEqual(durations);
  expect(slowest?.[0]?.["request_id"]).toBe(long.requestId);
  // Without a bound on time, the old ones count as well.
  expect(tenants?.find((row) => row["tenant"] === "globex")).toMatchObject({ events: 22n });
});
