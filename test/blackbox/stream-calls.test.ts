/**
 * What a caller can do with a stream besides reading it: keep it alive, renew its token, look at it,
 * replay it, cancel it.
 */
import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { parseObject, readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  scene = await startServiceWithUpstream([{ name: "told" }, { name: "plain", control: false }], {
    SSE_HEARTBEAT_SEC: 1,
    SSE_RESUME_TTL_SEC: 4,
  });
  ({ upstream, service } = scene);
});

afterAll(async () => {
  await scene.end();
});

async function startLive(route: string, init: RequestInit = {}) {
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = readStream(`${service.origin}/${route}/stream`, init);
  await source.open();
  return { source, reading: await answer };
}

function call(route: string, token: string, init: RequestInit = {}): Promise<Response> {
  const [path = "", action = ""] = route.split(" ");
  return fetch(`${service.origin}/${path}/${action}`, { ...init, headers: { "X-Resume-Token": token } });
}

async function statusOf(route: string, token: string): Promise<Record<string, unknown>> {
  return parseObject(await (await call(`${route} status`, token)).text());
}

function lastToken(reading: SseReading): string {
  return String(reading.control("resume").at(-1)?.["token"]);
}

describe("a stream that lasts", () => {
  test("readers of a silent stream get heartbeats", async () => {
    const { source, reading } = await startLive("told");
    await reading.until(() => reading.comments.filter((comment) => comment === "").length >= 2, "two heartbeats");
    expect(reading.events.filter(({ event }) => event !== "resume")).toEqual([]);
    source.end();
    expect(await reading.toEnd()).toBe("closed");
  });

  test("its token is renewed in band, in time, at the reader's position; the fresh one outlives the first", async () => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 3);
    await reading.untilContent(3);
    await reading.until(() => reading.control("resume").length >= 2, "a fresh token");
    const [first, second] = reading.control("resume");
    expect(first?.["token"]).toBe(reading.token);
    for (const told of [first, second]) {
      expect(told).toEqual({
        request_id: reading.requestId,
        token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
        expires_at: expect.stringMatching(ISO_TIME),
        mode: "live",
      });
    }
    const [old, fresh] = [decodeJwt(reading.token), decodeJwt(lastToken(reading))];
    expect(old).toMatchObject({ sub: reading.requestId, rte: "told", seq: "0-0", exp: (old.iat ?? 0) + 4 });
    expect(fresh).toMatchObject({ sub: reading.requestId, rte: "told", seq: "1-3", aud: old.aud ?? "" });
    expect(fresh.iat).toBeLessThan(old.exp ?? 0);
    // No control event but gap and end carries an id: the position has not moved.
    expect(reading.lastEventId).toBe("1-3");

    await expect.poll(async () => (await call("told status", reading.token)).status, { timeout: 20_000 }).toBe(410);
    const resumed = await resumeStream(`${service.origin}/told/resume`, lastToken(reading));
    source.sendNumbers(4, 5);
    source.end();
    await resumed.toEnd();
    expect(resumed.data).toEqual(numbers(4, 5));
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 5));
  });
});

describe("mode=replay gives what there is, then closes", () => {
  test.each(["query", "header"])("asked for in the %s", async (where) => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 7);
    await reading.untilContent(7);
    const inQuery = where === "query";
    const replay = await readStream(`${service.origin}/told/resume${inQuery ? "?mode=replay" : ""}`, {
      headers: {
        "X-Resume-Token": reading.token,
        "Last-Event-ID": "1-2",
        ...(inQuery ? {} : { "X-Resume-Mode": "replay" }),
      },
    });
    expect(await replay.toEnd()).toBe("closed");
    expect(replay.data).toEqual(numbers(3, 7));
    expect(replay.control("resume")).toMatchObject([{ mode: "replay" }]);
    expect(replay.control("end")).toEqual([]);
    expect(reading.outcome).toBe("open");
    source.end();
    await reading.toEnd();
  });

  test("on a finished stream it ends as any reading does", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const reading = await readStream(`${service.origin}/told/stream`);
    await reading.toEnd();
    const replay = await resumeStream(`${service.origin}/told/resume?mode=replay`, reading.token, "1-1");
    expect(await replay.toEnd()).toBe("closed");
    expect(replay.data).toEqual(numbers(2, 3));
    expect(replay.control("end")).toMatchObject([{ status: "complete" }]);
  });
});

