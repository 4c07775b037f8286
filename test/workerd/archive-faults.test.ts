/**
 * The archive's bucket at its worst: what cannot be kept is tried again and served meanwhile, what cannot be
 * fetched is a 503 and never a wrong answer, and nothing is left behind. B7.
 */
import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";

import {
  alarmOf,
  archivedKeys,
  archiveScene,
  expire,
  failing,
  finishedStream,
  heldBack,
  meetCalls,
  pass,
  readResumed,
  resumeTogether,
  resumeWith,
  ring,
  SNAPSHOT_TTL_MS,
  standAhead,
  startStream,
  statusOf,
  stubOf,
  tablesOf,
  upstreamSays,
} from "./archive-scene.ts";
import { StreamReader } from "./reading.ts";

/** Longer than the time limit of a call. */
const HUNG_MS = 31_000;

const { call, told } = archiveScene();

async function archivedAndGone(): Promise<StreamReader> {
  const reader = await finishedStream(call);
  await ring(reader.requestId);
  await expire(reader.requestId);
  expect(await tablesOf(reader.requestId)).toEqual([]);
  return reader;
}

test("a put that fails is tried again, later each time, and the stream is served meanwhile", async () => {
  const { token, requestId } = await finishedStream(call);
  const puts = meetCalls("put", failing("put"), failing("put"), failing("put"));
  for (let failures = 1; failures <= 3; failures++) {
    await ring(requestId);
    expect(told("SseArchiveFailed")).toHaveLength(failures);
    const waitMs = ((await alarmOf(requestId)) ?? 0) - Date.now();
    expect(waitMs).toBeGreaterThan(500 * 2 ** (failures - 1) - 100);
    expect(waitMs).toBeLessThanOrEqual(1000 * 2 ** (failures - 1));
    expect(await readResumed(call, token, "1-3")).toContain('"status":"complete"');
    // Not before its time.
    await ring(requestId);
    expect(puts.met).toBe(failures);
    pass(waitMs);
  }
  expect(told("SseArchiveFailed")[0]).toMatchObject({ action: "keep", is_final: false, request_id: requestId });
  expect(told("SseArchiveFailed")[0]?.["reason"]).toMatch(/^put: We encountered an internal error/);
  await ring(requestId);
  expect(await archivedKeys()).toEqual([`streams/${requestId}`]);
  expect(told("SseArchived")).toHaveLength(1);
});

test("down for all of its life: one last try, told as final, and then nothing is left anywhere", async () => {
  const { token, requestId } = await finishedStream(call);
  meetCalls("put", ...Array.from({ length: 50 }, () => failing("put")));
  await ring(requestId);
  await abortAllDurableObjects();
  pass(SNAPSHOT_TTL_MS + 1);
  await ring(requestId);
  expect(told("SseArchiveFailed").map(({ is_final: isFinal }) => isFinal)).toEqual([false, true]);
  expect(await tablesOf(requestId)).toEqual([]);
  expect(await alarmOf(requestId)).toBeNull();
  expect((await resumeWith(call, token)).status).toBe(410);
});

test("a last try that goes well is an archived stream as any other", async () => {
  const { token, requestId } = await finishedStream(call);
  meetCalls("put", failing("put"));
  await ring(requestId);
  pass(SNAPSHOT_TTL_MS + 1);
  await ring(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
  expect(await readResumed(call, token, "1-39")).toContain("data: [DONE]");
});

test("a put that hangs is given up and tried again; done after all, it changes nothing", async () => {
  const { requestId } = await finishedStream(call);
  let late: (() => Promise<unknown>) | undefined;
  const puts = meetCalls("put", async (real) => {
    late = real;
    return new Promise<never>(() => {});
  });
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: Date.now() + 2 * 3_600_000 });
  const state = { isDone: false };
  const ringing = ring(requestId).then(() => (state.isDone = true));
  for (let round = 0; !state.isDone && round < 200; round++) {
    await runInDurableObject(stubOf(requestId), () => vi.advanceTimersByTimeAsync(puts.met === 0 ? 1 : HUNG_MS));
  }
  await ringing;
  expect(told("SseArchiveFailed")).toMatchObject([{ action: "keep", reason: "put took longer than 30000 ms" }]);
  vi.useRealTimers();
  standAhead();
  pass(3 * 3_600_000);
  expect(late).toBeDefined();
  await runInDurableObject(stubOf(requestId), async () => late?.());
  const before = await env.ARCHIVE_BUCKET.get(`streams/${requestId}`).then(async (object) => object?.bytes());
  await ring(requestId);
  const after = await env.ARCHIVE_BUCKET.get(`streams/${requestId}`).then(async (object) => object?.bytes());
  expect(after).toEqual(before);
  expect(await archivedKeys()).toHaveLength(1);
});

test("who comes while the last try is made is sent away before all is deleted, and later served", async () => {
  const { token, requestId } = await finishedStream(call);
  const held = heldBack();
  meetCalls("put", held.fault);
  pass(SNAPSHOT_TTL_MS + 1);
  const ringing = ring(requestId);
  await vi.waitUntil(() => held.isWaiting);
  const late = new StreamReader(await resumeWith(call, token, "1-3"));
  expect((await late.toEnd()).at(-1)?.event).toBe("end");
  held.letGo();
  await ringing;
  expect(await tablesOf(requestId)).toEqual([]);
  expect(await alarmOf(requestId)).toBeNull();
  expect(await readResumed(call, token, "1-3")).toContain('"status":"complete"');
  // The alarm that the late caller had set is forgotten: the next life has its own.
  expect(await alarmOf(requestId)).toBeLessThanOrEqual(Date.now() + SNAPSHOT_TTL_MS);
  expect(await alarmOf(requestId)).not.toBeNull();
});

