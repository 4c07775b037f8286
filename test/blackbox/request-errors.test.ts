/**
 * Requests that cannot be served: each is refused by its own code before an upstream hears of it.
 */
import { request as httpRequest } from "node:http";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const BODY_MAX_BYTES = 1_000;

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream(sendChunks(["data: 1\n\n"]));
  service = await startService({
    vars: {
      ROUTES: [
        { name: "both", upstream: upstream.origin, allowGet: true, maxBodyBytes: BODY_MAX_BYTES },
        { name: "post-only", upstream: upstream.origin, alias: "/v1/chat/completions" },
      ],
    },
  });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
});

/** Runs a request that must not reach the upstream. */
async function refused(path: string, init: RequestInit = {}): Promise<Response> {
  const before = upstream.calls.length;
  const response = await fetch(service.origin + path, init);
  expect(upstream.calls.length).toBe(before);
  return response;
}

/** A request as written here, byte for byte, where fetch would tidy it up. */
function rawStatus(method: string, path: string): Promise<{ status: number; code: unknown; length: number }> {
  const { hostname, port } = new URL(service.origin);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => {
        const code: unknown = body === "" ? undefined : Reflect.get(Object(JSON.parse(body)), "code");
        resolve({ status: response.statusCode ?? 0, code, length: body.length });
      });
    });
    request.on("error", reject).end();
  });
}

function namesIn(list: string | null): string[] {
  return (list ?? "").split(", ").sort();
}

function post(body: BodyInit, init: RequestInit = {}): Promise<Response> {
  return refused("/both/stream", { method: "POST", body, ...init });
}

/** A body of so many chunks of 100 bytes, without a length of its own. */
function chunks(count: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let n = 0; n < count; n++) controller.enqueue(new Uint8Array(100));
      controller.close();
    },
  });
}

describe("not_found", () => {
  const paths = [
    "/nope",
    "/both",
    "/both/",
    "/both/stream/",
    "/both/stream/x",
    "/BOTH/stream",
    "/both/Stream",
    "/v1/chat",
    "/stream",
  ];
  test.each(paths)("%s", async (path) => {
    expect(await problemOf(await refused(path))).toMatchObject({ status: 404, code: "not_found" });
    expect(await problemOf(await refused(path, { method: "POST" }))).toMatchObject({ status: 404, code: "not_found" });
  });

  test.each(["//both/stream", "/%zz/stream", "/both/%", "/../both/%2e%2e/x"])(
    "odd paths break nothing: %s",
    async (path) => {
      const { status } = await rawStatus("GET", path);
      expect(status).toBe(404);
    },
  );
});

describe("method_not_allowed, with Allow", () => {
  const cases: [string, string, string][] = [
    ["PUT", "/both/stream", "POST, GET, DELETE, OPTIONS"],
    ["PATCH", "/both/stream", "POST, GET, DELETE, OPTIONS"],
    ["GET", "/post-only/stream", "POST, DELETE, OPTIONS"],
    ["GET", "/v1/chat/completions", "POST, OPTIONS"],
    ["DELETE", "/v1/chat/completions", "POST, OPTIONS"],
    ["DELETE", "/both/resume", "GET, POST, OPTIONS"],
    ["PUT", "/resume", "GET, POST, OPTIONS"],
    ["POST", "/both/status", "GET, OPTIONS"],
    ["POST", "/health", "GET, HEAD, OPTIONS"],
    ["DELETE", "/ready", "GET, HEAD, OPTIONS"],
  ];
  test.each(cases)("%s %s", async (method, path, allow) => {
    const response = await refused(path, { method });
    expect(namesIn(response.headers.get("allow"))).toEqual(namesIn(allow));
    expect(await problemOf(response)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });

  test.each(["/both/stream", "/post-only/stream", "/v1/chat/completions", "/both/resume", "/both/status", "/resume"])(
    "HEAD %s starts nothing and reads nothing",
    async (path) => {
      const response = await refused(path, { method: "HEAD" });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).not.toContain("HEAD");
      expect(response.headers.get("x-request-id")).toMatch(/^[\w-]{20,}$/);
      expect((await rawStatus("HEAD", path)).length).toBe(0);
      expect(service.telemetry("SseStreamStarted")).toEqual([]);
    },
  );

  test("a method nobody knows", async () => {
    expect(await rawStatus("PROPFIND", "/both/stream")).toMatchObject({ status: 405, code: "method_not_allowed" });
  });

  test("OPTIONS says what is allowed", async () => {
    const response = await refused("/both/stream", { method: "OPTIONS" });
    expect(response.status).toBe(204);
    expect(response.headers.get("allow")).toBe("POST, GET, DELETE, OPTIONS");
  });

  test("HEAD is served where GET changes nothing", async () => {
    for (const path of ["/health", "/ready", "/"]) {
      const response = await refused(path, { method: "HEAD" });
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
      expect(await response.text()).toBe("");
    }
  });
});

describe("limits", () => {
  test("body_too_large by its length", async () => {
    const problem = await problemOf(await post("x".repeat(BODY_MAX_BYTES + 1)));
    expect(problem).toMatchObject({
      status: 413,
      code: "body_too_large",
    });
    expect(problem["max_bytes"]).toBe(BODY_MAX_BYTES);
  });

  test("body_too_large while it comes in chunks", async () => {
    const init: RequestInit & { duplex: "half" } = { duplex: "half" };
    expect(await problemOf(await post(chunks(11), init))).toMatchObject({ status: 413, code: "body_too_large" });
    const before = upstream.calls.length;
    const reading = await readStream(`${service.origin}/both/stream`, { method: "POST", body: chunks(10), ...init });
    await reading.toEnd();
    expect(reading.data).toEqual(["1"]);
    expect(upstream.calls.slice(before).map(({ body }) => body.length)).toEqual([BODY_MAX_BYTES]);
  });

  test("a body just within the limit passes, byte for byte", async () => {
    const body = `{"text":"${"é".repeat(400)}"}`;
    const headers = { "Content-Type": "application/json; charset=utf-8" };
    const reading = await readStream(`${service.origin}/both/stream`, { method: "POST", body, headers });
    await reading.toEnd();
    expect(upstream.calls.at(-1)).toMatchObject({ method: "POST", body });
    expect(upstream.calls.at(-1)?.headers["content-type"]).toBe("application/json; charset=utf-8");
  });

  test("unsupported_media_type for a compressed body", async () => {
    for (const encoding of ["gzip", "br", "GZIP", "identity, gzip"]) {
      const response = await post("x", { headers: { "Content-Encoding": encoding } });
      expect(await problemOf(response)).toMatchObject({ status: 415, code: "unsupported_media_type" });
    }
  });

  test("uri_too_long", async () => {
    const response = await refused(`/both/stream?q=${"x".repeat(9_000)}`);
    expect(await problemOf(response)).toMatchObject({ status: 414, code: "uri_too_long" });
  });

  test("headers_too_large, one large header or many small ones", async () => {
    const one = await refused("/both/stream", { headers: { "X-Large": "x".repeat(17_000) } });
    expect(await problemOf(one)).toMatchObject({ status: 431, code: "headers_too_large" });
    const headers = Object.fromEntries(Array.from({ length: 170 }, (_, n) => [`X-Small-${n}`, "x".repeat(100)]));
    expect(await problemOf(await refused("/both/stream", { headers }))).toMatchObject({
      status: 431,
      code: "headers_too_large",
    });
  });
});
