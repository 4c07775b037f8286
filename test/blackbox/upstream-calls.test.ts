/**
 * How a route calls its upstream: what is passed on, what the route fixes and no caller can change, and
 * how the service's own secrets change without a reader losing its stream.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { numberedEvents, numbers } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream(sendChunks([numberedEvents(1, 2)]));
  service = await startService({
    vars: {
      // As text, the way a variable comes from a dashboard.
      ROUTES: JSON.stringify([
        {
          name: "assist/draft",
          upstream: `${upstream.origin}/v2/generate?stream=true&model=fixed`,
          allowGet: true,
          headers: {
            Authorization: "Bearer ${API_KEY}",
            "X-Two": "${API_KEY}/${TEAM}",
            "X-Plain": "yes",
            "X-Model": "ours",
          },
          forwardHeaders: ["X-Trace", "x-model", "Accept-Language"],
          alias: "/v1/chat/completions",
        },
      ]),
      API_KEY: "upstream-api-key",
      TEAM: "team-7",
      SSE_HEARTBEAT_SEC: "20",
    },
  });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
});

async function callOf(path: string, init: RequestInit = {}) {
  const reading = await readStream(service.origin + path, init);
  await reading.toEnd();
  expect(reading.data).toEqual(numbers(1, 2));
  const call = upstream.calls.at(-1);
  if (call === undefined) throw new Error("the upstream was not called");
  return { ...call, query: new URL(call.url, upstream.origin).searchParams };
}

test("is ready", async () => {
  const response = await fetch(`${service.origin}/ready`);
  expect({ status: response.status, body: await response.json() }).toMatchObject({
    status: 200,
    body: { status: "ready", checks: { configuration: "ok", stream_objects: "ok", event_shards: "ok", table: "ok" } },
  });
});

test("by its own method, with body and type, secrets filled in, and only headers that are on its list", async () => {
  const { method, url, headers, body } = await callOf("/assist/draft/stream", {
    method: "POST",
    body: '{"prompt":"hi"}',
    headers: {
      Accept: "text/event-stream",
      "Accept-Language": "de",
      Authorization: "Bearer somebody-elses",
      "Content-Type": "application/json",
      Cookie: "session=1",
      "X-Forwarded-For": "10.0.0.1",
      "X-Model": "theirs",
      "X-Other": "no",
      "X-Plain": "no",
      "X-Trace": "t-1",
    },
  });
  expect({ method, url, body }).toEqual({
    method: "POST",
    url: "/v2/generate?stream=true&model=fixed",
    body: '{"prompt":"hi"}',
  });
  expect(headers).toMatchObject({
    accept: "text/event-stream",
    "accept-language": "de",
    authorization: "Bearer upstream-api-key",
    "content-type": "application/json",
    "x-two": "upstream-api-key/team-7",
    "x-plain": "yes",
    "x-model": "ours",
    "x-trace": "t-1",
  });
  for (const name of ["cookie", "x-other", "x-forwarded-for", "x-spillway-call"])
    expect(headers).not.toHaveProperty(name);
});

test("the caller's query is added; what the route fixes cannot be overridden, and our own names stay here", async () => {
  const own = "idempotency_key=0123456789abcdef0123&last_event_id=0-0&accept_gap=1&token=x&mode=live";
  const { query } = await callOf(`/assist/draft/stream?model=theirs&stream=false&q=a%26b&q=%C3%A9&${own}`);
  expect([...query]).toEqual([
    ["stream", "true"],
    ["model", "fixed"],
    ["q", "a&b"],
    ["q", "é"],
  ]);
});

test("the alias is one more path for the start", async () => {
  const { url, body } = await callOf("/v1/chat/completions", { method: "POST", body: "{}" });
  expect({ url, body }).toEqual({ url: "/v2/generate?stream=true&model=fixed", body: "{}" });
  const before = upstream.calls.length;
  const key = { "Idempotency-Key": "0123456789abcdef-alias" };
  const byAlias = await readStream(`${service.origin}/v1/chat/completions`, { method: "POST", headers: key });
  const byName = await readStream(`${service.origin}/assist/draft/stream`, { method: "POST", headers: key });
  expect(byName.requestId).toBe(byAlias.requestId);
  await Promise.all([byAlias.toEnd(), byName.toEnd()]);
  expect(upstream.calls.length - before).toBe(1);
  const resumed = await readStream(`${service.origin}/assist/draft/resume?token=${byAlias.token}`);
  await resumed.toEnd();
  expect(resumed.data).toEqual(numbers(1, 2));
});

test("a secret shows neither in an answer nor in the log", async () => {
  const response = await fetch(`${service.origin}/assist/draft/stream`);
  const shown = JSON.stringify([...response.headers]) + (await response.text()) + service.lines.join("\n");
  expect(shown).not.toContain("upstream-api-key");
});

test.each(["text/event-stream;charset=utf-8", "Text/Event-Stream", "text/event-stream ; charset=utf-8"])(
  "an event stream is known by its media type, however it is written: %s",
  async (contentType) => {
    upstream.handle((_, response) => {
      response.writeHead(200, { "content-type": contentType }).end(numberedEvents(1, 2));
    });
    const reading = await readStream(`${service.origin}/assist/draft/stream`);
    await reading.toEnd();
    expect(reading.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(reading.data).toEqual(numbers(1, 2));
    upstream.handle(sendChunks([numberedEvents(1, 2)]));
  },
);

test("secrets rotate: tokens signed by the previous secret go on, older ones do not", async () => {
  const before = "the-secret-before-0123456789abcdef0123456789";
  const folder = mkdtempSync(join(tmpdir(), "spillway-rotation-"));
  const vars = { ROUTES: [{ name: "told", upstream: upstream.origin, allowGet: true }] };
  const services: Service[] = [];
  const startNext = async (secrets: Record<string, string>) => {
    await services.at(-1)?.stop();
    const next = await startService({ vars: { ...vars, ...secrets }, persistTo: folder });
    services.push(next);
    return next;
  };
  try {
    const first = await startNext({ SSE_RESUME_SECRET: before });
    const started = await readStream(`${first.origin}/told/stream`);
    await started.toEnd();

    const rotating = await startNext({ SSE_RESUME_SECRET_PREVIOUS: before });
    const resumed = await readStream(`${rotating.origin}/told/resume?token=${started.token}`);
    await resumed.toEnd();
    expect(resumed.data).toEqual(numbers(1, 2));

    const rotated = await startNext({});
    const later = await readStream(`${rotated.origin}/told/resume?token=${resumed.token}`);
    await later.toEnd();
    expect(later.data).toEqual(numbers(1, 2));
    const old = await fetch(`${rotated.origin}/told/resume?token=${started.token}`);
    expect(await problemOf(old)).toMatchObject({ status: 401, code: "token_invalid" });
  } finally {
    await services.at(-1)?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
