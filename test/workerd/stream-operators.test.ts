/**
 * What operators see of stream objects and do to them, on real Durable Object storage: a look is only a look,
 * an end by them is an end, and a hand-over leaves nothing waiting.
 */
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { expect, test, vi } from "vitest";

import { shardName, shardOf } from "../../protocol/shard-choice.ts";
import {
  alarmOf,
  archivedKeys,
  archiveScene,
  deltas,
  expire,
  finishedStream,
  pass,
  resumeWith,
  ring,
  startStream,
  stubOf,
  tablesOf,
  upstreamSays,
} from "./archive-scene.ts";
import { endOf } from "./reading.ts";

const STATE_TTL_MS = 900_000;
const { call, told } = archiveScene();

/** Everything the object has stored, payloads included. */
function rowsOf(requestId: string): Promise<unknown> {
  return runInDurableObject(stubOf(requestId), (_, { storage: { sql } }) => ({
    records: sql.exec("SELECT * FROM stream").toArray(),
    segments: sql.exec("SELECT * FROM segment ORDER BY first_seq").toArray(),
  }));
}

function shardFor(requestId: string) {
  const objectId = env.REQUEST_STREAM.idFromName(requestId).toString();
  return env.EVENT_BUFFER_DO.getByName(shardName(shardOf([objectId], env.ICEBERG_SHARDS)));
}

test("an id that never was: nothing is here, nothing is written, no alarm is set", async () => {
  const requestId = "A".repeat(27);
  const stub = stubOf(requestId);
  expect(await stub.inspect(requestId)).toBeUndefined();
  expect(await stub.cancelByOperator(requestId)).toBeUndefined();
  expect(await stub.handOver(requestId)).toBeUndefined();
  expect(await tablesOf(requestId)).toEqual([]);
  expect(await alarmOf(requestId)).toBeNull();
});

test("a look at a running stream writes nothing and moves no alarm", async () => {
  const source = upstreamSays(deltas(1, 3));
  const reader = await startStream(call);
  await reader.until(({ id }) => id === "1-3");
  const { requestId } = reader;
  const inspection = await stubOf(requestId).inspect(requestId);
  expect(inspection).toMatchObject({
    status: { request_id: requestId, route: "chat", state: "streaming", events: 3, readers: 1 },
    tenant: "default",
    readers: [{ mode: "live", position: "1-3", waiting_ms: 0 }],
    source: { is_open: true, last_activity_at: expect.any(String), silent_ms: expect.any(Number) },
    storage: { is_degraded: false, segments: 1 },
    deadlines: { keep_alive: expect.any(String), abandon: null, expire: null, archive: null },
    settings: { state_ttl_ms: STATE_TTL_MS, archives: true },
  });
  await stubOf(requestId).handOver(requestId);
  const before = { rows: await rowsOf(requestId), alarm: await alarmOf(requestId) };
  for (let at = 0; at < 5; at++) await stubOf(requestId).inspect(requestId);
  expect({ rows: await rowsOf(requestId), alarm: await alarmOf(requestId) }).toEqual(before);
  source.end();
  await reader.toEnd();
});

test("looks do not keep a stream from being abandoned that nobody feeds and nobody reads", async () => {
  const source = upstreamSays(deltas(1, 3));
  const reader = await startStream(call);
  await reader.until(({ id }) => id === "1-3");
  const { requestId } = reader;
  await reader.cut();
  const stub = stubOf(requestId);
  await vi.waitUntil(async () => (await stub.inspect(requestId))?.readers.length === 0);
  const abandonAt = (await stub.inspect(requestId))?.deadlines.abandon;
  for (let at = 0; at < 9; at++) {
    pass(STATE_TTL_MS / 10);
    await ring(requestId);
    expect(await stub.inspect(requestId)).toMatchObject({
      status: { state: "streaming" },
      deadlines: { abandon: abandonAt },
    });
  }
  pass(STATE_TTL_MS / 10 + 1000);
  await stub.inspect(requestId);
  await ring(requestId);
  expect(await stub.inspect(requestId)).toMatchObject({ status: { state: "expired", reason: "abandoned" } });
  source.end();
});

