/**
 * What lies beside a stream fails: the object itself, as seen by the Worker, and the analytics, as seen by
 * the object. Streams go on; nobody is told anything but the truth.
 */
import { createExecutionContext, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import worker, { EventBuffer } from "../../workers/index.ts";
import { call, resume, sourceEvents, start, StreamReader } from "./reading.ts";

/** Seconds of waiting between attempts become hundredths. */
const HURRY = 100;

let lines: string[] = [];

beforeEach(() => {
  lines = [];
  const { setTimeout: wait } = globalThis;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((then: () => void, ms = 0) =>
    wait(then, ms / HURRY)) as never);
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

function told(event: string): Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((record) => record["event"] === event);
}

/** The Worker with objects that fail every call in this way. */
function serviceWithout(objects: { fails: () => Error; attempts: string[] }) {
  const failing = (name: string) => () => {
    objects.attempts.push(name);
    return Promise.reject(objects.fails());
  };
  const stub = { fetch: failing("fetch"), status: failing("status"), cancel: failing("cancel") };
  const bindings = { ...env, REQUEST_STREAM: { getByName: () => stub } } as unknown as Env;
  return (path: string, init?: RequestInit<IncomingRequestCfProperties>): Promise<Response> =>
    worker.fetch(new Request(`https://spillway.test${path}`, init), bindings, createExecutionContext());
}

function platformError(message: string, flags: Readonly<Record<string, boolean>> = {}): Error {
  return Object.assign(new Error(message), flags);
}

const KEY = "idempotency_key=object-out-of-reach";

describe.each([
  { how: "breaks", error: platformError("internal error; reference = 0"), attempts: 1, code: "storage_unavailable" },
  {
    how: "is overloaded",
    error: platformError("too many requests", { retryable: true, overloaded: true }),
    attempts: 1,
    code: "storage_unavailable",
  },
  {
    how: "loses its connection",
    error: platformError("Network connection lost.", { retryable: true }),
    attempts: 2,
    code: "storage_unavailable",
  },
  {
    how: "is being replaced",
    error: platformError("Durable Object reset because its code was updated.", { retryable: true }),
    attempts: 2,
    code: "draining",
  },
])("an object that $how", ({ error, attempts, code }) => {
  const objects = { fails: () => error, attempts: [] as string[] };

  beforeEach(() => {
    objects.attempts = [];
  });

  test.each(["", `&${KEY}`])(
    "lets a start%s pass through: the upstream's own bytes, and a word about it",
    async (key) => {
      const serve = serviceWithout(objects);
      const reader = new StreamReader(await serve(`/demo/stream?events=4&rate=0${key}`));
      const { headers } = reader.response;
      expect([headers.get("X-Spillway-Degraded"), headers.get("X-Resume-Token")]).toEqual(["object", null]);
      const events = await reader.toEnd();
      expect(events.map(({ event }) => event)).toEqual(["token", "token", "token", "done"]);
      expect(new Set(events.map(({ id }) => id))).toEqual(new Set([undefined]));
      // A start is never made twice: its upstream may have been called.
      expect(objects.attempts).toEqual(["fetch"]);
      expect(told("SseDegraded")).toMatchObject([{ kind: "object", route: "demo", request_id: reader.requestId }]);
    },
  );

  test.each([
    { what: "async start", path: `/demo/stream?events=4&${KEY}`, headers: { Prefer: "respond-async" } },
    { what: "start at a position", path: `/demo/stream?events=4&${KEY}`, headers: { "Last-Event-ID": "1-2" } },
  ])("refuses what needs the object: $what", async ({ path, headers }) => {
    const refused = await serviceWithout(objects)(path, { headers });
    expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "2"]);
    expect(await refused.json()).toMatchObject({ code });
    expect(told("SseDegraded")).toEqual([]);
  });

  test("refuses resume, status and cancel with 503, after one more attempt where that can help", async () => {
    const first = await start("events=3&rate=0");
    await first.toEnd();
    const serve = serviceWithout(objects);
    const headers = { "X-Resume-Token": first.token };
    const answers = [
      await serve("/demo/resume", { headers }),
      await serve("/demo/status", { headers }),
      await serve("/demo/stream", { headers, method: "DELETE" }),
    ];
    for (const answer of answers) {
      expect([answer.status, answer.headers.get("Retry-After")]).toEqual([503, "2"]);
      expect(await answer.json()).toMatchObject({ code });
    }
    const names = ["fetch", "status", "cancel"];
    expect(objects.attempts).toEqual(names.flatMap((name) => Array.from({ length: attempts }, () => name)));
    expect(told("SseResumeFailed")).toMatchObject([{ code, request_id: first.requestId }]);
    // The object was never the stream's end: reached again, it goes on.
    expect(sourceEvents(await (await resume(first.token, "1-1")).toEnd())).toHaveLength(2);
  });
});

