/**
 * What the lake does by itself: flushes of age, commits at their interval, tries again after failures, a
 * day's maintenance. L3; and no deadline is forgotten by an object that has left memory.
 */
import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IcebergTable } from "../../durable-objects/iceberg-table.ts";
import type { PutOutcome } from "../../durable-objects/iceberg/object-store.ts";
import { R2ObjectStore } from "../../durable-objects/r2-object-store.ts";
import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import { TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";
import {
  admin,
  alarmOf,
  countObjectsWithTables,
  emptyLake,
  flushAll,
  idsInTable,
  idsOf,
  makeEvents,
  post,
  readTable,
  shard,
  table,
} from "./lake-scene.ts";

const AGE_MS = LAKE_NUMBER_VARIABLES.ICEBERG_BUFFER_TIMEOUT_MS.fallback;
const INTERVAL_MS = LAKE_NUMBER_VARIABLES.ICEBERG_COMMIT_INTERVAL_MS.fallback;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Longer than every backoff of the lake. */
const LONG_MS = 600_000;

let startMs = 0;

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  // Ahead of the platform's own clock, which otherwise rings alarms by itself.
  startMs = Date.now() + HOUR_MS;
  vi.useFakeTimers({ toFake: ["Date"], now: startMs });
  // The lake's own telemetry comes when it likes: it stays in its queue.
  vi.spyOn(TelemetryOutlet.prototype as unknown as { run(): Promise<void> }, "run").mockResolvedValue();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await emptyLake();
});

/** Breaks writes of the objects whose keys match, and counts them. */
function breakPuts(pattern: RegExp): { readonly attempts: () => number; heal(): void } {
  type Put = (this: R2ObjectStore, ...args: Parameters<R2ObjectStore["putIfAbsent"]>) => Promise<PutOutcome>;
  const { putIfAbsent: real } = R2ObjectStore.prototype as unknown as { putIfAbsent: Put };
  let attempts = 0;
  const spy = vi.spyOn(R2ObjectStore.prototype, "putIfAbsent").mockImplementation(async function (
    this: R2ObjectStore,
    key,
    bytes,
    metadata,
  ) {
    if (!pattern.test(key)) return real.call(this, key, bytes, metadata);
    attempts++;
    throw new Error("put: We encountered an internal error. Please try again. (10001)");
  });
  return { attempts: () => attempts, heal: () => spy.mockRestore() };
}

async function afterAppend(): Promise<void> {
  await vi.waitFor(async () => expect(await alarmOf(shard())).toBeDefined());
}

test("L3: an event is flushed by alarm once it is old enough; later ones do not postpone that", async () => {
  const first = makeEvents("first", 2);
  await post(first);
  await afterAppend();
  const dueMs = await alarmOf(shard());
  expect(dueMs).toBe(startMs + AGE_MS);
  vi.setSystemTime(startMs + AGE_MS - 1);
  const second = makeEvents("second", 2);
  await post(second);
  expect(await alarmOf(shard())).toBe(dueMs);
  await runDurableObjectAlarm(shard());
  expect(await shard().status()).toMatchObject({ events: 4 });
  vi.setSystemTime(startMs + AGE_MS);
  expect(await runDurableObjectAlarm(shard())).toBe(true);
  expect(await shard().status()).toMatchObject({ pending_batches: 0, last_error: null });
  expect(await runDurableObjectAlarm(table())).toBe(true);
  expect(await idsInTable()).toEqual(idsOf(first, second));
});

test("L1: what was acknowledged needs no further call to reach the table", async () => {
  const events = makeEvents("last", 2);
  // The first thing after the answer, and it never comes back.
  const register = vi.spyOn(IcebergTable.prototype, "register").mockReturnValue(new Promise(() => {}) as never);
  expect((await post(events)).status).toBe(202);
  await vi.waitFor(() => expect(register).toHaveBeenCalled());
  register.mockRestore();
  await abortAllDurableObjects();
  vi.setSystemTime(startMs + LONG_MS);
  expect(await runDurableObjectAlarm(shard())).toBe(true);
  expect(await runDurableObjectAlarm(table())).toBe(true);
  expect(await idsInTable()).toEqual(idsOf(events));
});

