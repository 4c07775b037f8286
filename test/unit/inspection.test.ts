/**
 * What an operator is shown of a stream, and that looking changes nothing.
 */
import { expect, test } from "vitest";

import { inspectionOf, type InspectionFacts } from "../../durable-objects/stream/inspection.ts";
import { StreamSession, type SessionDeps } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore, type StreamBlueprint } from "../../durable-objects/stream/stream-store.ts";
import type { ReadMode } from "../../protocol/control-events.ts";
import { parseEventId } from "../../protocol/event-id.ts";
import { NO_RELIEF } from "../../protocol/relief.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { FakePort, READER_BUFFER_BYTES } from "../fixtures/fake-port.ts";
import { SimStorage } from "../simulation/sim-storage.ts";

const START_MS = Date.parse("2026-11-21T10:00:00.000Z");
const STALL_MS = 60_000;
const STATE_TTL_MS = 300_000;
const SETTINGS: StreamBlueprint["settings"] = {
  bufferMaxEvents: 256,
  bufferMaxBytes: 1_500_000,
  eventMaxBytes: 1_000_000,
  commitIntervalMs: 1000,
  stateTtlMs: STATE_TTL_MS,
  snapshotTtlMs: 900_000,
  resumeTtlMs: 800_000,
  heartbeatMs: 15_000,
  retryMs: 1500,
  maxReaders: 20,
  readerLimitPolicy: "evict-oldest",
  readerStallMs: STALL_MS,
  readerMaxAgeMs: 600_000,
  cleanupIntervalMs: 30_000,
  readerBufferBytes: READER_BUFFER_BYTES,
  archives: true,
};

function startStream() {
  const clock = { nowMs: START_MS };
  const told: TelemetryRecord[] = [];
  const store = new StreamStore(new SimStorage().port);
  const deps: SessionDeps = {
    store,
    telemetry: (record) => told.push(record),
    clock: () => clock.nowMs,
    random: () => 0,
  };
  const blueprint: StreamBlueprint = {
    identity: { requestId: "r", route: "t", tenant: "acme", correlationId: "c", fingerprint: "secret-print" },
    settings: SETTINGS,
    hasControlEvents: true,
    priorityRules: [],
    relief: NO_RELIEF,
  };
  const session = StreamSession.begin(deps, blueprint, clock.nowMs);
  const append = (...texts: string[]) => {
    const events = texts.map((data) => ({ event: undefined, data, retryMs: undefined }));
    session.append(events, clock.nowMs);
  };
  const attach = (lastEventId = "0-0", mode: ReadMode = "live") => {
    const port = new FakePort();
    const position = parseEventId(lastEventId);
    if (position === undefined) throw new Error(`not an id: ${lastEventId}`);
    const rest = { isPositionExplicit: true, acceptGap: false, isResumed: false, token: undefined };
    session.attach({ position, mode, ...rest }, port, clock.nowMs);
    return port;
  };
  const inspect = () => session.inspect(clock.nowMs);
  const isoIn = (ms: number) => new Date(START_MS + ms).toISOString();
  return { clock, told, deps, store, session, append, attach, inspect, isoIn };
}

test("readers: what each is sent, where it stands, and for how long it has taken nothing", () => {
  const { clock, session, append, attach, inspect, isoIn } = startStream();
  session.openSource(clock.nowMs);
  append("one", "two", "three");
  const quick = attach();
  clock.nowMs += 2000;
  const stalled = attach("1-1", "replay");
  // Whoever is sent nothing more is not waiting.
  quick.takeAll();
  clock.nowMs += 7000;
  expect(inspect().readers).toEqual([
    {
      mode: "live",
      position: "1-3",
      attached_at: isoIn(0),
      age_ms: 9000,
      sent_bytes: Buffer.byteLength(quick.text, "latin1"),
      waiting_ms: 0,
    },
  ]);
  // A replay is over once it was sent; one that does not fit its port goes on.
  expect(stalled.end).toBe("closed");
  append("x".repeat(60_000));
  const waiting = attach("0-0", "replay");
  clock.nowMs += 1500;
  expect(inspect().readers.at(-1)).toMatchObject({ mode: "replay", waiting_ms: 1500, age_ms: 1500 });
  waiting.takeAll();
  expect(inspect().readers.at(-1)).toMatchObject({ waiting_ms: 0 });
});

test("the source: not open before it has answered, silent since its last word, and unknown to a new object", () => {
  const { clock, deps, store, session, append, inspect, isoIn } = startStream();
  expect(inspect().source).toEqual({ is_open: false, last_activity_at: null, silent_ms: null });
  clock.nowMs += 500;
  session.openSource(clock.nowMs);
  append("one");
  clock.nowMs += 61_000;
  expect(inspect().source).toEqual({ is_open: true, last_activity_at: isoIn(500), silent_ms: 61_000 });
  session.noteSourceActivity(clock.nowMs);
  expect(inspect().source).toMatchObject({ silent_ms: 0 });
  session.finish("completed", undefined, clock.nowMs);
  expect(inspect().source).toEqual({ is_open: false, last_activity_at: isoIn(61_500), silent_ms: null });
  const stored = store.load();
  if (stored === undefined) throw new Error("the stream is not stored");
  const later = StreamSession.restore(deps, stored, clock.nowMs).inspect(clock.nowMs);
  expect(later.source).toEqual({ is_open: false, last_activity_at: null, silent_ms: null });
  expect(later.status).toMatchObject({ state: "completed", events: 1 });
});

