/**
 * The monitor over time: when it looks and when it rests (M2), what it remembers, and alerts told once (M1).
 */
import { expect, test } from "vitest";

import { IDLE_MS } from "../../durable-objects/monitor/service-watch.ts";
import { parseExposition, valueOf } from "../fixtures/exposition-check.ts";
import { START_MS, WatchedService, WEBHOOK_URL } from "../fixtures/watched-service.ts";

const MINUTE_MS = 60_000;

async function totalOf(service: WatchedService, name: string): Promise<number> {
  service.clock.nowMs += 2000;
  return valueOf(parseExposition(await service.watch.metrics()), name);
}

test("M2: woken, it looks at once and every 30 s while anything happens; then not at all", async () => {
  const service = new WatchedService();
  expect(service.alarmAtMs).toBeUndefined();
  await service.watch.wake();
  expect(service.alarmAtMs).toBe(START_MS);
  for (let at = 0; at < 10; at++) {
    service.count("streams_started", 1, "demo");
    await service.runUntil(START_MS + (at + 1) * MINUTE_MS);
  }
  expect(service.looks).toBe(21);
  await service.runFor(IDLE_MS + MINUTE_MS);
  const { looks } = service;
  await service.runFor(24 * 60 * MINUTE_MS);
  expect([service.looks, service.alarmAtMs]).toEqual([looks, undefined]);
  await service.watch.wake();
  await service.runFor(MINUTE_MS);
  expect(service.looks).toBeGreaterThan(looks);
});

test("M2: it does not rest while an alert fires", async () => {
  const service = new WatchedService();
  service.shard().status = { buffer_fill_rate: 0.6 };
  await service.watch.wake();
  await service.runFor(3 * IDLE_MS);
  expect(service.names()).toEqual(["AlertFired BufferFill info shard-0"]);
  expect(service.alarmAtMs).toBeDefined();
  service.shard().status = {};
  await service.runFor(IDLE_MS);
  expect(service.names()).toEqual(["AlertFired BufferFill info shard-0", "AlertResolved BufferFill info shard-0"]);
  expect(service.alarmAtMs).toBeUndefined();
});

test("whoever asks within two seconds, or at the same time, is told of one look", async () => {
  const service = new WatchedService();
  await Promise.all([service.watch.overview(), service.watch.metrics(), service.watch.alerts()]);
  await service.watch.overview();
  expect(service.looks).toBe(1);
  service.clock.nowMs += 2000;
  await service.watch.overview();
  expect(service.looks).toBe(2);
});

test("asking is no activity: it sets no alarm while nothing happens", async () => {
  const service = new WatchedService();
  await service.watch.overview();
  expect(service.alarmAtMs).toBeUndefined();
});

test("sums do not fall while a shard is out of reach, nor with a restart, nor with a shard's new life", async () => {
  const service = new WatchedService({ shards: 2 });
  service.count("streams_started", 3, "demo", 0);
  service.count("streams_started", 4, "demo", 1);
  const started = "spillway_streams_started_total";
  expect(await totalOf(service, started)).toBe(7);
  service.shard(1).isReachable = false;
  expect(await totalOf(service, started)).toBe(7);
  service.restart();
  expect(await totalOf(service, started)).toBe(7);
  Object.assign(service.shard(1), { isReachable: true, shard: "1-bbbb" });
  service.shard(1).counters.streams_started = { demo: 1 };
  expect(await totalOf(service, started)).toBe(8);
  service.restart();
  expect(await totalOf(service, started)).toBe(8);
});

test("a shard out of reach keeps its last values, and is said to be", async () => {
  const service = new WatchedService();
  service.shard().status = { events: 12, buffer_fill_rate: 0.2 };
  await service.watch.overview();
  service.shard().isReachable = false;
  service.clock.nowMs += MINUTE_MS;
  const report = await service.watch.overview();
  expect(report.shards).toMatchObject([{ name: "shard-0", is_reachable: false, events: 12 }]);
  expect(report.now.buffered_events).toBe(12);
});