test("who still reads when all is deleted is cut, and not told that events have given way", async () => {
  upstreamSays(`data: ${"x".repeat(5000)}\n\n`.repeat(60)).end();
  const first = await startStream(call);
  await first.toEnd();
  const held = heldBack();
  meetCalls("put", held.fault);
  pass(SNAPSHOT_TTL_MS + 1);
  const ringing = ring(first.requestId);
  await vi.waitUntil(() => held.isWaiting);
  const slow = new StreamReader(await resumeWith(call, first.token, "0-0"));
  held.letGo();
  await ringing;
  expect(await tablesOf(first.requestId)).toEqual([]);
  await expect(slow.toEnd()).rejects.toThrow("connection cut by the server");
  expect(slow.seen.length).toBeLessThan(62);
  expect(slow.seen.map(({ event }) => event)).not.toContain("gap");
  expect(told("SseReaderRemoved")).toMatchObject([{ reason: "stream_expired" }]);
  const again = new StreamReader(await resumeWith(call, first.token, slow.seen.at(-1)?.id));
  expect([...slow.seen, ...(await again.toEnd())].filter(({ data }) => data.startsWith("xxx"))).toHaveLength(60);
});

test("an object that dies while it archives archives after its restart", async () => {
  const { token, requestId } = await finishedStream(call);
  const held = heldBack();
  meetCalls("put", held.fault);
  const ringing = ring(requestId).catch((error: unknown) => error);
  await vi.waitUntil(() => held.isWaiting);
  await abortAllDurableObjects();
  expect(await ringing).toBeInstanceOf(Error);
  expect(await archivedKeys()).toEqual([]);
  // Ringing by hand has taken the alarm that the platform would repeat: the next caller sets it.
  await readResumed(call, token);
  await ring(requestId);
  expect(await archivedKeys()).toEqual([`streams/${requestId}`]);
  expect(told("SseArchived")).toHaveLength(1);
});

test("a get that fails: 503 with Retry-After for all who wait for it, told once; later it is served", async () => {
  const { token, requestId } = await archivedAndGone();
  const { responses } = await resumeTogether(10, failing("get"), () => resumeWith(call, token, "1-3"));
  for (const response of responses) {
    expect(response.status).toBe(503);
    expect(response.headers.get("Retry-After")).toBe("5");
    expect(await response.json()).toMatchObject({ code: "storage_unavailable" });
  }
  expect(told("SseArchiveFailed")).toMatchObject([{ action: "read", is_final: false, request_id: requestId }]);
  expect(told("SseResumeFailed").map(({ code }) => code)).toEqual(responses.map(() => "storage_unavailable"));
  expect(await tablesOf(requestId)).toEqual([]);
  expect(await readResumed(call, token, "1-39")).toContain("data: [DONE]");

  await expire(requestId);
  meetCalls("get", failing("get"));
  expect((await call("/chat/status", { headers: { "X-Resume-Token": token } })).status).toBe(503);
  expect(await statusOf(call, token)).toMatchObject({ state: "completed" });
});

test("what lies there is damaged, cut short or none of ours: 503, and nothing of it is served or kept", async () => {
  const { token, requestId } = await archivedAndGone();
  const key = `streams/${requestId}`;
  const whole = await env.ARCHIVE_BUCKET.get(key).then(async (object) => object?.bytes());
  if (whole === undefined) throw new Error("nothing was archived");
  const changed = whole.slice();
  changed[whole.byteLength - 5] = (changed[whole.byteLength - 5] ?? 0) ^ 1;
  for (const wrong of [changed, whole.slice(0, -3), new TextEncoder().encode('{"secret":1}\n'), new Uint8Array(0)]) {
    await env.ARCHIVE_BUCKET.put(key, wrong);
    expect((await resumeWith(call, token, "1-3")).status).toBe(503);
    expect(await tablesOf(requestId)).toEqual([]);
  }
  const reasons = told("SseArchiveFailed").map(({ reason }) => reason);
  const damaged = "an archived stream that is damaged or cut short";
  expect(reasons).toEqual([damaged, damaged, "not an archived stream", "not an archived stream"]);
  await env.ARCHIVE_BUCKET.put(key, whole);
  expect((await resumeWith(call, token, "1-3")).status).toBe(200);
});

test("storage that refuses what comes back: 503, nothing half kept, and served once storage is back", async () => {
  const { token, requestId } = await archivedAndGone();
  await runInDurableObject(stubOf(requestId), (_, { storage }) => {
    Object.defineProperty(storage, "transactionSync", {
      configurable: true,
      value: () => {
        throw new Error("database or disk is full: SQLITE_FULL");
      },
    });
  });
  expect((await resumeWith(call, token)).status).toBe(503);
  expect(await tablesOf(requestId)).toEqual([]);
  await runInDurableObject(stubOf(requestId), (_, { storage }) => {
    Reflect.deleteProperty(storage, "transactionSync");
  });
  expect((await resumeWith(call, token)).status).toBe(200);
});

test("a bucket that was taken away: the stream lives and ends as any other, and its alarm does not ring on", async () => {
  const { token, requestId } = await finishedStream(call);
  await runInDurableObject(
    stubOf(requestId),
    (instance) => void Reflect.set(Reflect.get(instance, "life"), "archive", undefined),
  );
  await ring(requestId);
  expect(await alarmOf(requestId)).toBeGreaterThan(Date.now() + SNAPSHOT_TTL_MS - 1000);
  expect(await readResumed(call, token, "1-39")).toContain("data: [DONE]");
  await expire(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
  expect((await resumeWith(call, token)).status).toBe(410);
});
