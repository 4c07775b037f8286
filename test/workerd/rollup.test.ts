/**
 * A shard's sums in the platform's own storage: they outlive crashes, deliveries and rest, and are told
 * over RPC. R1, R2 of rollup-keeper.ts.
 */
import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { SAVE_AFTER } from "../../durable-objects/analytics/rollup-keeper.ts";
import { TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";
import { toLakeEvent } from "../../protocol/telemetry-event.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { alarmOf, emptyLake, makeEvents, post, shard, SHARD } from "./lake-scene.ts";

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  // Ahead of the platform's own clock, which otherwise rings alarms by itself.
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + SAVE_AFTER.ms });
  // Other telemetry comes when it likes: it stays in its queue.
  vi.spyOn(TelemetryOutlet.prototype as unknown as { run(): Promise<void> }, "run").mockResolvedValue();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await emptyLake();
});

const about = (requestId: string) => ({ request_id: requestId, route: "demo", tenant: "acme" });

async function tell(...told: TelemetryRecord[]): Promise<void> {
  const events = told.map((record) => toLakeEvent(record, crypto.randomUUID()));
  expect(await shard().append({ shardIndex: SHARD, events, isRiding: false })).toMatchObject({ ok: true });
}

const started = (requestId: string): TelemetryRecord => ({
  event: "SseStreamStarted",
  ...about(requestId),
  time: new Date().toISOString(),
});

const issued = (requestId: string, events: number): TelemetryRecord => ({
  event: "SseResumeIssued",
  position: "0-0",
  readers: 2,
  events,
  ...about(requestId),
  time: new Date().toISOString(),
});

/** Without what its flushes have told of themselves: only those of this file's making. */
async function streamsAndEvents() {
  const rollup = await shard().rollup();
  return {
    started: rollup?.counters.streams_started?.["demo"],
    events: rollup?.counters.source_events?.[""],
    active: rollup?.activeStreams.map(({ requestId, events, readers }) => ({ requestId, events, readers })),
  };
}

test("what is counted outlives a crash: before it is delivered, after that, and when both is mixed", async () => {
  expect(await shard().rollup()).toBeUndefined();
  await tell(started("a"), issued("a", 5));
  const first = { started: 1, events: 5, active: [{ requestId: "a", events: 5, readers: 2 }] };
  expect(await streamsAndEvents()).toEqual(first);
  await abortAllDurableObjects();
  expect(await streamsAndEvents()).toEqual(first);

  expect(await post(makeEvents("foreign", 3))).toHaveProperty("status", 202);
  expect(await shard().flush()).toMatchObject({ events: 5, remaining: expect.any(Number), error: null });
  await abortAllDurableObjects();
  expect(await streamsAndEvents()).toEqual(first);

  await tell(started("b"), issued("a", 9));
  await abortAllDurableObjects();
  expect(await streamsAndEvents()).toMatchObject({ started: 2, events: 9 });
  const flushed = (await shard().rollup())?.counters;
  expect(flushed).toMatchObject({ flushes: { "": 1 }, flushed_events: { "": 5 } });
  expect(await shard().timeline("b")).toMatchObject([{ event: "SseStreamStarted", fields: { route: "demo" } }]);
  expect(await shard().knownStream("a")).toMatchObject({ state: "streaming", events: 9 });
  expect(await shard().knownStream("nobody")).toBeUndefined();
});

test("a shard's storage of a version that knew no sums is taken up as it is", async () => {
  await tell(started("a"), issued("a", 5));
  await shard().flush();
  await runInDurableObject(shard(), (_, { storage }) => void storage.sql.exec("DROP TABLE rollup"));
  await abortAllDurableObjects();
  await tell(started("b"));
  expect(await streamsAndEvents()).toMatchObject({ started: 1 });
  expect(await shard().flush()).toMatchObject({ error: null });
  await abortAllDurableObjects();
  expect(await streamsAndEvents()).toMatchObject({ started: 1 });
  expect(await alarmOf(shard())).toBeDefined();
});
