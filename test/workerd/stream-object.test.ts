/**
 * The stream object on real Durable Object storage: resume, crash, clean-up.
 */
import { abortAllDurableObjects, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test, vi } from "vitest";

import { call, endOf, resume, sourceEvents, start } from "./reading.ts";

const TTL_MS = 900_000;

afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

function tablesOf(requestId: string): Promise<unknown[]> {
  return runInDurableObject(env.REQUEST_STREAM.getByName(requestId), (_, state) =>
    state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'").toArray(),
  );
}

test("B2 a reader cut at any event resumes with exactly the rest", async () => {
  const whole = await start("events=12&rate=0");
  const expected = sourceEvents(await whole.toEnd());
  expect(expected).toHaveLength(12);
  for (let cut = 0; cut < 12; cut++) {
    const rest = await resume(whole.token, cut === 0 ? "0-0" : `1-${cut}`);
    expect(sourceEvents(await rest.toEnd())).toEqual(expected.slice(cut));
  }
});

test("B1 several readers at once, each at its own position, see contiguous ids", async () => {
  const first = await start("events=40&rate=200");
  await first.until(({ id }) => id === "1-5");
  const second = await resume(first.token, "1-2");
  const third = await resume(first.token, "1-5");
  const [one, two, three] = await Promise.all([first.toEnd(), second.toEnd(), third.toEnd()]);
  const ids = (events: typeof one) => sourceEvents(events).map(({ id }) => Number(id?.split("-")[1]));
  expect(ids(one)).toEqual(range(1, 40));
  expect(ids(two)).toEqual(range(3, 40));
  expect(ids(three)).toEqual(range(6, 40));
});

test("the source is read on after every reader has gone", async () => {
  const reader = await start("events=60&rate=400");
  await reader.until(({ id }) => id === "1-3");
  await reader.cut();
  const rest = await resume(reader.token, "1-3");
  expect(sourceEvents(await rest.toEnd())).toHaveLength(57);
});

test("B3 the buffer is bounded by events, and a gap names every event that is missing", async () => {
  const reader = await start("events=700&rate=0");
  await reader.toEnd();
  const { token } = reader;
  const status = await (await call(`/demo/status?token=${token}`)).json<Record<string, number>>();
  expect(status).toMatchObject({ events: 700, retained_events: 256, trimmed_events: 444 });
  const rest = await resume(token, "1-10");
  const events = await rest.toEnd();
  const gap = events.find(({ event }) => event === "gap");
  expect(gap?.id).toBe("1-444");
  expect(JSON.parse(gap?.data ?? "")).toEqual({ from: "1-11", to: "1-444", dropped: 434, reason: "buffer_trimmed" });
  expect(sourceEvents(events)).toHaveLength(256);
});

test("a crash leaves what was committed, an honest end, and no id used twice", async () => {
  const reader = await start("events=200&rate=100&stages=20&idempotency_key=crash-crash-crash");
  await reader.until(({ event, id }) => event === "stage" && id !== "1-1");
  const lastSeen = reader.seen.at(-1)?.id ?? "";
  await abortAllDurableObjects();
  const rest = await resume(reader.token, "1-1");
  const events = await rest.toEnd();
  expect(endOf(events)).toMatchObject({ status: "interrupted", reason: "object_restarted" });
  const replayed = new Map(sourceEvents(events).map(({ id, data }) => [id, data]));
  // A stage is critical: it was written at once, and everything before it in the same commit.
  expect(replayed.has(lastSeen)).toBe(true);
  const contradicted = sourceEvents(reader.seen).filter(
    ({ id, data }) => replayed.has(id) && replayed.get(id) !== data,
  );
  expect(contradicted).toEqual([]);
  const status = await (await call(`/demo/status?token=${reader.token}`)).json();
  expect(status).toMatchObject({ state: "interrupted", epoch: 2 });
});

