/**
 * docs/queries.md as its reader would use it: engines attached by the snippets there, and ClickHouse's queries
 * run as they stand, over what real streams, refused resumes and senders have left in the table.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { forge } from "../fixtures/forged-tokens.ts";
import { flushLake, GLOBEX_KEY, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readmeQueries } from "../fixtures/readme-queries.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { attachSnippets, fillIn, queriesFor } from "./documented-queries.ts";
import { queryClickHouse, queryDuckDb, runPython, type EngineRow } from "./engine-calls.ts";
import { noDuckDb, noPyIceberg } from "./installation.ts";

const CLIENT_KEYS = '{"acme":["client-key-of-acme"],"globex":["client-key-of-globex"]}';
const BUFFER_EVENTS = 16;
const LONG_EVENTS = 48;
/** Four ended streams, three resumes, three refused ones. */
const TOLD = 10;
const DAY_MS = 86_400_000;
const QUERIES = queriesFor("clickhouse");

let service: LakeService;
let cut: SseReading;
let failed: SseReading;
/** First the table's files, then the catalog. */
let attach: readonly string[];

beforeAll(async () => {
  // Two engines are asked one after the other: no flush comes between them.
  const ICEBERG_BUFFER_TIMEOUT_MS = 3_600_000;
  const vars = { CLIENT_AUTH: "bearer", CLIENT_KEYS, SSE_BUFFER_MAX_EVENTS: BUFFER_EVENTS, ICEBERG_BUFFER_TIMEOUT_MS };
  service = await startLakeService({ vars });
  attach = attachSnippets("ClickHouse", "sql").map((snippet) => fillIn(snippet, service));
  const { origin } = service;
  const start = (query: string, tenant: string) =>
    readStream(`${origin}/demo/stream?${query}`, { headers: { Authorization: `Bearer client-key-of-${tenant}` } });
  const resume = (token: string, position?: string) => resumeStream(`${origin}/demo/resume`, token, position);

  cut = await start(`events=${LONG_EVENTS}&rate=40`, "acme");
  await cut.untilContent(5);
  cut.cut();
  const resumed = await resume(cut.token, cut.content.at(-1)?.id);
  await resumed.toEnd();
  for (const back of [-2, -3]) await (await resume(cut.token, resumed.content.at(back)?.id)).toEnd();
  failed = await start("events=9&rate=0&fail_at=6", "globex");
  await failed.toEnd();
  for (const events of [3, 4]) await (await start(`events=${events}&rate=0`, "globex")).toEnd();
  for (const claims of [{ exp: 1000 }, { exp: 1000 }, { rte: "assist/draft-graph" }]) {
    const { response } = await resume(await forge(cut.token, claims));
    if (response.ok) throw new Error("a forged token was taken");
  }
  await sendEvents(service, numberedEvents("/shop", 25));
  await sendEvents(service, numberedEvents("/shop", 11), GLOBEX_KEY);
  // Too old for every query.
  const time = new Date(Date.now() - 30 * DAY_MS).toISOString();
  await sendEvents(service, numberedEvents("/old", 7, { time }), GLOBEX_KEY);

  // Telemetry is gathered before it is handed over.
  const types = "'SseStreamEnded', 'SseResumeSuccess', 'SseResumeFailed'";
  const look = async () => {
    await flushLake(service);
    const told = await ask(`SELECT count() AS told FROM events WHERE type IN (${types})`);
    return Number(told[0]?.["told"]);
  };
  await vi.waitUntil(async () => (await look()) === TOLD, { timeout: 60_000, interval: 500 });
});

afterAll(async () => {
  await service?.stop();
});

function ask(query: string): Promise<readonly EngineRow[]> {
  return queryClickHouse([attach[0] ?? "", query]);
}

function splitStatements(sql: string): string[] {
  return sql.split(/;\s*\n/).filter((statement) => statement.trim() !== "");
}

/** Columns' sums: what was done may lie on both sides of an hour. */
function sumsBy(rows: readonly EngineRow[], columns: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    columns.map((column) => [column, rows.reduce((sum, row) => sum + Number(row[column]), 0)] as const),
  );
}

