/**
 * Rate limits by the platform's own binding: 429 before anything is called, a budget of its own for going on,
 * and none shared between clients.
 *
 * The binding's windows follow the wall clock. What must happen within one is tried again, as another client,
 * where one has ended meanwhile.
 */
import { randomUUID } from "node:crypto";

import { EventSource } from "eventsource";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { numberedEvents } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { parseObject, readByEventSource, readStream } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService } from "../fixtures/workerd-service.ts";

const ORIGIN = "https://app.example.com";
const STARTS = 3;
const RESUMES = 6;
const PERIOD_SEC = 60;
const SHORT_PERIOD_SEC = 10;
const KEY_A = "client-key-of-tenant-a-1";
const KEY_B = "client-key-of-tenant-b-1";
const limits = (start: number, resume: number, period: 10 | 60 = PERIOD_SEC) => ({
  RATE_LIMIT_START: { limit: start, period },
  RATE_LIMIT_RESUME: { limit: resume, period },
});

let upstream: Upstream;
let service: LakeService;

function routes() {
  return [{ name: "told", alias: "/v1/told", upstream: upstream.origin, method: "GET", allowGet: true }];
}

beforeAll(async () => {
  upstream = await startUpstream(sendChunks([numberedEvents(1, 3)]));
  service = await startLakeService({
    vars: { ROUTES: routes(), CORS_ORIGINS: ORIGIN },
    rateLimits: limits(STARTS, RESUMES),
  });
});

afterAll(async () => {
  await upstream.stop();
  await service.stop();
});

type Send = (path: string, headers?: Record<string, string>, method?: string) => Promise<Response>;

function clientAt(origin: string, own: Record<string, string>): Send {
  return (path, headers = {}, method = "GET") => fetch(origin + path, { method, headers: { ...own, ...headers } });
}

let addresses = 0;
/** An address that nobody else has. */
function nextAddress(): string {
  addresses++;
  return `198.51.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`;
}

const currentWindow = () => Math.floor(Date.now() / (PERIOD_SEC * 1000));

/** Runs what must happen within one window of the limiter. */
async function inOneWindow(run: (send: Send) => Promise<void>): Promise<void> {
  for (;;) {
    const window = currentWindow();
    try {
      return await run(clientAt(service.origin, { "cf-connecting-ip": nextAddress() }));
    } catch (error) {
      if (currentWindow() === window) throw error;
    }
  }
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.arrayBuffer();
  return response.status;
}

async function startedToken(send: Send, headers: Record<string, string> = {}): Promise<string> {
  const response = await send("/told/stream", headers);
  await response.arrayBuffer();
  expect(response.status).toBe(200);
  return response.headers.get("x-resume-token") ?? "";
}

function logged(event: string, of: LakeService = service): Record<string, unknown>[] {
  const lines = of.lines.filter((line) => line.startsWith('{"event"')).map(parseObject);
  return lines.filter((line) => line["event"] === event);
}

test("starts beyond the budget are 429 with Retry-After, by any path, and call no upstream", async () => {
  await inOneWindow(async (send) => {
    const before = upstream.calls.length;
    for (const path of ["/told/stream", "/v1/told", "/told/stream"]) expect(await statusOf(send(path))).toBe(200);
    for (const path of ["/told/stream", "/v1/told"]) {
      const refused = await send(path, { Origin: ORIGIN });
      expect(await problemOf(refused)).toMatchObject({ status: 429, code: "rate_limited", budget: "start" });
      expect(refused.headers.get("retry-after")).toBe(String(PERIOD_SEC));
      expect(refused.headers.get("access-control-allow-origin")).toBe(ORIGIN);
      expect(refused.headers.get("access-control-expose-headers")).toContain("Retry-After");
    }
    expect(await statusOf(send("/told/stream", {}, "POST"))).toBe(429);
    expect(upstream.calls.length - before).toBe(STARTS);
  });
});

test("whoever may start nothing more can go on, also by a retried start", async () => {
  await inOneWindow(async (send) => {
    const key = { "Idempotency-Key": randomUUID() };
    const token = await startedToken(send, key);
    while ((await statusOf(send("/told/stream"))) === 200);
    const resumed = await send("/told/resume", { "X-Resume-Token": token, "Last-Event-ID": "1-2" });
    expect(resumed.status).toBe(200);
    expect(await resumed.text()).toContain("id: 1-3\ndata: 3\n");
    const retried = await send("/told/stream", { ...key, "Last-Event-ID": "1-1" });
    expect(retried.status).toBe(200);
    expect(await retried.text()).toContain("id: 1-2\ndata: 2\n");
    expect(await statusOf(send("/told/status", { "X-Resume-Token": token }))).toBe(200);
    // Without a position of substance it could begin a stream.
    for (const position of [{}, { "Last-Event-ID": "0-0" }]) {
      const refused = await send("/told/stream", { ...key, ...position });
      expect(await problemOf(refused)).toMatchObject({ code: "rate_limited", budget: "start" });
    }
  });
});

