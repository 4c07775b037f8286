/**
 * How readers are taken leave of: what they are told, what becomes of the queue they leave behind, and
 * whether those who are leaving still keep a place.
 */
import { describe, expect, it } from "vitest";

import type { AttachRequest } from "../../durable-objects/stream/admission.ts";
import type { AttachVerdict } from "../../durable-objects/stream/delivery.ts";
import type { Reader } from "../../durable-objects/stream/reader.ts";
import { StreamSession } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore, type StreamBlueprint } from "../../durable-objects/stream/stream-store.ts";
import { START_POSITION } from "../../protocol/event-id.ts";
import { NO_RELIEF } from "../../protocol/relief.ts";
import { FakePort, READER_BUFFER_BYTES } from "../fixtures/fake-port.ts";
import { SimStorage } from "../simulation/sim-storage.ts";

const STALL_MS = 60_000;
const AGE_MS = 600_000;

interface Given {
  readonly maxReaders?: number;
  readonly policy?: "evict-oldest" | "reject";
  readonly hasControlEvents?: boolean;
}

function startStream({ maxReaders = 2, policy = "evict-oldest", hasControlEvents = true }: Given) {
  const clock = { nowMs: 1000 };
  const blueprint: StreamBlueprint = {
    identity: { requestId: "r", route: "t", tenant: "", correlationId: undefined, fingerprint: undefined },
    settings: settingsOf(maxReaders, policy),
    hasControlEvents,
    priorityRules: [],
    relief: NO_RELIEF,
  };
  const store = new StreamStore(new SimStorage().port);
  const deps = { store, telemetry: () => undefined, clock: () => clock.nowMs, random: () => 0 };
  const session = StreamSession.begin(deps, blueprint, clock.nowMs);
  session.openSource(clock.nowMs);
  const append = (data: string) => session.append([{ event: undefined, data, retryMs: undefined }], clock.nowMs);
  const attach = (mode: AttachRequest["mode"] = "live") => {
    const port = new FakePort();
    const request = { isPositionExplicit: true, acceptGap: false, isResumed: true, token: undefined };
    const verdict = session.attach({ ...request, position: START_POSITION, mode }, port, clock.nowMs);
    return { port, verdict };
  };
  return { clock, session, append, attach };
}

function settingsOf(maxReaders: number, readerLimitPolicy: "evict-oldest" | "reject"): StreamBlueprint["settings"] {
  return {
    bufferMaxEvents: 10_000,
    bufferMaxBytes: 4_000_000,
    eventMaxBytes: 1_000_000,
    commitIntervalMs: 1000,
    stateTtlMs: AGE_MS,
    snapshotTtlMs: AGE_MS,
    resumeTtlMs: AGE_MS,
    heartbeatMs: 15_000,
    retryMs: 1500,
    maxReaders,
    readerLimitPolicy,
    readerStallMs: STALL_MS,
    readerMaxAgeMs: AGE_MS,
    cleanupIntervalMs: 30_000,
    readerBufferBytes: READER_BUFFER_BYTES,
    archives: false,
  };
}

function readerOf(verdict: AttachVerdict): Reader {
  if (verdict.kind !== "attached") throw new Error(`${verdict.kind}, expected to be let in`);
  return verdict.reader;
}

const REFUSED = { kind: "refused", error: { code: "reader_limit", maxReaders: 2, retryAfterSec: 30 } };
/** The last thing it was told. */
const FAREWELL = /\nretry: \d+\n\n$/;

