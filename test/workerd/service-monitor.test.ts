/**
 * The monitor inside workerd: woken by shards, looking by alarm, and whole again after a crash; its webhook tried
 * again by alarm. M1, M2, W1 with the platform's own storage, alarm and objects.
 */
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IDLE_MS } from "../../durable-objects/monitor/service-watch.ts";
import { ServiceMonitor } from "../../durable-objects/service-monitor.ts";
import { MONITOR_OBJECT_NAME } from "../../protocol/shard-choice.ts";
import { toLakeEvent } from "../../protocol/telemetry-event.ts";
import { TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";
import { EventBuffer } from "../../durable-objects/event-buffer.ts";
import { parseExposition, valueOf } from "../fixtures/exposition-check.ts";
import { alarmOf, emptyLake, shard } from "./lake-scene.ts";

const HOUR_MS = 3_600_000;
const INTERVAL_MS = 30_000;
const WEBHOOK = {
  ALERT_WEBHOOK_URL: "https://hooks.example/in?token=url-secret",
  ALERT_WEBHOOK_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};

let startMs = 0;
let told: Record<string, unknown>[] = [];

beforeEach(() => {
  told = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => {
    told.push(JSON.parse(line) as Record<string, unknown>);
  });
  // Ahead of the platform's own clock, which otherwise rings alarms by itself.
  startMs = Date.now() + HOUR_MS;
  vi.useFakeTimers({ toFake: ["Date"], now: startMs });
  vi.spyOn(TelemetryOutlet.prototype as unknown as { run(): Promise<void> }, "run").mockResolvedValue();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await runInDurableObject(monitor(), () => {});
  await emptyLake();
});

function monitor() {
  return env.SERVICE_MONITOR.getByName(MONITOR_OBJECT_NAME);
}

/** A record of the service reaches a shard, as an object would send it. */
async function tell(index: number, event: "SseStreamStarted" | "SseDegraded"): Promise<void> {
  const subject = { request_id: crypto.randomUUID(), route: "demo", tenant: "acme", time: new Date().toISOString() };
  const record = event === "SseDegraded" ? { event, kind: "storage" as const, ...subject } : { event, ...subject };
  const answer = await shard(index).append({
    shardIndex: index,
    events: [toLakeEvent(record, crypto.randomUUID())],
    isRiding: true,
  });
  expect(answer.ok).toBe(true);
}

/** A shard's word has reached the monitor, which looks at once. Waiting lets the fake clock go on. */
async function untilWoken(): Promise<void> {
  await vi.waitFor(async () => expect(await alarmOf(monitor())).toBeDefined());
  expect(await alarmOf(monitor())).toBeLessThanOrEqual(Date.now());
}

async function startedTotal(): Promise<number> {
  return valueOf(parseExposition(await monitor().metrics()), "spillway_streams_started_total", { route: "demo" });
}

function firedAlerts(): Record<string, unknown>[] {
  return told.filter(({ event }) => event === "AlertFired");
}

/** The platform's alarm at the time it is set for. */
async function ring(): Promise<void> {
  const dueMs = await alarmOf(monitor());
  if (dueMs === undefined) throw new Error("no alarm is set");
  vi.setSystemTime(Math.max(Date.now(), dueMs));
  expect(await runDurableObjectAlarm(monitor())).toBe(true);
}

test("a shard that is told something wakes the monitor, which looks by alarm until nothing happens any more", async () => {
  await tell(0, "SseStreamStarted");
  await tell(1, "SseStreamStarted");
  await untilWoken();
  await ring();
  expect(await startedTotal()).toBe(2);
  expect(await alarmOf(monitor())).toBe(Date.now() + INTERVAL_MS);
  await tell(1, "SseStreamStarted");
  await ring();
  expect(await startedTotal()).toBe(3);
  for (let rings = 0; (await alarmOf(monitor())) !== undefined; rings++) {
    expect(rings).toBeLessThan(25);
    await ring();
  }
  expect(Date.now() - startMs).toBeGreaterThanOrEqual(IDLE_MS);
  vi.setSystemTime(Date.now() + HOUR_MS);
  await tell(0, "SseStreamStarted");
  await untilWoken();
});

test("after a crash sums, minutes and alerts are what they were, and what fires is not told again", async () => {
  await tell(0, "SseStreamStarted");
  await tell(1, "SseDegraded");
  await untilWoken();
  await ring();
  expect(firedAlerts()).toMatchObject([{ alert: "Degraded", severity: "warning", subject: "streams", value: 1 }]);
  const before = await monitor().overview();
  await abortAllDurableObjects();
  // The shard of that stream cannot be asked: the monitor alone knows what it has said.
  const deaf = vi.spyOn(EventBuffer.prototype, "rollup").mockImplementation(() => {
    throw new Error("out of reach");
  });
  expect(await startedTotal()).toBe(1);
  deaf.mockRestore();
  vi.setSystemTime(Date.now() + 2000);
  const after = await monitor().overview();
  expect(after.alerts.firing).toMatchObject([{ alert: "Degraded", since: before.alerts.firing[0]?.since }]);
  expect(after.points).toEqual(before.points);
  expect(after.started_at).toBe(before.started_at);
  await ring();
  expect(firedAlerts()).toHaveLength(1);
});

/** The monitor as it would start with these variables, over the object's own storage and alarm. */
async function withWebhook<T>(use: (watched: ServiceMonitor) => Promise<T>): Promise<T> {
  return runInDurableObject(monitor(), async (_, state) => use(new ServiceMonitor(state, { ...env, ...WEBHOOK })));
}

test("W1: a message the webhook refuses is sent again by alarm, by another life too, signed, under its id", async () => {
  const calls: { url: string; headers: Headers }[] = [];
  const statuses = [500, 302, 200];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    calls.push({ url: new Request(input).url, headers: new Headers(init?.headers) });
    expect(init?.redirect).toBe("manual");
    return new Response("not read", { status: statuses.shift() ?? 200 });
  });
  await tell(0, "SseDegraded");
  await untilWoken();
  for (let tries = 1; tries <= 3; tries++) {
    await withWebhook(async (watched) => watched.alarm());
    expect(calls).toHaveLength(tries);
    vi.setSystemTime(Date.now() + INTERVAL_MS);
  }
  await withWebhook(async (watched) => watched.alarm());
  expect(calls).toHaveLength(3);
  expect(new Set(calls.map(({ headers }) => headers.get("webhook-id"))).size).toBe(1);
  for (const { url, headers } of calls) {
    expect(url).toBe(WEBHOOK.ALERT_WEBHOOK_URL);
    expect(headers.get("webhook-signature")).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/);
  }
  expect(new Set(calls.map(({ headers }) => headers.get("webhook-timestamp"))).size).toBe(3);
  expect(JSON.stringify(told)).not.toMatch(/url-secret|MfKQ9r8/);
});

test("asked before anything ever happened, it writes next to nothing and sets no alarm", async () => {
  const report = await monitor().overview();
  expect(report.now).toMatchObject({ active_streams: 0, resume_success_rate: null, trim_rate: null });
  expect(report.shards).toHaveLength(4);
  expect(await alarmOf(monitor())).toBeUndefined();
});