const SHARDS = {
  refuse: () => Promise.resolve({ ok: false, code: "buffer_full", retryAfterSec: 1 }),
  break: () => Promise.reject(new Error("Network connection lost.")),
  hang: () => new Promise(() => {}),
} as const;

describe.each(Object.keys(SHARDS) as (keyof typeof SHARDS)[])("analytics whose shards %s", (how) => {
  test("streams, resumes and their answers are as ever, and what is not delivered is counted", async () => {
    const append = vi.spyOn(EventBuffer.prototype, "append");
    const typesGiven = () => append.mock.calls.flatMap(([{ events }]) => events.map(({ type }) => type)).join();
    const whole = await start("events=30&rate=0");
    const expected = await whole.toEnd();
    await vi.waitFor(() => expect(typesGiven()).toContain("SseStreamEnded"));
    lines = [];
    append.mockClear();
    append.mockImplementation(SHARDS[how] as never);

    const reader = await start("events=30&rate=0");
    expect(sourceEvents(await reader.toEnd())).toEqual(sourceEvents(expected));
    const rest = await resume(reader.token, "1-12");
    expect(sourceEvents(await rest.toEnd())).toEqual(sourceEvents(expected).slice(12));
    const status = await call(`/demo/status?token=${reader.token}`);
    expect(await status.json()).toMatchObject({ state: "completed", degraded: false });
    expect(reader.response.headers.get("X-Spillway-Degraded")).toBeNull();

    const dropped = () => told("TelemetryDropped").reduce((sum, { events }) => sum + Number(events), 0);
    const ofStream = lines.filter((line) => line.includes(reader.requestId));
    expect(ofStream.length).toBeGreaterThan(4);
    await vi.waitFor(() => expect(dropped()).toBe(ofStream.length), 10_000);
    expect(new Set(told("TelemetryDropped").map(({ reason }) => reason))).toEqual(new Set(["not_delivered"]));
    // Four attempts, with the same events, and no more.
    const batches = append.mock.calls.map(([{ events }]) => events.map(({ id }) => id).join());
    expect(new Set(batches).size * 4).toBe(batches.length);
  });
});

test("slow analytics hold no reader up, and get everything", async () => {
  const seen: string[] = [];
  const { promise: gate, resolve: letGo } = Promise.withResolvers<void>();
  vi.spyOn(EventBuffer.prototype, "append").mockImplementation(async ({ events }) => {
    await gate;
    seen.push(...events.map(({ type }) => type));
    return { ok: true, accepted: events.length, duplicates: [] };
  });
  const reader = await start("events=200&rate=0");
  expect(sourceEvents(await reader.toEnd())).toHaveLength(200);
  expect(seen).toEqual([]);
  letGo();
  await vi.waitFor(() => expect(seen.some((type) => type.endsWith("SseStreamEnded"))).toBe(true), 5000);
  expect(told("TelemetryDropped")).toEqual([]);
});
