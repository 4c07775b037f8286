/**
 * Messages to the alert webhook: signed as Standard Webhooks has it, tried again until taken (W1), and nothing of
 * URL or secret told.
 */
import { expect, test } from "vitest";

import { sendWebhook, signWebhook } from "../../durable-objects/monitor/webhook.ts";
import { TRIES_MAX, WebhookQueue, type WaitingMessage } from "../../durable-objects/monitor/webhook-queue.ts";
import { createClock } from "../fixtures/lake-parts.ts";

/** From the test suite of the Standard Webhooks libraries. */
const VECTOR = {
  secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
  timestamp: 1_614_265_330,
  body: '{"test": 2432232314}',
  signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
} as const;
const SETTINGS = { url: "https://hooks.example/in?token=url-secret", secret: VECTOR.secret };

test("a message is signed as in the specification's example", async () => {
  expect(await signWebhook(VECTOR.secret, VECTOR)).toBe(VECTOR.signature);
});

test("it is sent with its three headers, redirects not followed, within ten seconds", async () => {
  let seen: RequestInit | undefined;
  const fetch = async (_: unknown, init?: RequestInit) => {
    seen = init;
    return new Response("thanks");
  };
  const outcome = await sendWebhook(SETTINGS, VECTOR, { fetch, nowMs: VECTOR.timestamp * 1000 + 999 });
  expect(outcome).toEqual({ ok: true, status: 200 });
  expect(seen).toMatchObject({
    method: "POST",
    redirect: "manual",
    body: VECTOR.body,
    headers: {
      "Content-Type": "application/json",
      "webhook-id": VECTOR.id,
      "webhook-timestamp": String(VECTOR.timestamp),
      "webhook-signature": VECTOR.signature,
    },
  });
  expect(seen?.signal).toBeInstanceOf(AbortSignal);
});

test("the answer's body is not read", async () => {
  let wasCancelled = false;
  const body = new ReadableStream({ cancel: () => void (wasCancelled = true) }, { highWaterMark: 0 });
  await sendWebhook(SETTINGS, VECTOR, { fetch: async () => new Response(body), nowMs: 0 });
  expect(wasCancelled).toBe(true);
});

test.each([
  [302, "it answered 302", false],
  [410, "it answered 410", true],
  [500, "it answered 500", false],
] as const)("an answer of %i is no success", async (status, reason, isGone) => {
  const outcome = await sendWebhook(SETTINGS, VECTOR, { fetch: async () => new Response(null, { status }), nowMs: 0 });
  expect(outcome).toEqual({ ok: false, status, reason, isGone });
});

test("neither URL nor secret is in the reason", async () => {
  const fetch = async (): Promise<Response> => Promise.reject(new TypeError(`cannot reach ${SETTINGS.url}`));
  const outcome = await sendWebhook(SETTINGS, VECTOR, { fetch, nowMs: 0 });
  expect(outcome).toEqual({ ok: false, status: null, reason: "no answer", isGone: false });
});

function queueOf({ statuses = [] as number[], hasWebhook = true, takesMs = 0 } = {}) {
  const clock = createClock();
  const stored = new Map<string, WaitingMessage>();
  const sentAtMs: number[] = [];
  const sentIds: string[] = [];
  const givenUp: object[] = [];
  const store = {
    putMessage: (message: WaitingMessage) => void stored.set(message.id, message),
    dropMessage: (id: string) => void stored.delete(id),
  };
  const fetch = async (_: unknown, init?: RequestInit) => {
    sentAtMs.push(clock.nowMs);
    clock.nowMs += takesMs;
    sentIds.push(new Headers(init?.headers).get("webhook-id") ?? "");
    return new Response(null, { status: statuses.shift() ?? 204 });
  };
  const deps = {
    settings: hasWebhook ? SETTINGS : undefined,
    store,
    fetch,
    clock: clock.read,
    random: () => 1,
    onGivenUp: (told: object) => givenUp.push(told),
  };
  const make = () => new WebhookQueue(deps, [...stored.values()]);
  return { clock, stored, sentAtMs, sentIds, givenUp, make };
}

async function runAll(queue: WebhookQueue, clock: { nowMs: number }): Promise<void> {
  for (let dueAtMs = queue.dueAtMs(); dueAtMs !== undefined; dueAtMs = queue.dueAtMs()) {
    clock.nowMs = dueAtMs;
    await queue.deliverDue();
  }
}

