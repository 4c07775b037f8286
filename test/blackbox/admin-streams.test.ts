/**
 * `/admin/streams` and `/admin/flush?request_id=`: what operators see of streams, end and bring into the table.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import type { AdminStreamList, FlushedStream, StreamInspection } from "../../protocol/admin-streams.ts";
import type { StreamStatus } from "../../protocol/stream-call.ts";
import { openDuckDbLake, type DuckDbLake } from "../fixtures/duckdb-lake.ts";
import { callAdmin } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { liveSource, type LiveSource } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { openUnread } from "../fixtures/unread-response.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";

const SNAPSHOT_TTL_SEC = 1;
/** Offered bytes all the while: then the sockets are full, and not only slow. */
const STALLED_MS = 300;
const EVENT = `data: ${"x".repeat(16_000)}\n\n`;

type Timeline = readonly { readonly at: string; readonly event: string }[];
type Report = StreamInspection & { readonly timeline: Timeline; readonly timeline_error: string | null };

let lake: LakeService;
let shortLived: LakeService;
let upstream: Upstream;
let duckdb: DuckDbLake;

beforeAll(async () => {
  upstream = await startUpstream();
  duckdb = await openDuckDbLake();
  const live = { name: "live", upstream: upstream.origin, allowGet: true };
  const ROUTES = [live, { name: "demo", upstream: "builtin:demo", allowGet: true }];
  const vars = { ROUTES, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 };
  [lake, shortLived] = await Promise.all([
    startLakeService({ vars }),
    startLakeService({ vars: { ...vars, SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_SEC } }),
  ]);
});

afterAll(async () => {
  duckdb.close();
  await Promise.all([lake.stop(), shortLived.stop()]);
  await upstream.stop();
});

/** A running stream whose source the test drives. */
async function startLive(): Promise<{ source: LiveSource; reading: SseReading }> {
  const source = liveSource();
  upstream.handle(source.handler);
  const [reading] = await Promise.all([readStream(`${lake.origin}/live/stream`), source.open()]);
  return { source, reading };
}

async function look<T>(path: string, service = lake): Promise<T> {
  const response = await callAdmin(service, path, { method: "GET" });
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  expect(response.headers.get("cache-control")).toBe("no-store");
  return JSON.parse(text) as T;
}

const inspect = (requestId: string) => look<Report>(`streams/${requestId}`);

async function list(state: string, service = lake): Promise<AdminStreamList["streams"]> {
  const answer = await look<AdminStreamList>(`streams?state=${state}`, service);
  expect(answer).toMatchObject({ state, at: expect.any(String), missing_shards: [] });
  return answer.streams;
}

/** Until telemetry has told the lists of these: it is gathered for a second. */
async function untilListed(state: string, requestIds: readonly string[]): Promise<AdminStreamList["streams"]> {
  let streams = await list(state);
  const isThere = async () => {
    streams = await list(state);
    return requestIds.every((id) => streams.some((stream) => stream.request_id === id));
  };
  await vi.waitUntil(isThere, { timeout: 20_000, interval: 100 });
  return streams;
}

async function flushStream(requestId: string): Promise<AdminFlushReport & { stream: FlushedStream | null }> {
  const response = await callAdmin(lake, `flush?request_id=${requestId}`);
  expect(response.status).toBe(200);
  return (await response.json()) as AdminFlushReport & { stream: FlushedStream | null };
}

test("a running stream with two readers, one of them stalled: who has taken nothing, and for how long", async () => {
  const { source, reading } = await startLive();
  source.send(EVENT.repeat(3));
  await reading.untilContent(3);
  const { requestId } = reading;
  // Reads nothing: what it is sent fills the sockets, and then its queue.
  const stalled = await openUnread(`${lake.origin}/live/resume?token=${reading.token}`);
  let sent = 3;
  const isStalled = async () => {
    source.send(EVENT.repeat(100));
    sent += 100;
    await reading.untilContent(sent);
    return (await inspect(requestId)).readers.some((reader) => reader.waiting_ms > STALLED_MS);
  };
  await vi.waitUntil(isStalled, { timeout: 20_000, interval: 10 });
  const before = (await inspect(requestId)).readers[1]?.waiting_ms ?? 0;
  await wait(50);

  const report = await inspect(requestId);
  expect(report).toMatchObject({
    status: { request_id: requestId, route: "live", state: "streaming", events: sent, readers: 2 },
    tenant: "default",
    source: { is_open: true, last_activity_at: expect.stringMatching(/Z$/), silent_ms: expect.any(Number) },
    storage: { is_degraded: false, unstored_bytes: expect.any(Number), segments: expect.any(Number) },
    deadlines: { keep_alive: expect.stringMatching(/Z$/), sweep: expect.stringMatching(/Z$/), abandon: null },
    settings: { max_readers: 20, reader_stall_ms: 60_000 },
    timeline_error: null,
  });
  const [quick, slow] = report.readers;
  expect(quick).toMatchObject({ mode: "live", position: `1-${sent}`, waiting_ms: 0 });
  expect(quick?.sent_bytes).toBeGreaterThan(sent * 16_000);
  expect(slow?.waiting_ms).toBeGreaterThanOrEqual(before + 50);
  expect(slow?.sent_bytes).toBeLessThan(quick?.sent_bytes ?? 0);
  expect(slow?.age_ms).toBeLessThanOrEqual(quick?.age_ms ?? 0);
  stalled.destroy();
  source.end();
  await reading.toEnd();
});