test("a stream that only the archive has is not brought back by a look, a cancel or a hand-over", async () => {
  const { requestId, token } = await finishedStream(call, 5);
  await ring(requestId);
  await expire(requestId);
  expect(await archivedKeys()).toEqual([`streams/${requestId}`]);
  const stub = stubOf(requestId);
  expect(await stub.inspect(requestId)).toBeUndefined();
  expect(await stub.cancelByOperator(requestId)).toBeUndefined();
  expect(await stub.handOver(requestId)).toBeUndefined();
  expect(await tablesOf(requestId)).toEqual([]);
  expect(told("SseArchiveRead")).toEqual([]);
  // Its reader can.
  expect((await resumeWith(call, token, "1-2")).status).toBe(200);
  expect(await stub.inspect(requestId)).toMatchObject({ status: { state: "completed" } });
});

test("cancelled by an operator: its readers are told, its source is let go, and once more is as once", async () => {
  upstreamSays(deltas(1, 4));
  const reader = await startStream(call);
  await reader.until(({ id }) => id === "1-4");
  const { requestId } = reader;
  const status = await stubOf(requestId).cancelByOperator(requestId);
  expect(status).toMatchObject({ state: "cancelled", reason: "cancelled_by_operator", events: 4 });
  expect(endOf(await reader.toEnd())).toMatchObject({
    status: "cancelled",
    reason: "cancelled_by_operator",
    last_id: "1-4",
  });
  expect(await stubOf(requestId).cancelByOperator(requestId)).toMatchObject({
    state: "cancelled",
    ended_at: status?.ended_at,
  });
  expect(told("SseStreamEnded")).toMatchObject([{ request_id: requestId, reason: "cancelled_by_operator" }]);
});

test("a finished stream stays as it ended", async () => {
  const { requestId } = await finishedStream(call, 5);
  const before = await rowsOf(requestId);
  const status = await stubOf(requestId).cancelByOperator(requestId);
  expect(status).toMatchObject({ state: "completed" });
  expect(status).not.toHaveProperty("reason");
  expect(await rowsOf(requestId)).toEqual(before);
});

test("handed over: the pending segment is in storage and the telemetry with its shard, at once", async () => {
  const source = upstreamSays(deltas(1, 6));
  const reader = await startStream(call);
  await reader.until(({ id }) => id === "1-6");
  const { requestId } = reader;
  const stub = stubOf(requestId);
  expect(await stub.handOver(requestId)).toMatchObject({ isStored: true });
  expect(await rowsOf(requestId)).toMatchObject({ segments: [{ first_seq: 1, last_seq: 6 }] });
  expect((await stub.inspect(requestId))?.storage).toMatchObject({ unstored_bytes: 0, oldest_unstored_ms: null });
  const timeline = await shardFor(requestId).timeline(requestId);
  expect(timeline.map(({ event }) => event)).toEqual(["SseStreamStarted", "SseResumeIssued"]);
  // Nothing has come since.
  expect(await stub.handOver(requestId)).toEqual({ isStored: true, telemetryEvents: 0 });
  source.end();
  await reader.toEnd();
  expect(await stub.handOver(requestId)).toMatchObject({ isStored: true });
});

test("an alarm that was set stays: cancelling leads to the stream's own end of life", async () => {
  upstreamSays(deltas(1, 2));
  const reader = await startStream(call);
  await reader.until(({ id }) => id === "1-2");
  const { requestId } = reader;
  await stubOf(requestId).cancelByOperator(requestId);
  await reader.toEnd();
  expect(await alarmOf(requestId)).not.toBeNull();
  await ring(requestId);
  await expire(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
});