test("W1: a message is tried again with growing waits until it is taken, under one id", async () => {
  const { clock, stored, sentAtMs, sentIds, givenUp, make } = queueOf({ statuses: [500, 503, 302] });
  const queue = make();
  queue.add({ id: "msg_1", body: "{}" });
  expect(stored.size).toBe(1);
  const startMs = clock.nowMs;
  await runAll(queue, clock);
  expect(sentAtMs.map((atMs) => (atMs - startMs) / 1000)).toEqual([0, 10, 30, 70]);
  expect(new Set(sentIds)).toEqual(new Set(["msg_1"]));
  expect([stored.size, queue.size, givenUp.length]).toEqual([0, 0, 0]);
});

test("W1: after eight tries it is given up, and that is told", async () => {
  const { clock, stored, sentAtMs, givenUp, make } = queueOf({ statuses: Array.from({ length: 20 }, () => 500) });
  const queue = make();
  queue.add({ id: "msg_1", body: "{}" });
  await runAll(queue, clock);
  expect(sentAtMs).toHaveLength(TRIES_MAX);
  expect(givenUp).toEqual([{ id: "msg_1", tries: TRIES_MAX, reason: "it answered 500" }]);
  expect(stored.size).toBe(0);
});

test("W1: tries go on where they were after a restart, and one that was cut off counts", async () => {
  const { clock, stored, sentAtMs, make } = queueOf({ statuses: [500] });
  make().add({ id: "msg_1", body: "{}" });
  const cut = make();
  const cutOff = cut.deliverDue();
  expect(stored.get("msg_1")?.tries).toBe(1);
  await cutOff;
  const restarted = make();
  expect(restarted.dueAtMs()).toBe(clock.nowMs + 10_000);
  await runAll(restarted, clock);
  expect(sentAtMs).toHaveLength(2);
  expect(stored.size).toBe(0);
});

test("a webhook that takes its time does not hold up its caller: what is left is due, and sent next", async () => {
  const { clock, sentIds, make } = queueOf({ takesMs: 9000 });
  const queue = make();
  for (let n = 1; n <= 5; n++) queue.add({ id: `msg_${n}`, body: "{}" });
  await queue.deliverDue();
  expect(sentIds).toEqual(["msg_1", "msg_2", "msg_3"]);
  expect(queue.dueAtMs()).toBeLessThanOrEqual(clock.nowMs);
  await queue.deliverDue();
  expect(sentIds).toHaveLength(5);
});

const bodyOf = (subject: string) => JSON.stringify({ data: { alert: "BufferFill", subject } });

test("W2: what is told of one alert goes in its order, also across a restart; other alerts do not wait for it", async () => {
  const { clock, sentIds, make } = queueOf({ statuses: [500, 204, 500, 500] });
  const queue = make();
  queue.add({ id: "fired", body: bodyOf("shard-0") });
  queue.add({ id: "other", body: bodyOf("shard-1") });
  queue.add({ id: "resolved", body: bodyOf("shard-0") });
  await queue.deliverDue();
  expect(sentIds).toEqual(["fired", "other"]);
  await runAll(make(), clock);
  expect(sentIds).toEqual(["fired", "other", "fired", "fired", "fired", "resolved"]);
});

test("W2: what comes after a message that was given up is sent all the same", async () => {
  const { clock, sentIds, givenUp, make } = queueOf({ statuses: Array.from({ length: TRIES_MAX }, () => 500) });
  const queue = make();
  for (const id of ["fired", "resolved"]) queue.add({ id, body: bodyOf("shard-0") });
  await runAll(queue, clock);
  expect(sentIds.slice(TRIES_MAX - 1)).toEqual(["fired", "resolved"]);
  expect(givenUp).toMatchObject([{ id: "fired" }]);
});

test("a webhook that answers 410 is not asked again", async () => {
  const { clock, sentAtMs, givenUp, make } = queueOf({ statuses: [410] });
  const queue = make();
  queue.add({ id: "msg_1", body: "{}" });
  await runAll(queue, clock);
  expect([sentAtMs.length, givenUp.length]).toEqual([1, 1]);
});

test("no more than a hundred wait: the oldest are given up", () => {
  const { stored, givenUp, make } = queueOf();
  const queue = make();
  for (let n = 1; n <= 103; n++) queue.add({ id: `msg_${n}`, body: "{}" });
  expect(stored.size).toBe(100);
  expect(givenUp).toMatchObject([{ id: "msg_1" }, { id: "msg_2" }, { id: "msg_3" }]);
});

test("without a webhook nothing is kept", () => {
  const { stored, make } = queueOf({ hasWebhook: false });
  const queue = make();
  queue.add({ id: "msg_1", body: "{}" });
  expect([stored.size, queue.dueAtMs()]).toEqual([0, undefined]);
});