test("recent, hot and stuck: each stream where it belongs, as its object says it is", async () => {
  const crowded = await startLive();
  const more = await Promise.all(
    [1, 2].map(() => resumeStream(`${lake.origin}/live/resume`, crowded.reading.token, "0-0")),
  );
  const single = await startLive();
  const over = await readStream(`${lake.origin}/demo/stream?events=5&rate=0`);
  await over.toEnd();
  const ids = [crowded, single].map(({ reading }) => reading.requestId);

  const recent = await untilListed("recent", [...ids, over.requestId]);
  const at = (requestId: string) => recent.findIndex((stream) => stream.request_id === requestId);
  expect(at(over.requestId)).toBeLessThan(at(ids[1] ?? ""));
  expect(at(ids[1] ?? "")).toBeLessThan(at(ids[0] ?? ""));
  expect(recent[at(over.requestId)]).toMatchObject({
    route: "demo",
    tenant: "default",
    state: "completed",
    events: 5,
    reason: null,
  });
  expect(recent[at(ids[0] ?? "")]).toMatchObject({
    route: "live",
    state: "streaming",
    readers: 3,
    is_verified: true,
    silent_ms: expect.any(Number),
  });
  expect(await look<AdminStreamList>("streams?state=recent&limit=1")).toMatchObject({
    streams: [{ request_id: over.requestId }],
  });

  const hot = await untilListed("hot", ids);
  expect(hot.map((stream) => stream.request_id).filter((id) => ids.includes(id))).toEqual(ids);
  expect(hot.map((stream) => stream.request_id)).not.toContain(over.requestId);
  expect((await list("stuck")).filter((stream) => ids.includes(stream.request_id))).toEqual([]);

  for (const reading of [...more, crowded.reading, single.reading]) reading.cut();
  for (const { source } of [crowded, single]) source.end();
});

test("DELETE ends a stream for every reader, who are told by whom; once more is as once", async () => {
  const { source, reading } = await startLive();
  source.sendNumbers(1, 3);
  await reading.untilContent(3);
  const second = await resumeStream(`${lake.origin}/live/resume`, reading.token, "1-1");
  await second.untilContent(2);
  const path = `streams/${reading.requestId}`;
  const response = await callAdmin(lake, path, { method: "DELETE" });
  const status = (await response.json()) as StreamStatus;
  expect(response.status).toBe(200);
  expect(status).toMatchObject({ state: "cancelled", reason: "cancelled_by_operator", events: 3 });
  const end = { status: "cancelled", reason: "cancelled_by_operator", last_id: "1-3" };
  for (const told of [reading, second]) {
    expect(await told.toEnd()).toBe("closed");
    expect(told.control("end")).toMatchObject([end]);
  }
  await vi.waitUntil(() => source.isClosed, { timeout: 10_000 });
  const again = await callAdmin(lake, path, { method: "DELETE" });
  expect([again.status, await again.json()]).toMatchObject([200, { state: "cancelled", ended_at: status.ended_at }]);
  // Who comes back is told the same.
  const late = await resumeStream(`${lake.origin}/live/resume`, reading.token, "1-2");
  await late.toEnd();
  expect(late.control("end")).toMatchObject([end]);
});

