/**
 * Who may: client keys and tenants that never see each other's streams, and browsers of allowed origins.
 */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const KEY_A = "client-key-of-tenant-a-1";
const KEY_A2 = "client-key-of-tenant-a-2";
const KEY_B = "client-key-of-tenant-b-1";
const ORIGIN = "https://app.example.com";
const OTHER_ORIGIN = "https://staging.example.com:8443";

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream();
  service = await startService({
    vars: {
      ROUTES: [
        { name: "told", upstream: upstream.origin, method: "GET", allowGet: true, forwardHeaders: ["X-Model"] },
        { name: "other", upstream: upstream.origin, method: "GET", allowGet: true },
      ],
      CLIENT_AUTH: "bearer",
      CLIENT_KEYS: JSON.stringify({ a: [KEY_A, KEY_A2], b: [KEY_B] }),
      CORS_ORIGINS: `${ORIGIN}, ${OTHER_ORIGIN}`,
    },
  });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
});

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

async function startWith(key: string, headers: Record<string, string> = {}, query = ""): Promise<SseReading> {
  return readStream(`${service.origin}/told/stream${query}`, { headers: { ...bearer(key), ...headers } });
}

async function finishedStreamOf(key: string): Promise<SseReading> {
  upstream.handle(sendChunks([numberedEvents(1, 3)]));
  const reading = await startWith(key);
  await reading.toEnd();
  return reading;
}

describe("a start needs a client key", () => {
  const wrong: [string, Record<string, string>][] = [
    ["none", {}],
    ["an unknown one", bearer("client-key-of-nobody-000")],
    ["half of one", bearer(KEY_A.slice(0, -1))],
    ["one and a bit", bearer(`${KEY_A}x`)],
    ["one in another case", bearer(KEY_A.toUpperCase())],
    ["another scheme", { Authorization: `Basic ${KEY_A}` }],
    ["no scheme", { Authorization: KEY_A }],
    ["one where a token belongs", { "X-Resume-Token": KEY_A }],
  ];
  test.each(wrong)("%s: 401 unauthorized", async (_, headers) => {
    const before = upstream.calls.length;
    const response = await fetch(`${service.origin}/told/stream`, { headers });
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="spillway"');
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthorized" });
    expect(upstream.calls.length).toBe(before);
  });

  test("every key of a tenant will do, and none reaches the upstream", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    for (const key of [KEY_A, KEY_A2, KEY_B]) {
      const reading = await startWith(key);
      await reading.toEnd();
      expect(reading.data).toEqual(numbers(1, 3));
      expect(JSON.stringify(upstream.calls.at(-1)?.headers)).not.toContain(key);
    }
  });

  test("a token is no client key", async () => {
    const { token } = await finishedStreamOf(KEY_A);
    const response = await fetch(`${service.origin}/told/stream`, { headers: bearer(token) });
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthorized" });
  });
});

describe("a token alone suffices to go on; a key beside it must be of the same tenant", () => {
  const calls = [
    ["resume", "GET"],
    ["status", "GET"],
    ["stream", "DELETE"],
  ] as const;

  test.each(calls)("%s (%s)", async (path, method) => {
    const { token } = await finishedStreamOf(KEY_A);
    const url = `${service.origin}/told/${path}`;
    const send = (headers: Record<string, string>, query = "") => fetch(url + query, { method, headers });
    const fine: [Record<string, string>, string?][] = [
      [{ "X-Resume-Token": token }],
      [bearer(token)],
      [{}, `?token=${token}`],
      [{ "X-Resume-Token": token, ...bearer(KEY_A) }],
      [{ "X-Resume-Token": token, ...bearer(KEY_A2) }],
      [bearer(KEY_A), `?token=${token}`],
    ];
    for (const [headers, query] of fine) {
      const response = await send(headers, query);
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
    for (const [headers, query] of [
      [{ "X-Resume-Token": token, ...bearer(KEY_B) }, ""],
      [bearer(KEY_B), `?token=${token}`],
    ] as const) {
      expect(await problemOf(await send(headers, query))).toMatchObject({ status: 404, code: "stream_not_found" });
    }
    const unknown = { "X-Resume-Token": token, ...bearer("client-key-of-nobody-000") };
    expect(await problemOf(await send(unknown))).toMatchObject({ status: 401, code: "unauthorized" });
    expect(await problemOf(await send(bearer(KEY_A)))).toMatchObject({ status: 400, code: "token_missing" });
  });

  test("another tenant's key cancels nothing", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const answer = startWith(KEY_A);
    await source.open();
    const reading = await answer;
    const headers = { "X-Resume-Token": reading.token, ...bearer(KEY_B) };
    const refused = await fetch(`${service.origin}/told/stream`, { method: "DELETE", headers });
    expect(await problemOf(refused)).toMatchObject({ status: 404, code: "stream_not_found" });
    source.sendNumbers(1, 2);
    source.end();
    await reading.toEnd();
    expect(reading.control("end")).toMatchObject([{ status: "complete" }]);
    expect(reading.data).toEqual(numbers(1, 2));
  });
});