test("a reader that saw events die with the object is told to rewind", async () => {
  const reader = await start("events=200&rate=100");
  await reader.until(({ id }) => id === "1-8");
  await abortAllDurableObjects();
  const rest = await resume(reader.token, "1-8");
  const events = await rest.toEnd();
  const rewind = events.find(({ event }) => event === "rewind");
  expect(JSON.parse(rewind?.data ?? "")).toEqual({ client: "1-8", durable: "0-0", epoch: 2 });
  expect(rewind?.id).toBeUndefined();
  expect(endOf(events)).toMatchObject({ status: "interrupted", last_id: "0-0" });
});

test("B7 a finished stream is replayable until its time is over; then nothing is left in storage", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  const reader = await start("events=5&rate=0");
  await reader.toEnd();
  const stub = env.REQUEST_STREAM.getByName(reader.requestId);
  vi.setSystemTime(Date.now() + TTL_MS - 1000);
  await runDurableObjectAlarm(stub);
  expect(await tablesOf(reader.requestId)).toHaveLength(2);

  vi.setSystemTime(Date.now() + 2000);
  await runDurableObjectAlarm(stub);
  expect(await tablesOf(reader.requestId)).toEqual([]);
  const alarm = await runInDurableObject(stub, (_, state) => state.storage.getAlarm());
  expect(alarm).toBeNull();
});

test("a token of a stream that is gone does not read a later stream under the same id", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  const query = "events=5&rate=0&idempotency_key=two-lives-of-one-key";
  const first = await start(query);
  await first.toEnd();
  vi.setSystemTime(Date.now() + TTL_MS - 60_000);
  const late = await resume(first.token, "1-2");
  await late.toEnd();
  vi.setSystemTime(Date.now() + 120_000);
  await runDurableObjectAlarm(env.REQUEST_STREAM.getByName(first.requestId));
  const second = await start(query);
  await second.toEnd();
  expect(second.requestId).toBe(first.requestId);
  const refused = await call("/demo/resume", { headers: { "X-Resume-Token": late.token, "Last-Event-ID": "1-2" } });
  expect(refused.status).toBe(410);
  expect(await refused.json()).toMatchObject({ code: "stream_expired" });
});

test("asking for an id that never was writes nothing", async () => {
  const stub = env.REQUEST_STREAM.getByName("no-such-stream");
  const ticket = { requestId: "no-such-stream", tenant: "default", route: "demo", issuedAtSec: 0, readsArchive: true };
  expect(await stub.status(ticket)).toEqual({
    ok: false,
    error: { code: "stream_expired" },
  });
  expect(await tablesOf("no-such-stream")).toEqual([]);
});

test("while its source is read, an alarm within 30 s keeps the object in memory", async () => {
  const reader = await start("events=100&rate=50");
  await reader.until(({ id }) => id === "1-1");
  await reader.cut();
  const stub = env.REQUEST_STREAM.getByName(reader.requestId);
  const alarm = await runInDurableObject(stub, (_, state) => state.storage.getAlarm());
  expect(alarm).toBeLessThanOrEqual(Date.now() + 30_000);
  await runDurableObjectAlarm(stub);
  const next = await runInDurableObject(stub, (_, state) => state.storage.getAlarm());
  expect(next).not.toBeNull();
});

test("a stop is not a disconnect: DELETE ends the stream for every reader", async () => {
  const reader = await start("events=1000&rate=50");
  await reader.until(({ id }) => id === "1-2");
  const response = await call("/demo/stream", { method: "DELETE", headers: { "X-Resume-Token": reader.token } });
  expect(await response.json()).toMatchObject({ state: "cancelled", reason: "cancelled_by_caller" });
  expect(endOf(await reader.toEnd())).toMatchObject({ status: "cancelled" });
  const again = await call("/demo/stream", { method: "DELETE", headers: { "X-Resume-Token": reader.token } });
  expect(again.status).toBe(200);
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