test("every call that goes on counts, good or bad, and beyond the budget is 429 before its token is looked at", async () => {
  await inOneWindow(async (send) => {
    const key = { "Idempotency-Key": randomUUID() };
    const token = { "X-Resume-Token": await startedToken(send, key) };
    const forged = { "X-Resume-Token": "not.a.token" };
    const calls: [string, Record<string, string>, string, number][] = [
      ["/told/resume", token, "GET", 200],
      ["/resume", token, "POST", 200],
      ["/told/status", token, "GET", 200],
      ["/told/stream", token, "DELETE", 200],
      ["/told/stream", { ...key, "Last-Event-ID": "1-1" }, "GET", 200],
      ["/resume", forged, "GET", 401],
    ];
    expect(calls).toHaveLength(RESUMES);
    for (const [path, headers, method, status] of calls) {
      expect({ path, status: await statusOf(send(path, headers, method)) }).toEqual({ path, status });
    }
    const before = logged("SseResumeFailed").filter(({ code }) => code === "rate_limited").length;
    for (const [path, headers, method] of calls) {
      const refused = await send(path, headers, method);
      expect(await problemOf(refused)).toMatchObject({ status: 429, code: "rate_limited", budget: "resume" });
      expect(refused.headers.get("retry-after")).toBe(String(PERIOD_SEC));
    }
    // Status and cancel are no resumes.
    const failures = () => logged("SseResumeFailed").filter(({ code }) => code === "rate_limited");
    await expect.poll(() => failures().length - before, { timeout: 20_000 }).toBe(4);
    expect(failures().slice(before)).toContainEqual(
      expect.objectContaining({ route: "told", tenant: "default", request_id: expect.stringMatching(/^[\w-]{43}$/) }),
    );
    // The other budget is untouched.
    expect(await statusOf(send("/told/stream"))).toBe(200);
  });
});

test("requests that are refused for another reason first count for nothing", async () => {
  await inOneWindow(async (send) => {
    for (let n = 0; n < 2 * STARTS; n++) {
      expect(await statusOf(send("/told/stream", { "Idempotency-Key": "short" }))).toBe(400);
      expect(await statusOf(send("/told/stream", {}, "OPTIONS"))).toBe(204);
    }
    expect(await statusOf(send("/told/stream"))).toBe(200);
  });
});

test("two addresses share no budget, but those of one IPv6 network do", async () => {
  await inOneWindow(async (send) => {
    while ((await statusOf(send("/told/stream"))) === 200);
    const other = clientAt(service.origin, { "cf-connecting-ip": nextAddress() });
    for (let n = 0; n < STARTS; n++) expect(await statusOf(other("/told/stream"))).toBe(200);

    const network = `2001:db8:${nextAddress().replace(/^198\.51\.(\d+)\.(\d+)$/, "$1:$2")}`;
    const at = (host: string) => clientAt(service.origin, { "cf-connecting-ip": `${network}:${host}` });
    for (let n = 1; n <= STARTS; n++) expect(await statusOf(at(`:${n}`)("/told/stream"))).toBe(200);
    expect(await statusOf(at("ffff:ffff:ffff:ffff")("/told/stream"))).toBe(429);
  });
});

describe("with client keys", () => {
  let keyed: LakeService;

  beforeAll(async () => {
    const CLIENT_KEYS = { a: [KEY_A], b: [KEY_B] };
    keyed = await startLakeService({
      vars: { ROUTES: routes(), CLIENT_AUTH: "bearer", CLIENT_KEYS },
      rateLimits: limits(STARTS, RESUMES),
    });
  });

  afterAll(() => keyed.stop());

  test("a key is a client, from wherever; one that is made up is none", async () => {
    const send = (key?: string) =>
      clientAt(keyed.origin, {
        "cf-connecting-ip": nextAddress(),
        ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
      });
    // Who is not let in does not use up anything.
    for (let n = 0; n < 2 * STARTS; n++) expect(await statusOf(send("nobody's-key-00000")("/told/stream"))).toBe(401);
    const token = { "X-Resume-Token": await startedToken(send(KEY_A)) };
    // A window may end in between: twice its budget and one more never fit.
    const statuses: number[] = [];
    for (let n = 0; n < 2 * STARTS; n++) statuses.push(await statusOf(send(KEY_A)("/told/stream")));
    expect(statuses).toContain(429);
    expect(await statusOf(send(KEY_B)("/told/stream"))).toBe(200);

    const address = { "cf-connecting-ip": nextAddress() };
    const made = [];
    for (let n = 0; n <= 2 * RESUMES; n++) {
      const own = { ...address, Authorization: `Bearer made-up-key-000000-${n}` };
      made.push(await statusOf(clientAt(keyed.origin, own)("/told/resume", token)));
    }
    expect(new Set(made)).toEqual(new Set([401, 429]));
    expect(await statusOf(clientAt(keyed.origin, address)("/told/resume", { ...token, ...bearer(KEY_A) }))).toBe(200);
    expect(keyed.lines.join("\n")).not.toMatch(/client-key|made-up-key/);
  });
});

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