test("flushed by its id, a running stream's events are in the table at once, and its timeline is known", async () => {
  const { source, reading } = await startLive();
  source.sendNumbers(1, 5);
  await reading.untilContent(5);
  const { requestId } = reading;
  const report = await flushStream(requestId);
  expect(report).toMatchObject({
    ok: true,
    shards: [{ name: expect.stringMatching(/^shard-\d$/), error: null }],
    stream: { request_id: requestId, stored: true, telemetry_events: expect.any(Number), error: null },
  });
  await duckdb.refresh(lake);
  const rows = (await duckdb.rows()).filter((row) => row.request_id === requestId);
  expect(rows.map(({ type }) => type)).toEqual(["SseStreamStarted", "SseResumeIssued"]);
  const { timeline, storage } = await inspect(requestId);
  expect(storage).toMatchObject({ unstored_bytes: 0, oldest_unstored_ms: null });
  expect(timeline).toMatchObject([
    { event: "SseStreamStarted", at: rows[0]?.time },
    { event: "SseResumeIssued", position: "0-0" },
  ]);
  source.end();
  await reading.toEnd();
  expect((await flushStream(requestId)).stream).toMatchObject({ stored: true });
  await duckdb.refresh(lake);
  const after = (await duckdb.rows()).filter((row) => row.request_id === requestId).map(({ type }) => type);
  expect(after).toContain("SseStreamEnded");
});

test("a stream whose time is over: its object has nothing, and what telemetry told of it is shown", async () => {
  const reading = await readStream(`${shortLived.origin}/demo/stream?events=5&rate=0`);
  await reading.toEnd();
  const { requestId } = reading;
  const path = `streams/${requestId}`;
  const isGone = async () => {
    const { status, timeline } = await look<{ status: unknown; timeline: Timeline }>(path, shortLived);
    return status === null && timeline.some(({ event }) => event === "SseStreamEnded");
  };
  await vi.waitUntil(isGone, { timeout: 20_000, interval: 200 });
  expect(await look(path, shortLived)).toMatchObject({
    status: null,
    summary: { request_id: requestId, route: "demo", state: "completed", events: 5, readers: 0 },
    timeline_error: null,
  });
  expect(await problemOf(await callAdmin(shortLived, path, { method: "DELETE" }))).toMatchObject({
    status: 404,
    code: "stream_not_found",
  });
  const flushed = await callAdmin(shortLived, `flush?request_id=${requestId}`);
  expect([flushed.status, await flushed.json()]).toMatchObject([200, { ok: true, stream: null }]);
});

test("an id that is nobody's, or not like ours: 404, and what was asked for is in no log", async () => {
  const unknown = "A".repeat(27);
  for (const id of [unknown, "not-one-of-ours", "..%2Fflush", encodeURIComponent('"}\n{"event":"x"')]) {
    for (const method of ["GET", "DELETE"]) {
      const problem = await problemOf(await callAdmin(lake, `streams/${id}`, { method }));
      expect(problem).toMatchObject({ status: 404, code: "stream_not_found" });
    }
  }
  const flushed = await callAdmin(lake, `flush?request_id=${unknown}`);
  expect([flushed.status, await flushed.json()]).toMatchObject([200, { stream: null }]);
  const actions = lake.lines.filter((line) => line.includes('"AdminAction"'));
  expect(actions.some((line) => line.includes('"streams/cancel"') && line.includes(`"target":"${unknown}"`))).toBe(
    true,
  );
  expect(lake.lines.join("\n")).not.toMatch(/not-one-of-ours|"event":"x"/);
});

test.each([
  ["GET", "streams?state=all", "state"],
  ["GET", "streams?state=hot&limit=0", "limit"],
  ["GET", "streams?limit=101", "limit"],
  ["GET", "streams?limit=many", "limit"],
  ["POST", "flush?request_id=", "request_id"],
  ["POST", "flush?request_id=short", "request_id"],
  ["POST", `flush?request_id=${"A".repeat(27)}&shard=0`, "shard"],
])("%s /admin/%s: 400, and the field at fault", async (method, path, field) => {
  const problem = await problemOf(await callAdmin(lake, path, { method }));
  expect(problem).toMatchObject({ status: 400, code: "invalid_request", field });
});

test("only operators are let in", async () => {
  const { reading, source } = await startLive();
  const paths = ["streams?state=recent", `streams/${reading.requestId}`, `flush?request_id=${reading.requestId}`];
  for (const path of paths) {
    for (const Authorization of ["", `Bearer ${reading.token}`]) {
      const response = await callAdmin(lake, path, {
        method: path.startsWith("flush") ? "POST" : "GET",
        headers: { Authorization },
      });
      expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthorized" });
    }
  }
  const refused = await fetch(`${lake.origin}/admin/streams/${reading.requestId}`, { method: "DELETE" });
  expect(await problemOf(refused)).toMatchObject({ status: 401 });
  expect((await inspect(reading.requestId)).status.state).toBe("streaming");
  expect(lake.lines.join("\n")).not.toContain(TEST_SECRETS.ADMIN_TOKEN);
  source.end();
  await reading.toEnd();
});