describe("a reader that has its replay, and has not taken all of it", () => {
  it("keeps its place where the policy is to reject, until it has taken the rest", () => {
    const { session, append, attach } = startStream({ policy: "reject" });
    append("a");
    attach();
    const leaving = attach("replay");
    expect(session.status().readers).toBe(1);
    expect(attach().verdict).toEqual(REFUSED);
    expect(leaving.port.end).toBe("closed");
    leaving.port.takeAll();
    expect(attach().verdict.kind).toBe("attached");
  });

  it("makes room where it has stalled, whatever the policy", () => {
    const { clock, append, attach } = startStream({ policy: "reject" });
    append("a");
    const following = attach();
    const leaving = attach("replay");
    clock.nowMs += STALL_MS;
    following.port.takeAll();
    expect(attach().verdict.kind).toBe("attached");
    expect(leaving.port.end).toBe("cut");
    expect(following.port.end).toBe("open");
  });

  it("keeps none where the policy is to evict, and is left to take the rest while that is little", () => {
    const { append, attach } = startStream({});
    append("a");
    const following = attach();
    const leaving = attach("replay");
    expect(attach().verdict.kind).toBe("attached");
    expect([following.port.end, leaving.port.end]).toEqual(["open", "closed"]);
    expect(attach().verdict.kind).toBe("attached");
    expect([following.port.end, leaving.port.end]).toEqual(["closed", "closed"]);
  });

  it("is cut where those who are leaving would hold more than one reader's queue", () => {
    const { append, attach } = startStream({});
    append("x".repeat(15_000));
    append("x".repeat(15_000));
    attach();
    const first = attach("replay");
    const second = attach("replay");
    expect([first.port.end, second.port.end]).toEqual(["closed", "closed"]);
    attach();
    attach();
    expect([first.port.end, second.port.end]).toEqual(["cut", "closed"]);
  });

  it("is forgotten once its connection is gone", () => {
    const { session, append, attach, clock } = startStream({ policy: "reject" });
    append("a");
    attach();
    const leaving = attach("replay");
    session.delivery.disconnect(readerOf(leaving.verdict), clock.nowMs);
    expect(attach().verdict.kind).toBe("attached");
  });
});

describe("an evicted reader", () => {
  it.each([
    ["that follows is told when to come back, and its response is closed", true, "live", "closed"],
    [
      "without control events is told too, and its connection broken: closed, it would look complete",
      false,
      "live",
      "broken off",
    ],
  ] as const)("%s", (_, hasControlEvents, mode, end) => {
    const { append, attach } = startStream({ maxReaders: 1, hasControlEvents });
    append("a");
    const evicted = attach(mode);
    attach();
    expect(evicted.port.text).toMatch(FAREWELL);
    expect(evicted.port.end).toBe(end);
  });

  it("in the middle of its replay is told, and its connection broken: closed, it would look complete", () => {
    const { append, attach } = startStream({ maxReaders: 1 });
    for (let n = 0; n < 20; n++) append("x".repeat(10_000));
    const evicted = attach("replay");
    attach();
    expect(evicted.port.text).toMatch(FAREWELL);
    expect(evicted.port.end).toBe("broken off");
  });

  it("with a full queue is told behind what it still has to take, within its limit", () => {
    const { append, attach } = startStream({ maxReaders: 1 });
    for (let n = 0; n < 20; n++) append("x".repeat(10_000));
    const evicted = attach();
    expect(evicted.port.roomBytes()).toBeLessThanOrEqual(0);
    attach();
    expect(evicted.port.text).toMatch(FAREWELL);
    expect(evicted.port.end).toBe("closed");
    expect(evicted.port.queued).toBeLessThanOrEqual(READER_BUFFER_BYTES);
  });

  it("in the middle of an event is cut: nothing can be put in there", () => {
    const { append, attach } = startStream({ maxReaders: 1 });
    append("x".repeat(200_000));
    const evicted = attach();
    attach();
    expect(evicted.port.text).not.toMatch(FAREWELL);
    expect(evicted.port.end).toBe("cut");
  });

  it("that does not take its farewell is cut after the stall time", () => {
    const { append, attach, clock, session } = startStream({ maxReaders: 1 });
    append("a");
    const evicted = attach();
    const next = attach();
    next.port.takeAll();
    expect(evicted.port.end).toBe("closed");
    clock.nowMs += STALL_MS;
    session.wake(clock.nowMs);
    expect(evicted.port.end).toBe("cut");
    expect(next.port.end).toBe("open");
  });
});

describe("readers that are all too old at once", () => {
  it("are asked to come back at different moments", () => {
    const { attach, clock, session } = startStream({ maxReaders: 20 });
    const readers = Array.from({ length: 20 }, () => attach());
    for (const { port } of readers) port.takeAll();
    clock.nowMs += AGE_MS;
    session.wake(clock.nowMs);
    const waits = readers.map(({ port }) => Number(/retry: (\d+)\n\n$/.exec(port.text)?.[1]));
    expect(new Set(waits).size).toBe(readers.length);
    expect(session.status().readers).toBe(0);
  });
});
