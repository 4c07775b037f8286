/**
 * A start that is repeated with its Idempotency-Key attaches to the stream it started: the upstream is
 * paid once, and nobody else's events come out of it.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, type SseReading } from "../fixtures/sse-reading.ts";
import { openEventStream, sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

let upstream: Upstream;
let service: Service;
/** The same routes, and streams that are gone a second after their end. */
let shortLived: Service;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = { upstream: upstream.origin, allowGet: true };
  const ROUTES = [
    { ...route, name: "told" },
    { ...route, name: "plain", control: false },
  ];
  service = await startService({ vars: { ROUTES } });
  shortLived = await startService({ vars: { ROUTES, SSE_SNAPSHOT_TTL_SEC: 1 } });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
  await endService(shortLived);
});

interface Start {
  readonly key: string;
  readonly body?: string;
  readonly query?: string;
  readonly lastEventId?: string;
  readonly route?: string;
  readonly on?: Service;
}

function requestOf({ key, body = "{}", query = "", lastEventId, route = "told", on = service }: Start) {
  const position = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
  const init = { method: "POST", body, headers: { "Idempotency-Key": key, ...position } };
  return { url: `${on.origin}/${route}/stream${query}`, init };
}

function start(request: Start): Promise<SseReading> {
  const { url, init } = requestOf(request);
  return readStream(url, init);
}

function answerTo(request: Start): Promise<Response> {
  const { url, init } = requestOf(request);
  return fetch(url, init);
}

describe("the same key attaches to the same stream", () => {
  test("while it runs and when it is over, from the start or at Last-Event-ID", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const key = randomUUID();
    const answer = start({ key });
    await source.open();
    const first = await answer;
    source.sendNumbers(1, 5);
    await first.untilContent(5);
    const second = await start({ key });
    const third = await start({ key, lastEventId: "1-4" });
    source.sendNumbers(6, 8);
    source.end();
    for (const [reading, from] of [
      [first, 1],
      [second, 1],
      [third, 5],
    ] as const) {
      await reading.toEnd();
      expect(reading.data).toEqual(numbers(from, 8));
      expect(reading.requestId).toBe(first.requestId);
      expect(reading.control("end")).toMatchObject([{ status: "complete" }]);
    }
    const late = await start({ key, lastEventId: "1-6" });
    await late.toEnd();
    expect(late.data).toEqual(["7", "8"]);
    expect((await answerTo({ key, lastEventId: "1-8" })).status).toBe(204);
    expect(source.callCount).toBe(1);
  });

  test("ten starts at once, while the upstream takes its time with its head", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const key = randomUUID();
    const starts = Array.from({ length: 10 }, () => start({ key }));
    await expect.poll(() => source.callCount, { timeout: 10_000 }).toBeGreaterThan(0);
    // Time enough for the others to get there too; were each to call the upstream, it would show.
    await wait(100);
    await source.open();
    const readings = await Promise.all(starts);
    source.sendNumbers(1, 4);
    source.end();
    for (const reading of readings) {
      await reading.toEnd();
      expect(reading.data).toEqual(numbers(1, 4));
    }
    expect(new Set(readings.map(({ requestId }) => requestId)).size).toBe(1);
    expect(source.callCount).toBe(1);
  });

  test("by header or, on GET, by query", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const key = randomUUID();
    const before = upstream.calls.length;
    const byQuery = await readStream(`${service.origin}/told/stream?idempotency_key=${key}&q=1`);
    const byHeader = await readStream(`${service.origin}/told/stream?q=1`, { headers: { "Idempotency-Key": key } });
    await Promise.all([byQuery.toEnd(), byHeader.toEnd()]);
    expect(byHeader.requestId).toBe(byQuery.requestId);
    // The key is ours: the upstream does not see it.
    expect(upstream.calls.slice(before).map(({ url }) => url)).toEqual(["/?q=1"]);
  });

  test("the caller who started it may go before the head comes: the stream runs on for the next", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const key = randomUUID();
    const abort = new AbortController();
    const { url, init } = requestOf({ key });
    const gone = fetch(url, { ...init, signal: abort.signal }).catch(() => "gone");
    await expect.poll(() => source.callCount, { timeout: 10_000 }).toBe(1);
    abort.abort();
    expect(await gone).toBe("gone");
    const next = start({ key });
    await source.open();
    source.sendNumbers(1, 3);
    source.end();
    const reading = await next;
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 3));
    expect(source.callCount).toBe(1);
  });
});