describe("DELETE cancels: a stop is not a disconnect", () => {
  test("the upstream is let go, readers are told, and what came before stays readable", async () => {
    const { source, reading } = await startLive("told");
    const other = await resumeStream(`${service.origin}/told/resume`, reading.token, "0-0");
    source.sendNumbers(1, 4);
    await Promise.all([reading.untilContent(4), other.untilContent(4)]);
    const cancelled = await call("told stream", reading.token, { method: "DELETE" });
    expect(cancelled.status).toBe(200);
    expect(await cancelled.json()).toMatchObject({ state: "cancelled", reason: "cancelled_by_caller", events: 4 });
    for (const reader of [reading, other]) {
      expect(await reader.toEnd()).toBe("closed");
      expect(reader.data).toEqual(numbers(1, 4));
      expect(reader.control("end")).toMatchObject([
        { status: "cancelled", reason: "cancelled_by_caller", last_id: "1-4" },
      ]);
    }
    await expect.poll(() => source.isClosed, { timeout: 10_000 }).toBe(true);

    expect((await call("told stream", reading.token, { method: "DELETE" })).status).toBe(200);
    const late = await resumeStream(`${service.origin}/told/resume`, reading.token, "1-3");
    await late.toEnd();
    expect(late.data).toEqual(["4"]);
    expect(late.control("end")).toMatchObject([{ status: "cancelled" }]);
  });

  test("without control events the connection breaks off", async () => {
    const { source, reading } = await startLive("plain");
    source.sendNumbers(1, 4);
    await reading.untilContent(4);
    await (await call("plain stream", reading.token, { method: "DELETE" })).arrayBuffer();
    expect(await reading.toEnd()).toBe("broken");
    await expect.poll(() => source.isClosed, { timeout: 10_000 }).toBe(true);
  });

  test("a finished stream stays what it was", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 2)]));
    const reading = await readStream(`${service.origin}/told/stream`);
    await reading.toEnd();
    const answer = await call("told stream", reading.token, { method: "DELETE" });
    expect(await answer.json()).toMatchObject({ state: "completed", events: 2 });
  });
});

test("status says where a stream stands, first while it runs, then when it is over", async () => {
  const { source, reading } = await startLive("told", { headers: { "X-Correlation-Id": "order-4711" } });
  const fresh = await statusOf("told", reading.token);
  expect(fresh).toEqual({
    request_id: reading.requestId,
    route: "told",
    correlation_id: "order-4711",
    state: "streaming",
    epoch: 1,
    first_id: null,
    last_id: "0-0",
    events: 0,
    retained_events: 0,
    retained_bytes: 0,
    trimmed_events: 0,
    folded_events: 0,
    trimmed_payloads: 0,
    compressed_segments: 0,
    sampled_events: 0,
    resumes: 0,
    readers: 1,
    degraded: false,
    started_at: expect.stringMatching(ISO_TIME),
    ended_at: null,
    expires_at: null,
  });
  source.sendNumbers(1, 300);
  await reading.untilContent(300);
  source.end();
  await reading.toEnd();
  const over = await statusOf("told", reading.token);
  expect(over).toEqual({
    ...fresh,
    state: "completed",
    first_id: "1-45",
    last_id: "1-300",
    events: 300,
    retained_events: 256,
    retained_bytes: expect.any(Number),
    trimmed_events: 44,
    readers: 0,
    ended_at: expect.stringMatching(ISO_TIME),
    expires_at: expect.stringMatching(ISO_TIME),
  });
  expect(over["retained_bytes"]).toBeGreaterThan(256 * "id: 1-1\ndata: 1\n\n".length);
});