test("points outlive a restart, and go on in their minute", async () => {
  const service = new WatchedService();
  await service.watch.wake();
  service.count("resume_attempts", 2, "demo");
  await service.runFor(10_000);
  service.restart();
  service.count("resume_attempts", 3, "demo");
  await service.runFor(MINUTE_MS - 20_000);
  const { points, started_at: startedAt } = await service.watch.overview();
  expect(points.map(({ at, resume_attempts: attempts }) => [at, attempts])).toEqual([
    [new Date(START_MS).toISOString(), 5],
  ]);
  expect(startedAt).toBe(new Date(START_MS).toISOString());
});

test("M1: what fires is told once in the log and once to the webhook, also across restarts", async () => {
  const service = new WatchedService();
  service.count("dead_lettered_events", 2);
  await service.watch.wake();
  await service.runFor(MINUTE_MS);
  for (let restarts = 0; restarts < 3; restarts++) {
    service.restart();
    await service.runFor(MINUTE_MS);
  }
  expect(service.names()).toEqual(["AlertFired DeadLetters warning lake"]);
  expect(service.told[0]).toMatchObject({ value: 2, threshold: 0, message: expect.stringMatching(/: 2\.$/) });
  expect(service.calls).toHaveLength(1);
  await service.runFor(10 * MINUTE_MS);
  expect(service.names()).toEqual(["AlertFired DeadLetters warning lake", "AlertResolved DeadLetters warning lake"]);
  const bodies = service.calls.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  expect(bodies).toMatchObject([
    { type: "alert.fired", data: { alert: "DeadLetters", resolved_at: null, runbook: "RUNBOOK.md#dead-letters" } },
    { type: "alert.resolved", data: { alert: "DeadLetters", resolved_at: expect.stringMatching(/Z$/) } },
  ]);
  const { alerts } = await service.watch.overview();
  expect(alerts).toMatchObject({ firing: [], recent: [{ alert: "DeadLetters", resolved_at: expect.any(String) }] });
});

test("M1: what storage refuses has not happened: it is told once storage takes it", async () => {
  const service = new WatchedService();
  service.count("dead_lettered_events", 1);
  await service.watch.overview();
  service.count("degraded", 1, "storage");
  service.storage.shouldFail = (kind) => kind === "write";
  service.clock.nowMs += MINUTE_MS;
  await expect(service.watch.overview()).rejects.toThrow(/SQLITE_FULL/);
  expect(service.names()).toEqual(["AlertFired DeadLetters warning lake"]);
  service.storage.shouldFail = () => false;
  await service.watch.overview();
  expect(service.names()).toEqual(["AlertFired DeadLetters warning lake", "AlertFired Degraded warning streams"]);
});

test("what was about to fire begins anew where nobody has looked for a while", async () => {
  const service = new WatchedService();
  service.shard().status = { buffer_fill_rate: 0.95 };
  await service.watch.overview();
  service.restart();
  service.alarmAtMs = undefined;
  service.clock.nowMs += 10 * MINUTE_MS;
  await service.watch.overview();
  expect(service.names()).toEqual([]);
  await service.runFor(5 * MINUTE_MS);
  expect(service.names()).toEqual(["AlertFired BufferFill critical shard-0"]);
});

test("what was about to fire begins anew in storage, too: a restart after a quiet hour finds nothing pending", async () => {
  const service = new WatchedService();
  service.shard().status = { buffer_fill_rate: 0.6 };
  await service.watch.overview();
  service.clock.nowMs += 60 * MINUTE_MS;
  service.shard().status = {};
  await service.watch.overview();
  service.restart();
  service.shard().status = { buffer_fill_rate: 0.6 };
  await service.watch.overview();
  expect(service.names()).toEqual([]);
});

/** A shard that is nearly full, told so, and out of reach from then on; then the monitor restarts. */
async function silentSince(service: WatchedService, index = 0): Promise<void> {
  service.shard(index).status = { buffer_fill_rate: 0.95 };
  await service.watch.wake();
  await service.runFor(6 * MINUTE_MS);
  expect(service.names()).toEqual([`AlertFired BufferFill critical shard-${index}`]);
  service.shard(index).isReachable = false;
  service.restart();
  await service.runFor(30 * MINUTE_MS);
}

