/**
 * A whole service whose stream object's storage refuses: what readers, their headers and the log are told,
 * and what is left in the end.
 */
import { reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { HOT_TAIL_MAX_BYTES } from "../../protocol/limits.ts";
import { call, endOf, resume, sourceEvents, start, StreamReader, type ReadEvent } from "./reading.ts";
import { refuse, requestIdOf, storedAlarm, storedTables, streamObject } from "./refusing-storage.ts";

const TTL_MS = 900_000;
const EVENT_BYTES = 4000;
const ALARM_REPEATED = /SQLITE_FULL/;

let lines: string[] = [];

beforeEach(() => {
  lines = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
});

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await reset();
});

/** SseDegraded as logged: `true` for its beginning, `false` for its end. */
function degradations(): boolean[] {
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return records.filter(({ event }) => event === "SseDegraded").map((record) => record["is_over"] !== true);
}

function gapsOf(events: readonly ReadEvent[]): Record<string, unknown>[] {
  return events.filter(({ event }) => event === "gap").map(({ data }) => JSON.parse(data) as Record<string, unknown>);
}

function idsOf(events: readonly ReadEvent[]): number[] {
  return sourceEvents(events).map(({ id }) => Number(id?.split("-")[1]));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

async function statusOf(token: string): Promise<Record<string, unknown>> {
  return (await call(`/demo/status?token=${token}`)).json();
}

/** What a token told in band says: for readers that came while there was none to be had. */
async function tokenInBand(reader: StreamReader): Promise<string> {
  const { data } = await reader.until(({ event }) => event === "resume");
  return (JSON.parse(data) as { token: string }).token;
}

test("refused from the very first write: live without a token, and one as soon as storage is back", async () => {
  const key = "refused-from-the-start";
  const requestId = await requestIdOf(key);
  await refuse(requestId, ["transactionSync"]);
  const reader = await start(`events=300&rate=150&idempotency_key=${key}`);
  expect(reader.requestId).toBe(requestId);
  expect(reader.response.headers.get("X-Spillway-Degraded")).toBe("storage");
  expect(reader.token).toBe("");
  await reader.until(({ id }) => id === "1-20");
  expect(reader.seen.filter(({ event }) => event === "degraded").map(({ data }) => data)).toEqual([
    '{"kind":"storage"}',
  ]);
  expect(reader.seen.some(({ event }) => event === "resume")).toBe(false);
  expect(await storedTables(requestId)).toBe(0);

  await refuse(requestId, []);
  const token = await tokenInBand(reader);
  expect(await statusOf(token)).toMatchObject({ degraded: false, trimmed_events: 0 });
  const late = await resume(token, "1-3");
  expect(late.response.headers.get("X-Spillway-Degraded")).toBeNull();
  expect(idsOf(await late.toEnd())).toEqual(range(4, 300));
  expect(idsOf(await reader.toEnd())).toEqual(range(1, 300));
  expect(degradations()).toEqual([true, false]);
});

test("a resume while storage refuses finds the last 64 KiB at most, after a gap that says why", async () => {
  const reader = await start(`events=120&rate=400&bytes=${EVENT_BYTES}`);
  await reader.until(({ id }) => id === "1-5");
  await refuse(reader.requestId, ["transactionSync"]);
  await reader.until(({ id }) => id === "1-90");
  const late = await resume(reader.token, "1-5");
  expect(late.response.headers.get("X-Spillway-Degraded")).toBe("storage");
  expect(late.token).toBe("");
  const seen = await late.toEnd();
  const gaps = gapsOf(seen);
  expect(gaps.length).toBeGreaterThan(0);
  expect(new Set(gaps.map(({ reason }) => reason))).toEqual(new Set(["storage_lost"]));
  const missing = gaps.reduce((sum, { dropped }) => sum + Number(dropped), 0);
  expect(idsOf(seen)).toHaveLength(115 - missing);
  expect(endOf(seen)).toMatchObject({ status: "complete" });
  expect(idsOf(await reader.toEnd())).toEqual(range(1, 120));

  const status = await statusOf(reader.token);
  expect(status).toMatchObject({ state: "completed", degraded: true });
  const stored = await resume(reader.token, "0-0");
  const inMemory = idsOf(await stored.toEnd()).filter((seq) => seq > Number(String(gaps[0]?.["to"]).slice(2)));
  // The last one, which says that it is done, is small.
  expect((inMemory.length - 1) * EVENT_BYTES).toBeLessThanOrEqual(HOT_TAIL_MAX_BYTES);
  expect(inMemory.length).toBeGreaterThan(0);
});

test("refused at the end's commit: the outcome is told, and written with the tail once storage is back", async () => {
  const reader = await start("events=30&rate=300");
  await reader.until(({ id }) => id === "1-2");
  await refuse(reader.requestId, ["transactionSync"]);
  const events = await reader.toEnd();
  expect(events.map(({ event }) => event).slice(-2)).toContain("end");
  expect(events.filter(({ event }) => event === "degraded")).toHaveLength(1);
  await refuse(reader.requestId, []);
  await vi.waitFor(async () => expect(await statusOf(reader.token)).toMatchObject({ degraded: false }), 5000);
  const late = await resume(reader.token, "1-10");
  expect(late.token).not.toBe("");
  expect(idsOf(await late.toEnd())).toEqual(range(11, 30));
  expect(degradations()).toEqual([true, false]);
});

test("storage that comes and goes: each time said, nothing twice, nothing missing", async () => {
  const reader = await start("events=400&rate=70");
  for (let round = 1; round <= 2; round++) {
    await refuse(reader.requestId, ["transactionSync"]);
    await reader.until(({ event }) => event === "degraded");
    const during = await resume(reader.token, "1-1");
    await refuse(reader.requestId, []);
    // Who came without a token is given one, as the sign that storage is back.
    await tokenInBand(during);
    await during.cut();
  }
  expect(idsOf(await reader.toEnd())).toEqual(range(1, 400));
  expect(degradations()).toEqual([true, false, true, false]);
  const late = await resume(reader.token, "1-200");
  expect(idsOf(await late.toEnd())).toEqual(range(201, 400));
});

test("an async start while storage refuses has a receipt, and its stream is read live", async () => {
  const key = "async-while-refused";
  const requestId = await requestIdOf(key);
  await refuse(requestId, ["transactionSync"]);
  const query = `/demo/stream?events=40&rate=100&idempotency_key=${key}`;
  const receipt = await call(query, { headers: { Prefer: "respond-async" } });
  expect(receipt.status).toBe(202);
  const { resume_token: token } = await receipt.json<{ resume_token: string }>();
  const reader = await resume(token);
  expect(reader.response.headers.get("X-Spillway-Degraded")).toBe("storage");
  const events = await reader.toEnd();
  expect(idsOf(events)).toEqual(range(1, 40));
  expect(events[0]?.event).toBe("degraded");
});

test("B7 a refused alarm is set once storage takes it, though nothing else calls, and nothing is left", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  const key = "alarm-refused-all-along";
  const requestId = await requestIdOf(key);
  await refuse(requestId, ["setAlarm"]);
  const reader = await start(`events=5&rate=0&idempotency_key=${key}`);
  expect(idsOf(await reader.toEnd())).toEqual(range(1, 5));
  expect(await storedAlarm(requestId)).toBeNull();
  await refuse(requestId, []);
  await vi.waitFor(async () => expect(await storedAlarm(requestId)).not.toBeNull(), 5000);
  vi.setSystemTime(Date.now() + TTL_MS + 1000);
  await runDurableObjectAlarm(streamObject(requestId));
  expect(await storedTables(requestId)).toBe(0);
});

