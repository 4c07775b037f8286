/**
 * What an upstream can do wrong before its first byte: its refusals pass as they are, and nothing of a
 * stream is left behind.
 */
import { connect, createServer } from "node:net";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { problemOf } from "../fixtures/problems.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = { upstream: upstream.origin, method: "GET", allowGet: true };
  const closedPort = await portNobodyListensOn();
  service = await startService({
    vars: {
      ROUTES: [
        { ...route, name: "told" },
        { ...route, name: "plain", control: false },
        { ...route, name: "impatient", connectTimeoutMs: 200 },
        { ...route, name: "nobody", upstream: `http://127.0.0.1:${closedPort}` },
      ],
    },
  });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
});

async function portNobodyListensOn(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 1;
}

describe("an upstream that answers something other than an event stream is passed through", () => {
  interface Answer {
    readonly status: number;
    readonly headers?: Record<string, string>;
    readonly body?: string;
  }
  const answers: [string, Answer][] = [
    [
      "401 with JSON",
      {
        status: 401,
        headers: { "content-type": "application/json", "www-authenticate": "Bearer" },
        body: '{"error":"no"}',
      },
    ],
    [
      "429 with Retry-After",
      { status: 429, headers: { "content-type": "text/plain", "retry-after": "7" }, body: "slow down" },
    ],
    ["500 with HTML", { status: 500, headers: { "content-type": "text/html" }, body: "<h1>Oh</h1>" }],
    ["503 as an event stream", { status: 503, headers: { "content-type": "text/event-stream" }, body: "data: no\n\n" }],
    ["302, not followed", { status: 302, headers: { location: "http://127.0.0.1:9/elsewhere" } }],
    ["307 to itself, not followed", { status: 307, headers: { location: "/" } }],
    ["200 with JSON", { status: 200, headers: { "content-type": "application/json" }, body: '{"answer":42}' }],
    ["200 without a content type", { status: 200, body: "what is this" }],
    ["202 with JSON", { status: 202, headers: { "content-type": "application/json" }, body: '{"job":7}' }],
    ["202 with text", { status: 202, headers: { "content-type": "text/plain" }, body: "later" }],
    ["204", { status: 204 }],
    ["304", { status: 304 }],
    ["418 with an empty body", { status: 418 }],
  ];

  test.each(answers)("%s", async (_, { status, headers = {}, body = "" }) => {
    upstream.handle((_, response) => void response.writeHead(status, headers).end(body));
    const callsBefore = upstream.calls.length;
    for (const route of ["told", "plain"]) {
      const response = await fetch(`${service.origin}/${route}/stream`, { redirect: "manual" });
      expect(response.status).toBe(status);
      expect(await response.text()).toBe(body);
      for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
      // Nothing to come back to.
      expect(response.headers.get("x-resume-token")).toBeNull();
      expect(response.headers.get("x-request-id")).toMatch(/^[\w-]{20,}$/);
      expect([...response.headers.keys()].filter((name) => name.startsWith("x-spillway-"))).toEqual([]);
    }
    expect(upstream.calls.length - callsBefore).toBe(2);
    expect(service.telemetry("SseStreamStarted")).toEqual([]);
  });

  test("its body is decoded where it was compressed, and its cookies and our names are kept from readers", async () => {
    upstream.handle((_, response) => {
      response.writeHead(403, {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "set-cookie": "session=upstream",
        "x-spillway-degraded": "object",
        "access-control-allow-origin": "*",
        "x-upstream": "kept",
      });
      response.end(gzipSync('{"error":"no"}'));
    });
    const response = await fetch(`${service.origin}/told/stream`);
    expect(await response.text()).toBe('{"error":"no"}');
    const names = [...response.headers.keys()];
    expect(names).toContain("x-upstream");
    for (const name of ["set-cookie", "x-spillway-degraded", "access-control-allow-origin"])
      expect(names).not.toContain(name);
  });
});

describe("an upstream that does not answer", () => {
  test("connection refused is 502", async () => {
    const response = await fetch(`${service.origin}/nobody/stream`);
    expect(await problemOf(response)).toMatchObject({ status: 502, code: "upstream_unreachable" });
  });

  test("a connection reset before the head is 502", async () => {
    upstream.handle((request) => void request.socket.destroy());
    expect(await problemOf(await fetch(`${service.origin}/told/stream`))).toMatchObject({
      status: 502,
      code: "upstream_unreachable",
    });
  });

  test("a head that never comes is 504, and the call is given up", async () => {
    let isGivenUp = false;
    upstream.handle((request) => void request.socket.on("close", () => (isGivenUp = true)));
    expect(await problemOf(await fetch(`${service.origin}/impatient/stream`))).toMatchObject({
      status: 504,
      code: "upstream_timeout",
    });
    await expect.poll(() => isGivenUp, { timeout: 10_000 }).toBe(true);
  });

  test("a start that its caller gives up before the head is given up at the upstream", async () => {
    let isGivenUp = false;
    upstream.handle((request) => void request.socket.on("close", () => (isGivenUp = true)));
    const callsBefore = upstream.calls.length;
    // Reset, not closed: workerd looks for a closed connection only when it has something to send.
    const socket = connect(Number(new URL(service.origin).port), "127.0.0.1");
    socket.write("GET /told/stream HTTP/1.1\r\nHost: spillway\r\n\r\n");
    await expect.poll(() => upstream.calls.length, { timeout: 10_000 }).toBe(callsBefore + 1);
    socket.resetAndDestroy();
    await expect.poll(() => isGivenUp, { timeout: 10_000 }).toBe(true);
  });

  test("a body for an upstream that is called with GET is not blamed on the upstream", async () => {
    upstream.handle(sendChunks(["data: 1\n\n"]));
    const response = await fetch(`${service.origin}/told/stream`, { method: "POST", body: "hello" });
    await response.body?.cancel();
    expect(response.status).toBeLessThan(500);
  });
});