test("what fires about a shard goes on while it does not answer, across a restart; its silence is told, too", async () => {
  const service = new WatchedService();
  await silentSince(service);
  const fired = ["AlertFired BufferFill critical shard-0", "AlertFired ShardUnreachable critical shard-0"];
  expect(service.names()).toEqual(fired);
  const { firing } = await service.watch.alerts();
  expect(firing).toMatchObject([
    { alert: "BufferFill", value: 0.95, message: expect.stringContaining("95 % full") },
    {},
  ]);
  Object.assign(service.shard(), { isReachable: true, status: {} });
  await service.runFor(10 * MINUTE_MS);
  expect(service.names().slice(2)).toEqual([
    "AlertResolved BufferFill critical shard-0",
    "AlertResolved ShardUnreachable critical shard-0",
  ]);
});

test("what fires about a shard is over once nobody lists that shard any more, and not while none can be listed", async () => {
  const service = new WatchedService({ shards: 2 });
  await silentSince(service, 1);
  service.told.length = 0;
  service.shards.pop();
  service.isComplete = false;
  service.restart();
  await service.runFor(30 * MINUTE_MS);
  expect(service.names()).toEqual([]);
  service.isComplete = true;
  await service.runFor(30 * MINUTE_MS);
  expect(service.names()).toEqual([
    "AlertResolved BufferFill critical shard-1",
    "AlertResolved ShardUnreachable critical shard-1",
  ]);
});

test("a degraded stream whose end nobody tells is not told of for ever, and lets the monitor rest", async () => {
  const service = new WatchedService();
  const lost = {
    requestId: "a",
    route: "demo",
    tenant: "acme",
    state: "streaming",
    reason: null,
    startedAtMs: START_MS,
    endedAtMs: undefined,
    lastHeardAtMs: START_MS,
    events: 1,
    trimmedEvents: 0,
    foldedEvents: 0,
    resumes: 0,
    readers: 0,
    isDegraded: true,
  } as const;
  service.shard().rollup = { activeStreams: [lost] };
  await service.watch.wake();
  await service.runFor(30 * MINUTE_MS);
  expect(service.names()).toEqual(["AlertFired Degraded warning streams"]);
  await service.runFor(60 * MINUTE_MS);
  expect(service.names().slice(1)).toEqual(["AlertResolved Degraded warning streams"]);
  expect(service.alarmAtMs).toBeUndefined();
});

test("a webhook that fails is tried again by alarm, after a restart too, and what is given up is told", async () => {
  const service = new WatchedService();
  service.answers = ["no answer", 500];
  service.count("dead_lettered_events", 1);
  await service.watch.wake();
  await service.runFor(1000);
  service.restart();
  await service.runFor(MINUTE_MS);
  expect(service.calls).toHaveLength(3);
  service.answers = Array.from({ length: 100 }, () => 500);
  service.count("degraded", 1, "storage");
  await service.runFor(120 * MINUTE_MS);
  expect(service.told).toContainEqual({
    event: "AlertWebhookFailed",
    message_id: expect.stringMatching(/^msg_/),
    tries: 8,
    reason: "it answered 500",
  });
});

test("a test alert goes to log and webhook at once, and nowhere else", async () => {
  const service = new WatchedService();
  expect(await service.watch.testAlert()).toEqual({ has_webhook: true, delivered: true, status: 204 });
  expect(service.logged).toMatchObject([{ event: "AlertFired", alert: "Test" }]);
  expect(JSON.parse(service.calls[0]?.body ?? "")).toMatchObject({ type: "alert.test" });
  service.answers = ["no answer"];
  expect(await service.watch.testAlert()).toEqual({ has_webhook: true, delivered: false, status: null });
  expect(await service.watch.alerts()).toEqual({ firing: [], recent: [] });
  const silent = new WatchedService({ variables: { ALERT_WEBHOOK_URL: "", ALERT_WEBHOOK_SECRET: "" } });
  expect(await silent.watch.testAlert()).toEqual({ has_webhook: false, delivered: false, status: null });
});

test("nothing that is told or reported holds the webhook's URL or secret", async () => {
  const service = new WatchedService();
  service.answers = Array.from({ length: 8 }, () => "no answer" as const);
  service.count("dead_lettered_events", 1);
  await service.watch.wake();
  await service.runFor(120 * MINUTE_MS);
  const said = JSON.stringify([
    service.told,
    service.logged,
    await service.watch.overview(),
    await service.watch.metrics(),
  ]);
  for (const secret of [WEBHOOK_URL, "url-secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    expect(said).not.toContain(secret);
});