test("an EventSource is closed by a 429, and one opened after the window gets the rest", async () => {
  const short = await startLakeService({
    vars: { ROUTES: routes(), RATE_LIMIT_PERIOD_SEC: SHORT_PERIOD_SEC },
    rateLimits: limits(100, 1, SHORT_PERIOD_SEC),
  });
  try {
    const { token } = await readStream(`${short.origin}/told/stream`);
    const url = `${short.origin}/told/resume?token=${token}&last_event_id=1-1`;
    const refusal = await untilRefused(url);
    expect(refusal).toEqual({ code: 429, readyState: EventSource.CLOSED });
    // The end of the window cannot be made to come sooner.
    const later = () => readByEventSource(url).then((events) => events.map(({ event, data }) => [event, data]));
    const content = [
      ["message", "2"],
      ["message", "3"],
    ];
    await expect
      .poll(later, { timeout: 3 * SHORT_PERIOD_SEC * 1000, interval: 250 })
      .toEqual([["resume", expect.any(String)], ...content, ["end", expect.stringContaining("complete")]]);
  } finally {
    await short.stop();
  }
});

/** What EventSources see at this URL once its budget is used up. */
async function untilRefused(url: string): Promise<{ code: number | undefined; readyState: number }> {
  for (let attempt = 1; attempt <= 3; attempt++) {
    const source = new EventSource(url);
    const refused = await new Promise<{ code: number | undefined; readyState: number } | undefined>((done) => {
      source.addEventListener("error", ({ code }) => done({ code, readyState: source.readyState }));
      source.addEventListener("end", () => done(undefined));
    });
    source.close();
    if (refused !== undefined) return refused;
  }
  throw new Error(`${url} was never refused`);
}

test("a limiter out of order limits nobody, and is told of once", async () => {
  const open = await startLakeService({
    vars: { ROUTES: routes() },
    rateLimits: { RATE_LIMIT_START: "broken", RATE_LIMIT_RESUME: "broken" },
  });
  try {
    const send = clientAt(open.origin, { "cf-connecting-ip": nextAddress() });
    const token = await startedToken(send);
    for (let n = 0; n < 5; n++) expect(await statusOf(send("/resume", { "X-Resume-Token": token }))).toBe(200);
    const told = () => logged("RateLimiterFailed", open);
    await expect.poll(told, { timeout: 20_000 }).toMatchObject([{ budget: "start", failures: 1 }]);
    expect(open.lines.join("\n")).not.toContain("out of order");
  } finally {
    await open.stop();
  }
});

describe("without the bindings", () => {
  test("nothing is limited", async () => {
    const plain = await startService({ vars: { ROUTES: routes() } });
    try {
      const send = clientAt(plain.origin, { "cf-connecting-ip": nextAddress() });
      const token = { "X-Resume-Token": await startedToken(send) };
      for (let n = 0; n < 40; n++) {
        expect(await statusOf(send("/told/stream"))).toBe(200);
        expect(await statusOf(send("/told/status", token))).toBe(200);
      }
    } finally {
      await endService(plain);
    }
  });

  test("what is bound in their place and limits nothing is named by /ready", async () => {
    const vars = { RATE_LIMIT_START: { limit: 5 }, RATE_LIMIT_RESUME: "s3cr3t", RATE_LIMIT_PERIOD_SEC: 30 };
    const faulty = await startService({ vars: { ROUTES: routes(), ...vars } });
    try {
      const ready = await fetch(`${faulty.origin}/ready`);
      const text = await ready.text();
      expect(ready.status).toBe(503);
      expect(parseObject(text)).toMatchObject({
        status: "misconfigured",
        faults: [
          { variable: "RATE_LIMIT_START", allowed: "a rate limit binding, or none" },
          { variable: "RATE_LIMIT_RESUME", found: "a string" },
          { variable: "RATE_LIMIT_PERIOD_SEC", found: "30", allowed: "10 or 60" },
        ],
      });
      expect(text + faulty.lines.join("\n")).not.toContain("s3cr3t");
    } finally {
      await endService(faulty);
    }
  });
});
