/**
 * Degraded, never down: storage that refuses, and an object that cannot be reached.
 */
import { abortAllDurableObjects, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test, vi } from "vitest";

import { call, resume, sourceEvents, start, StreamReader } from "./reading.ts";

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

/** Makes every write of one object fail, as a full or broken storage does. */
function breakStorage(requestId: string, isBroken: boolean): Promise<void> {
  return runInDurableObject(env.REQUEST_STREAM.getByName(requestId), (_, state) => {
    const { storage } = state;
    if (!isBroken) return void Reflect.deleteProperty(storage, "transactionSync");
    Object.defineProperty(storage, "transactionSync", {
      configurable: true,
      value: () => {
        throw new Error("database or disk is full: SQLITE_FULL");
      },
    });
  });
}

test("storage that fails mid-stream: readers go on live, are told, and the stream recovers", async () => {
  const reader = await start("events=400&rate=200");
  await reader.until(({ id }) => id === "1-5");
  await breakStorage(reader.requestId, true);
  await reader.until(({ event }) => event === "degraded");
  const late = await resume(reader.token, "1-5");
  expect(late.response.headers.get("X-Spillway-Degraded")).toBe("storage");
  await breakStorage(reader.requestId, false);
  const events = await reader.toEnd();
  expect(sourceEvents(events)).toHaveLength(400);
  expect(events.at(-1)?.event).toBe("end");
  const status = await (await call(`/demo/status?token=${reader.token}`)).json<Record<string, unknown>>();
  expect(status).toMatchObject({ state: "completed", degraded: false });
  await late.cut();
});

test("an object that cannot start lets the upstream through, and says so", async () => {
  const key = "broken-object-key";
  const first = await start(`events=3&rate=0&idempotency_key=${key}`);
  await first.toEnd();
  // A storage layout from the future: this code refuses to read it, and the object does not come up.
  await runInDurableObject(env.REQUEST_STREAM.getByName(first.requestId), (_, state) => {
    state.storage.sql.exec("UPDATE stream SET layout = 99");
  });
  await abortAllDurableObjects();

  const lines: string[] = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  const degraded = await call(`/demo/stream?events=3&rate=0&idempotency_key=${key}`);
  expect(degraded.headers.get("X-Spillway-Degraded")).toBe("object");
  expect(degraded.headers.get("X-Resume-Token")).toBeNull();
  expect(sourceEvents(await new StreamReader(degraded).toEnd())).toHaveLength(3);
  expect(lines.map((line) => JSON.parse(line) as Record<string, unknown>)).toContainEqual(
    expect.objectContaining({ event: "SseDegraded", kind: "object" }),
  );

  const refused = await call("/demo/resume", { headers: { "X-Resume-Token": first.token } });
  expect(refused.status).toBe(503);
  expect(refused.headers.get("Retry-After")).toBe("2");
  expect(await refused.json()).toMatchObject({ code: "storage_unavailable" });
});