test("a flush that fails backs off, over an eviction too, and the alarm tries again", async () => {
  const events = makeEvents("delayed", 2);
  await post(events);
  await afterAppend();
  const broken = breakPuts(/\/data\//);
  vi.setSystemTime(startMs + AGE_MS);
  await runDurableObjectAlarm(shard());
  expect(broken.attempts()).toBe(1);
  const failed = await shard().status();
  expect(failed).toMatchObject({ pending_batches: 1 });
  expect(failed?.last_error).toContain("10001");
  const nextMs = Date.parse(failed?.next_attempt_at ?? "");
  expect(nextMs).toBeGreaterThan(Date.now());
  expect(await alarmOf(shard())).toBe(nextMs);

  await evictDurableObject(shard());
  expect(await shard().status()).toEqual(failed);
  // Woken too early, it waits on.
  await runDurableObjectAlarm(shard());
  expect(broken.attempts()).toBe(1);
  expect(await alarmOf(shard())).toBe(nextMs);
  vi.setSystemTime(nextMs);
  await runDurableObjectAlarm(shard());
  expect(broken.attempts()).toBe(2);
  const again = Date.parse((await shard().status())?.next_attempt_at ?? "") - nextMs;
  expect(again).toBeGreaterThan(1000);
  broken.heal();
  vi.setSystemTime(nextMs + LONG_MS);
  await runDurableObjectAlarm(shard());
  expect(await shard().status()).toMatchObject({ pending_batches: 0, last_error: null, next_attempt_at: null });
  await runDurableObjectAlarm(table());
  expect(await idsInTable()).toEqual(idsOf(events));
});

test("a commit that fails backs off, over an eviction too, and the alarm tries again", async () => {
  const events = makeEvents("uncommitted", 2);
  await post(events);
  const broken = breakPuts(/\/metadata\/snap-/);
  const report = await flushAll();
  expect(report).toMatchObject({ ok: false, status: 207, failed: [], staged_files: 2, remaining_events: 0 });
  expect(report.commit_error).toContain("10001");
  const attempts = broken.attempts();
  await evictDurableObject(table());
  await runDurableObjectAlarm(table());
  expect(broken.attempts()).toBe(attempts);
  expect(await alarmOf(table())).toBeGreaterThan(Date.now());
  broken.heal();
  vi.setSystemTime(startMs + LONG_MS);
  expect(await runDurableObjectAlarm(table())).toBe(true);
  expect(await idsInTable()).toEqual(idsOf(events));
});

test("batches staged within the interval are one commit; a demanded flush does not wait for it", async () => {
  const batches = ["a", "b", "c", "d"].map((prefix) => makeEvents(prefix, 2));
  const [first = [], second = [], third = [], fourth = []] = batches;
  await post(first);
  await flushAll();
  const before = await readTable();
  expect(before?.metadata.snapshots).toHaveLength(1);
  for (const events of [second, third]) {
    vi.setSystemTime(Date.now() + 1000);
    await post(events);
    await shard().flush();
  }
  // It was set for the first commit, which did not wait for it.
  await runDurableObjectAlarm(table());
  expect(await alarmOf(table())).toBe(startMs + INTERVAL_MS);
  await runDurableObjectAlarm(table());
  expect((await readTable())?.metadata.snapshots).toHaveLength(1);
  vi.setSystemTime(startMs + INTERVAL_MS);
  await runDurableObjectAlarm(table());
  expect((await readTable())?.metadata.snapshots).toHaveLength(2);
  expect(await idsInTable()).toEqual(idsOf(first, second, third));
  await post(fourth);
  expect(await flushAll()).toMatchObject({ ok: true, status: 200, remaining_events: 0, staged_files: 0 });
  expect(await idsInTable()).toEqual(idsOf(...batches));
});

test("once a day the table is looked after, by alarm; without a commit since, nothing wakes it", async () => {
  const batches = ["a", "b", "c"].map((prefix) => makeEvents(prefix, 2));
  for (const events of batches) {
    await post(events);
    await flushAll();
  }
  const { files: filesBefore } = await table().status();
  const orphan = "warehouse/spillway/events/data/2026-11-20/0-00000000-0.parquet";
  await env.LAKE_BUCKET.put(orphan, "of a crash");
  await runDurableObjectAlarm(table());
  expect(await alarmOf(table())).toBe(startMs + DAY_MS);
  await abortAllDurableObjects();
  // Later than a day: the orphan is younger than the first commit.
  vi.setSystemTime(startMs + DAY_MS + LONG_MS);
  expect(await runDueAlarms()).toBeGreaterThan(1);
  expect(filesBefore).toBeGreaterThan(3);
  expect((await table().status()).files).toBeLessThanOrEqual(3);
  expect(await env.LAKE_BUCKET.head(orphan)).toBeNull();
  expect(await idsInTable()).toEqual(idsOf(...batches));
  // Its own commits count as well: one more day, and then it sleeps.
  vi.setSystemTime(Date.now() + 2 * DAY_MS);
  await runDueAlarms();
  expect(await alarmOf(table())).toBeUndefined();
});

/** A day's work takes turns, an alarm each. */
async function runDueAlarms(): Promise<number> {
  let turns = 0;
  for (; ((await alarmOf(table())) ?? Number.POSITIVE_INFINITY) <= Date.now(); turns++) {
    expect(await runDurableObjectAlarm(table())).toBe(true);
  }
  return turns;
}

test("a shard that never took an event is asked and flushed without a trace", async () => {
  expect((await admin("status", "GET")).status).toBe(200);
  expect(await shard().flush()).toBeUndefined();
  expect(await countObjectsWithTables(env.EVENT_BUFFER_DO)).toBe(0);
  expect(await alarmOf(shard())).toBeUndefined();
  await post(makeEvents("one", 1));
  expect(await countObjectsWithTables(env.EVENT_BUFFER_DO)).toBe(1);
});
