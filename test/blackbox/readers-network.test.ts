/**
 * Readers whose network dies, and readers that leave without a sound: each is noticed, and its place is
 * free for others.
 *
 * A connection that has merely fallen silent says nothing to its sender. While bytes flow, the buffers on
 * the way fill and the reader shows as stalled. While next to nothing flows, a dead connection looks like a
 * healthy one, until its age ends it.
 */
import { once } from "node:events";
import type { Socket } from "node:net";

import { expect, onTestFinished, test } from "vitest";

import { numbers } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { startSilentProxy } from "../fixtures/silent-proxy.ts";
import { resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { resumeOnSocket, startLive } from "../fixtures/told-and-plain.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const SEC_MS = 1000;
/** A reader is seen to have stalled by the sweep after its stall time; a busy machine takes its own time. */
const NOTICED_WITHIN_MS = 3 * SEC_MS + 15 * SEC_MS;
/** So that whatever is noticed is not noticed for this. */
const NEVER_SEC = 3600;

/** A stream of `told`, and a way to its service that can fall silent. */
async function startBehindProxy(vars: Readonly<Record<string, unknown>>) {
  const live = await startLive("told", {
    SSE_RETRY_MS: 50,
    SSE_CLIENT_STALL_SEC: 1,
    SSE_CLEANUP_INTERVAL_SEC: 1,
    SSE_HEARTBEAT_SEC: 1,
    ...vars,
  });
  const proxy = await startSilentProxy(live.service.origin);
  onTestFinished(() => proxy.stop());
  return { ...live, proxy };
}

async function readersOf(service: Service, { token }: SseReading): Promise<unknown> {
  const response = await fetch(`${service.origin}/told/status`, { headers: { "X-Resume-Token": token } });
  return Object(await response.json()).readers;
}

/** A reader of a bare socket, once its answer has begun. */
async function openSocket(service: Service, { token }: SseReading): Promise<Socket> {
  const socket = resumeOnSocket(service, "told", token);
  await once(socket, "data");
  return socket;
}

test("busy: a reader whose network has died is cut as stalled, and its neighbour loses nothing", async () => {
  const { service, proxy, source, reading } = await startBehindProxy({ SSE_CLIENT_MAX_AGE_SEC: NEVER_SEC });
  const lost = await resumeStream(`${proxy.origin}/told/resume`, reading.token, "0-0");
  source.sendNumbers(1, 1);
  await Promise.all([reading.untilContent(1), lost.untilContent(1)]);
  expect(await readersOf(service, reading)).toBe(2);

  proxy.fallSilent();
  const silentAtMs = Date.now();
  // More than the buffers on the way hold: two sockets of the kernel's.
  const count = 24_000;
  for (let n = 2; n <= count; n++) source.send(`data: ${n} ${"x".repeat(1_000)}\n\n`);
  await untilLogged(service, "SseReaderRemoved", { reason: "stalled", request_id: reading.requestId });
  expect(Date.now() - silentAtMs).toBeLessThan(NOTICED_WITHIN_MS);
  expect(await readersOf(service, reading)).toBe(1);
  source.end();
  expect(await reading.toEnd()).toBe("closed");
  expect(reading.data.map((text) => text.split(" ")[0])).toEqual(numbers(1, count));
  expect(service.telemetry("SseReaderRemoved")).toHaveLength(1);
  lost.cut();
});

test("quiet: a reader whose network has died keeps its place until its age, and no longer", async () => {
  const { service, proxy, source, reading } = await startBehindProxy({ SSE_CLIENT_MAX_AGE_SEC: 3 });
  const lost = await resumeStream(`${proxy.origin}/told/resume`, reading.token, "0-0");
  await lost.until(() => lost.comments.length > 0, "the opening");
  proxy.fallSilent();
  reading.cut();
  await untilLogged(service, "SseReaderRemoved", { reason: "max_age", request_id: reading.requestId });
  expect(await readersOf(service, reading)).toBe(0);
  source.end();
  lost.cut();
});

test("quiet: a dead reader is the one to make room, being the oldest", async () => {
  const { service, proxy, source, reading } = await startBehindProxy({ SSE_MAX_CLIENTS: 2 });
  const lost = await resumeStream(`${proxy.origin}/told/resume`, reading.token, "0-0");
  await lost.until(() => lost.comments.length > 0, "the opening");
  reading.cut();
  await expect.poll(() => readersOf(service, reading), { timeout: 10_000 }).toBe(1);
  proxy.fallSilent();
  const healthy = await resumeStream(`${service.origin}/told/resume`, reading.token, "0-0");
  const another = await resumeStream(`${service.origin}/told/resume`, reading.token, "0-0");
  await untilLogged(service, "SseReaderRemoved", { reason: "evicted" });
  source.sendNumbers(1, 3);
  source.end();
  for (const reader of [healthy, another]) {
    await reader.toEnd();
    expect(reader.data).toEqual(numbers(1, 3));
  }
  lost.cut();
});

test.each([
  ["closes", (socket: Socket) => void socket.destroy()],
  ["resets", (socket: Socket) => void socket.resetAndDestroy()],
])("a reader that %s while nothing is sent is noticed by the heartbeat at the latest", async (_, leave) => {
  const { service, source, reading } = await startBehindProxy({
    SSE_CLIENT_STALL_SEC: NEVER_SEC,
    SSE_CLIENT_MAX_AGE_SEC: NEVER_SEC,
    SSE_CLEANUP_INTERVAL_SEC: NEVER_SEC,
  });
  const socket = await openSocket(service, reading);
  await expect.poll(() => readersOf(service, reading), { timeout: 10_000 }).toBe(2);
  const leftAtMs = Date.now();
  leave(socket);
  await untilLogged(service, "SseReaderRemoved", { reason: "disconnected", request_id: reading.requestId });
  expect(Date.now() - leftAtMs).toBeLessThan(NOTICED_WITHIN_MS);
  expect(await readersOf(service, reading)).toBe(1);
  source.end();
  expect(await reading.toEnd()).toBe("closed");
});

test("a reader that ends only its sending side, as `nc -N` does, still reads and is served on", async () => {
  const { service, source, reading } = await startBehindProxy({});
  const socket = await openSocket(service, reading);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.end();
  // Heartbeats find nobody gone.
  await reading.until(() => reading.comments.length > 2, "two heartbeats");
  expect(await readersOf(service, reading)).toBe(2);
  source.sendNumbers(1, 3);
  source.end();
  await once(socket, "close");
  expect(Array.from(text.matchAll(/^data: (\d+)$/gm), ([, n]) => n)).toEqual(numbers(1, 3));
  expect(text).toContain("event: end");
  expect(service.telemetry("SseReaderRemoved")).toEqual([]);
});
