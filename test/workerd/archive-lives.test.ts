/**
 * One id, several streams after each other, as repeated starts with one Idempotency-Key make them: a token
 * reads the stream it was issued for, or nothing. And tokens of others.
 */
import { abortAllDurableObjects } from "cloudflare:test";
import { expect, test, vi } from "vitest";

import { forge } from "../fixtures/forged-tokens.ts";
import {
  archived,
  archiveScene,
  expire,
  finishedStream,
  heldBack,
  meetCalls,
  pass,
  readResumed,
  resumeWith,
  ring,
  serviceWith,
  SNAPSHOT_TTL_MS,
  startStream,
  statusOf,
  tablesOf,
  upstreamSays,
  type Call,
} from "./archive-scene.ts";
import type { StreamReader } from "./reading.ts";

const PATH = "/chat/stream?idempotency_key=one-key-for-many-lives";

const { call } = archiveScene();

/** A life of the id that says this and ends. */
async function live(says: string, service: Call = call): Promise<StreamReader> {
  upstreamSays(`data: ${says}\n\n`).end();
  const reader = await startStream(service, PATH);
  await reader.toEnd();
  return reader;
}

async function liveAndExpire(says: string, service?: Call): Promise<StreamReader> {
  const reader = await live(says, service);
  await ring(reader.requestId);
  await expire(reader.requestId);
  expect(await tablesOf(reader.requestId)).toEqual([]);
  return reader;
}

async function expectGone(token: string, lastEventId?: string): Promise<void> {
  const refused = await resumeWith(call, token, lastEventId);
  expect(await refused.json()).toMatchObject({ status: 410, code: "stream_expired" });
}

test("the second life takes the first one's place, and the first one's tokens end with it", async () => {
  const first = await liveAndExpire("first");
  expect(await readResumed(call, first.token, "0-0")).toContain("data: first");
  await expire(first.requestId);

  const second = await live("second");
  expect(second.requestId).toBe(first.requestId);
  await expectGone(first.token, "0-0");
  await ring(second.requestId);
  await expire(second.requestId);
  await expectGone(first.token, "0-0");
  expect(await readResumed(call, second.token, "0-0")).toContain("data: second");
  await expectGone(first.token);
});

test("a start while the stream is brought back, or after it, goes on with that, and calls no upstream", async () => {
  const first = await liveAndExpire("first");
  upstreamSays("data: second\n\n").end();
  vi.mocked(globalThis.fetch).mockClear();
  const held = heldBack();
  meetCalls("get", held.fault);
  const resumed = resumeWith(call, first.token, "0-0");
  await vi.waitUntil(() => held.isWaiting);
  const started = startStream(call, PATH);
  held.letGo();
  expect(await (await resumed).text()).toContain("data: first");
  expect((await (await started).toEnd()).map(({ data }) => data)).toContain("first");
  expect((await (await startStream(call, PATH)).toEnd()).map(({ data }) => data)).toContain("first");
  expect(vi.mocked(globalThis.fetch)).not.toHaveBeenCalled();
});

async function expectNothingOf(first: StreamReader, second: StreamReader): Promise<void> {
  await ring(second.requestId);
  await expire(second.requestId);
  expect(await tablesOf(second.requestId)).toEqual([]);
  expect(second.requestId).toBe(first.requestId);
  await expectGone(second.token);
  await expectGone(second.token, "1-1");
  expect((await archived(first.requestId))?.record.startedAtMs).toBeLessThan(Date.now() - SNAPSHOT_TTL_MS);
}

test.each([
  { how: "says nothing", says: ": nothing\n\n", archives: true },
  { how: "is not archived", says: "data: second\n\n", archives: false },
])("a second life that $how leaves its readers nothing, and not the first one's events", async (life) => {
  const first = await liveAndExpire("first");
  upstreamSays(life.says).end();
  const second = await startStream(serviceWith({ SSE_ARCHIVE: life.archives }), PATH);
  await second.toEnd();
  await expectNothingOf(first, second);
  expect(await readResumed(call, first.token, "0-0")).toContain("data: first");
});

test("a second life that is abandoned leaves its readers nothing, and not the first one's events", async () => {
  const first = await liveAndExpire("first");
  upstreamSays("data: second\n\n");
  const second = await startStream(call, PATH);
  await second.until(({ data }) => data === "second");
  await second.cut();
  await vi.waitUntil(async () => (await statusOf(call, second.token))["readers"] === 0);
  pass(2_000_000);
  await ring(second.requestId);
  expect(await statusOf(call, second.token)).toMatchObject({ state: "expired", reason: "abandoned" });
  await expectNothingOf(first, second);
});

test("a put of the first life that is done only after the second one's end is not served to its readers", async () => {
  const first = await live("first");
  let late: (() => Promise<unknown>) | undefined;
  meetCalls("put", async (real) => {
    late = real;
    throw new Error("put: Network connection lost.");
  });
  pass(SNAPSHOT_TTL_MS + 1);
  await ring(first.requestId);
  const second = await liveAndExpire("second");
  await late?.();
  expect((await archived(first.requestId))?.record.startedAtMs).toBeLessThan(Date.now() - SNAPSHOT_TTL_MS);
  await expectGone(second.token, "0-0");
  expect(await readResumed(call, first.token, "0-0")).toContain("data: first");
});

test("tokens of an earlier version, which do not say when their stream began, still read what they are for", async () => {
  const first = await liveAndExpire("first");
  const old = await forge(first.token, { beg: undefined });
  expect(await readResumed(call, old, "0-0")).toContain("data: first");
  await expire(first.requestId);
  const second = await liveAndExpire("second");
  expect(await readResumed(call, await forge(second.token, { beg: undefined }), "0-0")).toContain("data: second");
  await expectGone(old, "0-0");
});

test("another tenant's token, or one for another route: 404, and nothing is brought back", async () => {
  const { token, requestId } = await finishedStream(call);
  await ring(requestId);
  await expire(requestId);
  for (const [change, route] of [
    [{ tnt: "somebody-else" }, "chat"],
    [{ rte: "plain" }, "plain"],
  ] as const) {
    const refused = await resumeWith(call, await forge(token, change), "0-0", `${route}/resume`);
    expect(await refused.json()).toMatchObject({ status: 404, code: "stream_not_found" });
    const status = await call(`/${route}/status`, { headers: { "X-Resume-Token": await forge(token, change) } });
    expect(status.status).toBe(404);
    expect(await tablesOf(requestId)).toEqual([]);
  }
  // Who asks for it rightly at the same time is served.
  const held = heldBack();
  meetCalls("get", held.fault);
  const wrong = resumeWith(call, await forge(token, { tnt: "somebody-else" }));
  await vi.waitUntil(() => held.isWaiting);
  const right = resumeWith(call, token, "0-0");
  held.letGo();
  expect((await wrong).status).toBe(404);
  expect((await right).status).toBe(200);
  await abortAllDurableObjects();
});