describe("a key stands for one request", () => {
  test("the same key with another body or query is 409 idempotency_conflict", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const key = randomUUID();
    await (await start({ key, body: "one", query: "?q=1" })).toEnd();
    const before = upstream.calls.length;
    for (const change of [{ body: "two" }, { body: "" }, { query: "?q=2" }, { query: "" }, { query: "?q=1&r=2" }]) {
      const response = await answerTo({ key, body: "one", query: "?q=1", ...change });
      expect(await problemOf(response)).toMatchObject({ status: 409, code: "idempotency_conflict" });
    }
    expect(upstream.calls.length).toBe(before);
    const same = await start({ key, body: "one", query: "?q=1&last_event_id=1-2" });
    await same.toEnd();
    expect(same.data).toEqual(["3"]);
  });

  test.each(["", "short", "x".repeat(15), "x".repeat(257)])(
    "a key that could be guessed, or too long, is refused: %j",
    async (key) => {
      const before = upstream.calls.length;
      const problem = await problemOf(await answerTo({ key }));
      expect(problem).toMatchObject({ status: 400, code: "invalid_request" });
      expect(problem).toMatchObject({ field: "idempotency_key" });
      expect(upstream.calls.length).toBe(before);
    },
  );

  test("other keys are other streams, under ids that tell nothing of them", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 1)]));
    const keys = [randomUUID(), randomUUID()];
    const readings = await Promise.all(keys.map((key) => start({ key })));
    await Promise.all(readings.map((reading) => reading.toEnd()));
    expect(new Set(readings.map(({ requestId }) => requestId)).size).toBe(2);
    for (const [at, { requestId }] of readings.entries()) {
      expect(requestId).toMatch(/^[\w-]{22,}$/);
      expect(requestId).not.toContain(keys[at]);
    }
  });
});

describe("what does not stick", () => {
  test("an upstream's refusal: the next start with the key calls it again", async () => {
    const key = randomUUID();
    upstream.handle((_, response) => void response.writeHead(503, { "retry-after": "1" }).end("busy"));
    for (let attempt = 0; attempt < 2; attempt++) {
      const refused = await answerTo({ key });
      expect(refused.status).toBe(503);
      expect(await refused.text()).toBe("busy");
    }
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const reading = await start({ key });
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 3));
  });

  test("a refusal that several starts waited for: each is answered, and one of them can succeed", async () => {
    const key = randomUUID();
    let calls = 0;
    upstream.handle(async (_, response) => {
      calls++;
      await wait(50);
      if (calls === 1) return void response.writeHead(500).end("not yet");
      openEventStream(response);
      response.end(numberedEvents(1, 2));
    });
    const readings = await Promise.all(Array.from({ length: 4 }, () => start({ key })));
    await Promise.all(readings.map((reading) => reading.toEnd()));
    const statuses = readings.map(({ response }) => response.status).sort((left, right) => left - right);
    expect(statuses).toEqual([200, 200, 200, 500]);
    expect(calls).toBe(2);
  });
});

describe("after the stream's time to live", () => {
  test.each(["told", "plain"])(
    "a retry that had come further is 410; one from the start begins anew (%s)",
    async (route) => {
      upstream.handle(sendChunks([numberedEvents(1, 3)]));
      const request = { key: randomUUID(), route, on: shortLived };
      const before = upstream.calls.length;
      await (await start(request)).toEnd();
      await expect
        .poll(async () => (await answerTo({ ...request, lastEventId: "1-3" })).status, { timeout: 20_000 })
        .toBe(410);
      for (const lastEventId of ["1-1", "1-3", "7-9"]) {
        expect(await problemOf(await answerTo({ ...request, lastEventId }))).toMatchObject({
          status: 410,
          code: "stream_expired",
        });
      }
      expect(upstream.calls.length - before).toBe(1);

      const anew = await start({ ...request, lastEventId: "0-0" });
      await anew.toEnd();
      expect(anew.data).toEqual(numbers(1, 3));
      expect(upstream.calls.length - before).toBe(2);
    },
  );
});