test("the same idempotency key of two tenants, or on two routes, is two streams", async () => {
  upstream.handle(sendChunks([numberedEvents(1, 3)]));
  const before = upstream.calls.length;
  const key = { "Idempotency-Key": randomUUID() };
  const ids = new Set<string>();
  for (const client of [KEY_A, KEY_A2, KEY_B]) {
    const reading = await startWith(client, key);
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 3));
    ids.add(reading.requestId);
  }
  const elsewhere = await readStream(`${service.origin}/other/stream`, { headers: { ...bearer(KEY_A), ...key } });
  await elsewhere.toEnd();
  ids.add(elsewhere.requestId);
  // Both keys of tenant a are one tenant's.
  expect(ids.size).toBe(3);
  expect(upstream.calls.length - before).toBe(3);
});

function listed(response: Response, name: string): string[] {
  return (response.headers.get(name) ?? "").split(",").map((entry) => entry.trim().toLowerCase());
}

function preflight(origin: string, path = "/told/stream"): Promise<Response> {
  const headers = {
    Origin: origin,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,idempotency-key,last-event-id,x-model",
  };
  return fetch(service.origin + path, { method: "OPTIONS", headers });
}

describe("CORS", () => {
  test.each([ORIGIN, OTHER_ORIGIN])("preflight of an allowed origin: %s", async (origin) => {
    for (const path of ["/told/stream", "/told/resume", "/told/status", "/resume"]) {
      const response = await preflight(origin, path);
      expect(response.status).toBe(204);
      expect(response.headers.get("access-control-allow-origin")).toBe(origin);
      expect(response.headers.get("vary")?.toLowerCase()).toContain("origin");
      expect(listed(response, "access-control-allow-methods")).toEqual(
        expect.arrayContaining(["get", "post", "delete"]),
      );
      expect(listed(response, "access-control-allow-headers")).toEqual(
        expect.arrayContaining(
          "authorization content-type idempotency-key last-event-id prefer x-correlation-id x-resume-mode x-resume-token x-model".split(
            " ",
          ),
        ),
      );
      expect(response.headers.get("access-control-allow-credentials")).toBeNull();
    }
  });

  test.each(["https://evil.example.com", "https://app.example.com.evil.net", "http://app.example.com", "null"])(
    "no answer to a stranger names an allowed origin: %s",
    async (origin) => {
      upstream.handle(sendChunks([numberedEvents(1, 1)]));
      const start = await fetch(`${service.origin}/told/stream`, { headers: { Origin: origin, ...bearer(KEY_A) } });
      for (const response of [await preflight(origin), start]) {
        expect(response.headers.get("access-control-allow-origin")).toBeNull();
        await response.arrayBuffer();
      }
    },
  );

  test("what a page needs of an answer is exposed: on streams, receipts, 204s and refusals", async () => {
    const { token } = await finishedStreamOf(KEY_A);
    const origin = { Origin: ORIGIN };
    const get = (path: string, headers: Record<string, string> = {}) =>
      fetch(service.origin + path, { headers: { ...origin, ...headers } });
    const answers = [
      await get("/told/stream", bearer(KEY_A)),
      await get("/told/stream", { ...bearer(KEY_A), Prefer: "respond-async" }),
      await get(`/told/resume?token=${token}&last_event_id=1-3`),
      await get("/told/resume?token=a.b.c"),
      await get("/told/stream"),
      await get("/nothing-here"),
      await get(`/told/stream?q=${"x".repeat(9_000)}`, bearer(KEY_A)),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 202, 204, 401, 401, 404, 414]);
    for (const response of answers) {
      const { status } = response;
      const allowed = response.headers.get("access-control-allow-origin");
      expect({ status, allowed, exposed: listed(response, "access-control-expose-headers") }).toEqual({
        status,
        allowed: ORIGIN,
        exposed: expect.arrayContaining(
          "x-request-id x-resume-token x-spillway-degraded x-spillway-end retry-after".split(" "),
        ),
      });
      await response.arrayBuffer();
    }
  });

  test("an upstream's refusal carries our CORS headers and not its own", async () => {
    upstream.handle((_, response) => {
      response.writeHead(403, { "access-control-allow-origin": "https://upstream.example.com" }).end("no");
    });
    const response = await fetch(`${service.origin}/told/stream`, { headers: { Origin: ORIGIN, ...bearer(KEY_A) } });
    expect(response.status).toBe(403);
    expect(response.headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(await response.text()).toBe("no");
  });

  test.each([
    ["*", "*"],
    ["", null],
  ])("CORS_ORIGINS %j answers any origin with %j", async (CORS_ORIGINS, allowed) => {
    const ROUTES = [{ name: "told", upstream: upstream.origin, method: "GET", allowGet: true }];
    const other = await startService({ vars: { ROUTES, CORS_ORIGINS } });
    try {
      upstream.handle(sendChunks([numberedEvents(1, 1)]));
      const response = await fetch(`${other.origin}/told/stream`, { headers: { Origin: "https://any.example.net" } });
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe(allowed);
      await response.arrayBuffer();
    } finally {
      await endService(other);
    }
  });
});
