/**
 * Which streams are due for the archive, when, and what a session does with what comes of it: over real
 * SQLite and a clock of the test's own.
 */
import { expect, test } from "vitest";

import { decodeArchive, encodeArchive, type PackedSegment } from "../../durable-objects/stream/archive-file.ts";
import { StreamSession, type SessionDeps } from "../../durable-objects/stream/stream-session.ts";
import type { StreamMove } from "../../durable-objects/stream/state-machine.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import { NO_RELIEF } from "../../protocol/relief.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { event, makeBuffer } from "../simulation/buffer-harness.ts";
import { SimStorage } from "../simulation/sim-storage.ts";

const START_MS = 1_000_000;
const { identity, settings } = makeBuffer().record;
const TTL_MS = settings.snapshotTtlMs;

function makeDeps() {
  const storage = new SimStorage();
  const told: TelemetryRecord[] = [];
  const deps: SessionDeps = {
    store: new StreamStore(storage.port),
    telemetry: (record) => told.push(record),
    clock: () => START_MS,
    random: () => 0.5,
  };
  return { storage, told, deps };
}

function begin(archives = true) {
  const made = makeDeps();
  const blueprint = {
    identity,
    settings: { ...settings, archives },
    hasControlEvents: true,
    priorityRules: [],
    relief: NO_RELIEF,
  };
  const session = StreamSession.begin(made.deps, blueprint, START_MS);
  session.openSource(START_MS);
  return { ...made, session };
}

function finished(move: Exclude<StreamMove, "source_opened"> = "completed", archives = true) {
  const made = begin(archives);
  made.session.append([event("one"), event("two")], START_MS);
  made.session.finish(move, undefined, START_MS + 50);
  return made;
}

function archive(session: StreamSession): Uint8Array {
  const segments: PackedSegment[] = [];
  for (;;) {
    const packed = session.archiving.segmentFrom((segments.at(-1)?.facts.lastSeq ?? 0) + 1);
    if (packed === undefined) return encodeArchive(session.archivedRecord(), segments);
    segments.push(packed);
  }
}

test.each(["completed", "failed", "cancelled", "interrupted"] as const)(
  "a stream that is %s is due the moment it ends",
  (move) => {
    const { session } = finished(move);
    expect(session.deadlines().archive).toBe(START_MS + 50);
  },
);

test("not due: one that runs, one that was abandoned, one that said nothing, one that is not to be archived", () => {
  const running = begin();
  running.session.append([event("one")], START_MS);
  expect(running.session.deadlines().archive).toBeUndefined();
  expect(finished("expired").session.deadlines().archive).toBeUndefined();
  const silent = begin();
  silent.session.finish("completed", undefined, START_MS);
  expect(silent.session.deadlines().archive).toBeUndefined();
  expect(finished("completed", false).session.deadlines().archive).toBeUndefined();
});

test("one that an object finds unfinished after a crash is due as it is interrupted", () => {
  const { session, deps } = begin();
  session.append([event("one", "stage")], START_MS);
  const stored = deps.store.load();
  if (stored === undefined) throw new Error("nothing is stored");
  const restored = StreamSession.restore(deps, stored, START_MS + 900);
  expect(restored.state).toBe("interrupted");
  expect(restored.deadlines().archive).toBe(START_MS + 900);
});

test("once it is kept it is due no more, also for the object after this one", () => {
  const { session, deps, told } = finished();
  session.noteArchived({ segments: 1, bytes: 77, begunAtMs: START_MS }, START_MS + 60);
  expect(session.deadlines().archive).toBeUndefined();
  const stored = deps.store.load();
  if (stored === undefined) throw new Error("nothing is stored");
  expect(StreamSession.restore(deps, stored, START_MS + 90).deadlines().archive).toBeUndefined();
  expect(told.at(-1)).toMatchObject({ event: "SseArchived", segments: 1, bytes: 77, duration_ms: 60, request_id: "r" });
});

test("after failures it waits longer each time, a minute at most, and never past its own last chance", () => {
  const { session, told } = finished();
  const waits: number[] = [];
  let nowMs = START_MS + 50;
  for (let attempt = 1; attempt <= 9; attempt++) {
    session.noteArchiveFailed("put failed", false, nowMs);
    const dueAtMs = session.deadlines().archive ?? 0;
    waits.push(dueAtMs - nowMs);
    nowMs = dueAtMs;
  }
  expect(waits).toEqual([750, 1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000]);
  expect(told.filter(({ event: name }) => name === "SseArchiveFailed")).toHaveLength(9);
  expect(session.isExpiring(START_MS + 50 + TTL_MS - 1)).toBe(false);
  expect(session.isExpiring(START_MS + 50 + TTL_MS)).toBe(true);
});

test("brought back, it is as it was, lives as long again, and is not archived again", () => {
  const { session } = finished();
  const { deps, told } = makeDeps();
  const atMs = START_MS + 10 * TTL_MS;
  const back = StreamSession.bringBack(deps, decodeArchive(archive(session)), atMs);
  const { expires_at: expiresAt, retained_bytes: bytes, ...status } = back.status();
  const { expires_at: expiredAt, retained_bytes: bytesBefore, ...before } = session.status();
  expect(status).toEqual(before);
  // It stays deflated.
  expect(bytes).toBeLessThan(bytesBefore);
  expect(expiredAt).toBe(new Date(START_MS + 50 + TTL_MS).toISOString());
  expect(expiresAt).toBe(new Date(atMs + TTL_MS).toISOString());
  expect(back.deadlines()).toMatchObject({ archive: undefined, keepAlive: undefined, abandon: undefined });
  expect(told).toMatchObject([{ event: "SseArchiveRead", segments: 1, request_id: "r" }]);
  // The object may leave memory meanwhile.
  const stored = deps.store.load();
  if (stored === undefined) throw new Error("nothing is stored");
  expect(StreamSession.restore(deps, stored, atMs + 5).status()).toEqual(back.status());
});

test("storage that refuses a stream that comes back has none of it", () => {
  const { session } = finished();
  const file = archive(session);
  for (let statements = 0; statements < 4; statements++) {
    const { deps, storage } = makeDeps();
    let left = statements;
    storage.shouldFail = (kind) => kind === "write" && left-- <= 0;
    expect(() => StreamSession.bringBack(deps, decodeArchive(file), START_MS)).toThrow("SQLITE_FULL");
    expect(storage.hasTable("stream")).toBe(false);
    storage.shouldFail = () => false;
    expect(StreamSession.bringBack(deps, decodeArchive(file), START_MS).status().retained_events).toBe(2);
  }
});
