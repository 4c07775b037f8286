/**
 * `GET /admin/streams?state=stuck` with time where the test puts it: who hangs, and for what.
 */
import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";

import type { AdminStreamList } from "../../protocol/admin-streams.ts";
import { archiveScene, deltas, pass, startStream, stubOf, upstreamSays } from "./archive-scene.ts";

const { call } = archiveScene();

async function list(state: string): Promise<AdminStreamList["streams"]> {
  const headers = { Authorization: `Bearer ${env.ADMIN_TOKEN}` };
  const response = await call(`/admin/streams?state=${state}`, { headers });
  expect(response.status).toBe(200);
  return (await response.json<AdminStreamList>()).streams;
}

/** A running stream that its shard knows of. */
async function knownStream(text: string) {
  const source = upstreamSays(text);
  const reader = await startStream(call);
  await reader.until(({ id }) => id !== undefined && id !== "0-0");
  await stubOf(reader.requestId).handOver(reader.requestId);
  return { source, reader };
}

test("a source that has been silent for more than a minute, until it says something", async () => {
  const { source, reader } = await knownStream(deltas(1, 3));
  pass(60_000);
  expect(await list("stuck")).toEqual([]);
  pass(1);
  expect(await list("stuck")).toMatchObject([
    { request_id: reader.requestId, state: "streaming", stuck: "source_silent", silent_ms: 60_001, is_verified: true },
  ]);
  source.send(deltas(4, 4));
  await vi.waitUntil(async () => (await list("stuck")).length === 0);
  expect(await list("hot")).toMatchObject([{ request_id: reader.requestId, readers: 1, events: 4 }]);
  source.end();
  await reader.toEnd();
});

test("a reader that has taken nothing for more than half a minute", async () => {
  const { source, reader } = await knownStream(deltas(1, 3));
  // More than its queue holds; nobody reads on.
  source.send(`data: ${"x".repeat(100_000)}\n\n`);
  const inspect = () => stubOf(reader.requestId).inspect(reader.requestId);
  await vi.waitUntil(async () => (await inspect())?.status.events === 4);
  pass(25_000);
  expect(await list("stuck")).toEqual([]);
  pass(6000);
  expect(await list("stuck")).toMatchObject([{ request_id: reader.requestId, stuck: "reader_waiting" }]);
  source.end();
  await reader.toEnd();
});

test("what telemetry has running and whose object has ended is stuck nowhere, and recent as what it is", async () => {
  const { source, reader } = await knownStream(deltas(1, 3));
  source.end();
  await reader.toEnd();
  pass(700_000);
  expect(await list("stuck")).toEqual([]);
  expect(await list("hot")).toEqual([]);
  expect(await list("recent")).toMatchObject([
    { request_id: reader.requestId, state: "completed", events: 3, readers: 0 },
  ]);
});