test("B7 an alarm that cannot set the next one fails, so that the platform repeats it", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  const reader = await start("events=5&rate=0");
  await reader.toEnd();
  await refuse(reader.requestId, ["setAlarm"]);
  const stub = streamObject(reader.requestId);
  await expect(runDurableObjectAlarm(stub)).rejects.toThrow(ALARM_REPEATED);
  await refuse(reader.requestId, []);
  vi.setSystemTime(Date.now() + TTL_MS + 1000);
  await runInDurableObject(stub, (object) => object.alarm?.());
  expect(await storedTables(reader.requestId)).toBe(0);
});

test("B7 a refused deletion is repeated; meanwhile resumes are 503 and starts pass through", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  const query = "events=8&rate=0&idempotency_key=deletion-is-refused";
  const reader = await start(query);
  await reader.toEnd();
  const { requestId } = reader;
  await refuse(requestId, ["deleteAll"]);
  vi.setSystemTime(Date.now() + TTL_MS - 1000);
  const late = await resume(reader.token, "1-2");
  await late.toEnd();
  vi.setSystemTime(Date.now() + 2000);
  await expect(runDurableObjectAlarm(streamObject(requestId))).rejects.toThrow(ALARM_REPEATED);
  expect(await storedTables(requestId)).toBe(2);

  const refused = await call("/demo/resume", { headers: { "X-Resume-Token": late.token } });
  expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "2"]);
  const passed = new StreamReader(await call(`/demo/stream?${query}`));
  expect(passed.response.headers.get("X-Spillway-Degraded")).toBe("object");
  expect(sourceEvents(await passed.toEnd())).toHaveLength(8);

  await refuse(requestId, []);
  const anew = await start(query);
  expect(anew.requestId).toBe(requestId);
  expect(idsOf(await anew.toEnd())).toEqual(range(1, 8));
  // The alarm of the stream before must not take this one with it.
  await runDurableObjectAlarm(streamObject(requestId));
  const again = await resume(anew.token, "1-4");
  expect(idsOf(await again.toEnd())).toEqual(range(5, 8));
  vi.setSystemTime(Date.now() + TTL_MS + 1000);
  await runDurableObjectAlarm(streamObject(requestId));
  expect(await storedTables(requestId)).toBe(0);
});