test("storage: what only memory holds and since when, and nothing of it once it is written", () => {
  const { clock, session, append, inspect } = startStream();
  session.openSource(clock.nowMs);
  append("one", "two");
  clock.nowMs += 400;
  const { storage } = inspect();
  expect(storage).toEqual({
    is_degraded: false,
    unstored_bytes: expect.any(Number),
    oldest_unstored_ms: 400,
    segments: 1,
  });
  expect(storage.unstored_bytes).toBeGreaterThan(0);
  expect(session.handOver(clock.nowMs)).toBe(true);
  expect(inspect().storage).toEqual({ is_degraded: false, unstored_bytes: 0, oldest_unstored_ms: null, segments: 1 });
});

test("deadlines: those that are to come, and null for the others", () => {
  const { clock, session, attach, inspect, isoIn } = startStream();
  session.openSource(clock.nowMs);
  const alone = { keep_alive: isoIn(30_000), sweep: null, abandon: isoIn(STATE_TTL_MS), expire: null, archive: null };
  expect(inspect().deadlines).toEqual(alone);
  attach();
  expect(inspect().deadlines).toEqual({ ...alone, sweep: expect.any(String), abandon: null });
  session.append([{ event: undefined, data: "one", retryMs: undefined }], clock.nowMs);
  session.finish("completed", undefined, clock.nowMs);
  session.announceEnd(clock.nowMs);
  expect(inspect().deadlines).toMatchObject({
    keep_alive: null,
    abandon: null,
    expire: isoIn(900_000),
    archive: isoIn(0),
  });
});

test("looking moves no deadline, tells nothing, and leaves a stalled reader's time as it is", () => {
  const { clock, told, session, append, attach, inspect } = startStream();
  session.openSource(clock.nowMs);
  append("one");
  const before = { deadlines: inspect().deadlines, told: told.length };
  for (let at = 0; at < 10; at++) {
    clock.nowMs += 10_000;
    expect(inspect().deadlines).toEqual(before.deadlines);
  }
  expect(told).toHaveLength(before.told);
  const stalled = attach();
  for (let at = 0; at < 6; at++) {
    clock.nowMs += STALL_MS / 6;
    inspect();
  }
  session.delivery.sweep(clock.nowMs);
  expect(stalled.end).toBe("cut");
});

test("settings and tenant are shown; what tells a caller's key or body is not", () => {
  const { inspect } = startStream();
  const inspection = inspect();
  expect(inspection.tenant).toBe("acme");
  expect(inspection.settings).toEqual({
    buffer_max_events: 256,
    buffer_max_bytes: 1_500_000,
    event_max_bytes: 1_000_000,
    commit_interval_ms: 1000,
    state_ttl_ms: STATE_TTL_MS,
    snapshot_ttl_ms: 900_000,
    resume_ttl_ms: 800_000,
    heartbeat_ms: 15_000,
    retry_ms: 1500,
    max_readers: 20,
    reader_limit_policy: "evict-oldest",
    reader_stall_ms: STALL_MS,
    reader_max_age_ms: 600_000,
    cleanup_interval_ms: 30_000,
    reader_buffer_bytes: READER_BUFFER_BYTES,
    archives: true,
  });
  expect(JSON.stringify(inspection)).not.toContain("secret-print");
});

test("a clock that was set back makes nothing negative", () => {
  const { session, inspect, clock } = startStream();
  session.openSource(clock.nowMs);
  const facts: InspectionFacts = {
    record: {
      identity: { requestId: "r", route: "t", tenant: "", correlationId: undefined, fingerprint: undefined },
      settings: SETTINGS,
      state: "streaming",
    },
    buffer: { isDegraded: true, unstoredBytes: 5, oldestUnstoredAtMs: START_MS, segmentCount: 1 },
    readers: [
      {
        reader: { mode: "snapshot", attachedAtMs: START_MS, sentBytes: 0, waitingMs: () => 0 },
        position: { epoch: 1, seq: 0 },
      },
    ],
    sourceActiveAtMs: START_MS,
    deadlines: session.deadlines(),
    status: inspect().status,
  };
  expect(inspectionOf(facts, START_MS - 1000)).toMatchObject({
    readers: [{ mode: "snapshot", age_ms: 0 }],
    source: { silent_ms: 0 },
    storage: { is_degraded: true, unstored_bytes: 5, oldest_unstored_ms: 0 },
  });
});