/** What each query has to answer, by its name in the document. */
const EXPECTED: Readonly<Record<string, (rows: readonly EngineRow[]) => void>> = {
  "resume success rate per hour"(rows) {
    expect(sumsBy(rows, ["succeeded", "refused"])).toEqual({ succeeded: 3, refused: 3 });
    for (const row of rows) {
      const [succeeded, refused] = [Number(row["succeeded"]), Number(row["refused"])];
      expect(Number(row["success_rate"])).toBeCloseTo(succeeded / (succeeded + refused), 4);
    }
  },
  "trim rate per hour"(rows) {
    const trimmed = LONG_EVENTS - BUFFER_EVENTS;
    const columns = ["streams", "trimmed_streams", "trimmed_events"];
    expect(sumsBy(rows, columns)).toEqual({ streams: 4, trimmed_streams: 1, trimmed_events: trimmed });
    const [withTrims] = rows.filter((row) => Number(row["trimmed_streams"]) === 1);
    // At least its own events are below the line, at most those of all four streams.
    expect(Number(withTrims?.["trim_rate"])).toBeLessThanOrEqual(trimmed / LONG_EVENTS + 1e-4);
    expect(Number(withTrims?.["trim_rate"])).toBeGreaterThanOrEqual(trimmed / (LONG_EVENTS + 6 + 3 + 4) - 1e-4);
  },
  "slowest streams"(rows) {
    expect(rows).toHaveLength(4);
    expect(rows[0]).toMatchObject({ request_id: cut.requestId, tenant: "acme", route: "demo", state: "completed" });
    expect(Number(rows[0]?.["stream_events"])).toBe(LONG_EVENTS);
    const broken = rows.find((row) => row["request_id"] === failed.requestId);
    expect(broken).toMatchObject({ tenant: "globex" });
    expect(broken?.["state"]).not.toBe("completed");
    const durations = rows.map((row) => Number(row["duration_ms"]));
    expect(durations[0]).toBeGreaterThan(900);
    expect(durations).toEqual(durations.toSorted((left, right) => right - left));
  },
  "events per tenant"(rows) {
    const byTenant = new Map(rows.map((row) => [row["tenant"], sumsBy([row], ["events", "streams", "data_bytes"])]));
    expect(new Set(byTenant.keys())).toEqual(new Set(["acme", "globex", "spillway"]));
    expect(byTenant.get("acme")).toMatchObject({ streams: 1 });
    expect(byTenant.get("globex")).toMatchObject({ streams: 3 });
    expect(byTenant.get("spillway")).toMatchObject({ streams: 0 });
    // What was sent, and a start, a token and an end of each stream at the least.
    expect(byTenant.get("acme")?.["events"]).toBeGreaterThanOrEqual(25 + 3);
    expect(byTenant.get("globex")?.["events"]).toBeGreaterThanOrEqual(11 + 9);
    for (const sums of byTenant.values()) expect(sums["data_bytes"]).toBeGreaterThan(0);
    const counts = rows.map((row) => Number(row["events"]));
    expect(counts).toEqual(counts.toSorted((left, right) => right - left));
  },
  "refused resumes by reason"(rows) {
    expect(rows.map((row) => [row["code"], Number(row["refused"])])).toEqual([
      ["token_expired", 2],
      ["token_wrong_route", 1],
    ]);
  },
};

test("every query of the document is tried here", () => {
  expect([...QUERIES.keys()]).toEqual(Object.keys(EXPECTED));
});

describe("ClickHouse", () => {
  test.each([...QUERIES])("%s", async (name, query) => {
    const check = EXPECTED[name];
    expect(check).toBeDefined();
    check?.(await ask(query));
  });

  test("answers what README.md asks", async () => {
    const [success, trims, slowest, tenants] = readmeQueries("ClickHouse");
    expect((await ask(success)).length).toBeGreaterThan(0);
    const trimmed = LONG_EVENTS - BUFFER_EVENTS;
    expect(Number((await ask(trims))[0]?.["trim_rate"])).toBeCloseTo(trimmed / (LONG_EVENTS + 6 + 3 + 4), 4);
    expect((await ask(slowest))[0]).toMatchObject({ request_id: cut.requestId });
    expect(new Set((await ask(tenants)).map((row) => row["tenant"]))).toEqual(new Set(["acme", "globex", "spillway"]));
  });

  test("finds the same table by the catalog", async () => {
    const query = "SELECT count() AS rows, sum(cityHash64(shard, seq, coalesce(data, ''))) AS sum FROM";
    expect(attach).toHaveLength(2);
    const byCatalog = await queryClickHouse([...splitStatements(attach[1] ?? ""), `${query} lake.\`spillway.events\``]);
    expect(Number(byCatalog[0]?.["rows"])).toBeGreaterThan(40);
    expect(byCatalog).toEqual(await ask(`${query} events`));
  });
});

test.skipIf(noDuckDb !== undefined)("DuckDB answers its queries, attached to the catalog", async () => {
  const [byCatalog = ""] = attachSnippets("DuckDB", "sql").map((snippet) => fillIn(snippet, service));
  // The extension is there already, and the bucket's endpoint here has no TLS.
  const statements = splitStatements(byCatalog.replace("INSTALL iceberg;", "").replace("LOAD iceberg;", ""));
  const before = statements.map((statement) => statement.replace("TYPE s3,", "TYPE s3, USE_SSL false,"));
  for (const [name, query] of queriesFor("duckdb")) {
    const check = EXPECTED[name];
    expect(check).toBeDefined();
    check?.(await queryDuckDb([...before, query]));
  }
});

test.skipIf(noPyIceberg !== undefined)("PyIceberg finds the ended streams by the catalog", async () => {
  const snippets = attachSnippets("PyIceberg", "python").map((snippet) => fillIn(snippet, service));
  expect(snippets).toHaveLength(1);
  // Its day is the document's; the streams' is today, or was until just now.
  const since = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10);
  const snippet = (snippets[0] ?? "").replace(/\d{4}-\d\d-\d\d(?=T00:00:00)/, since);
  const found = JSON.parse(
    await runPython(`${snippet}\nimport json\nprint(json.dumps(rows["request_id"].to_pylist()))`),
  );
  expect(found).toHaveLength(4);
  expect(found).toEqual(expect.arrayContaining([cut.requestId, failed.requestId]));
});
