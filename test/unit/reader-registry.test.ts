/**
 * Who is let in, who has to go, and what pace readers set for the source.
 */
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { Reader, type ReaderPort } from "../../durable-objects/stream/reader.ts";
import { ReaderRegistry } from "../../durable-objects/stream/reader-registry.ts";
import { PACING_GRACE_MS, RETRY_MAX_MS } from "../../protocol/limits.ts";

const SETTINGS = {
  maxReaders: 3,
  readerLimitPolicy: "evict-oldest",
  readerStallMs: 60_000,
  readerMaxAgeMs: 600_000,
  retryMs: 1500,
} as const;
const HIGH_WATER_MARK = 100;

/** A port whose other end takes bytes when it is told to. */
class FakePort implements ReaderPort {
  queued = 0;

  roomBytes(): number {
    return HIGH_WATER_MARK - this.queued;
  }

  queuedBytes(): number {
    return this.queued;
  }

  send(chunk: Uint8Array): void {
    this.queued += chunk.byteLength;
  }

  take(bytes = this.queued): void {
    this.queued -= bytes;
  }

  close(): void {}
  breakOff(): void {}
  abort(): void {}
}

function reader(nowMs: number, options: { isFollowing?: boolean } = {}) {
  const port = new FakePort();
  const made = new Reader({
    port,
    hasControlEvents: true,
    isFollowing: options.isFollowing ?? true,
    isResumed: false,
    snapshot: undefined,
    acceptsGap: false,
    nextSeq: 1,
    replayThroughSeq: 0,
    nowMs,
  });
  return { port, reader: made, send: (bytes: number, atMs: number) => made.send(new Uint8Array(bytes), atMs) };
}

function registryOf(settings: Partial<Record<keyof typeof SETTINGS, unknown>>, ...readers: { reader: Reader }[]) {
  const registry = new ReaderRegistry({ ...SETTINGS, ...settings } as ConstructorParameters<typeof ReaderRegistry>[0]);
  for (const one of readers) registry.add(one.reader);
  return registry;
}

describe("at the limit", () => {
  it("below it everybody is let in", () => {
    expect(registryOf({}, reader(0), reader(0)).admit(10)).toEqual({ kind: "admit" });
  });

  it("the oldest makes room, by the default policy", () => {
    const oldest = reader(0);
    const registry = registryOf({}, oldest, reader(1), reader(2));
    expect(registry.admit(10)).toEqual({ kind: "admit_instead_of", reader: oldest.reader, reason: "evicted" });
  });

  it("the new one is refused, by the other", () => {
    const registry = registryOf({ readerLimitPolicy: "reject" }, reader(0), reader(1), reader(2));
    expect(registry.admit(10)).toEqual({ kind: "reject" });
  });

  it.each(["evict-oldest", "reject"])("a stalled reader goes first (%s)", (readerLimitPolicy) => {
    const stalled = reader(1);
    const registry = registryOf({ readerLimitPolicy }, reader(0), stalled, reader(2));
    stalled.send(10, 5);
    expect(registry.admit(60_005)).toEqual({ kind: "admit_instead_of", reader: stalled.reader, reason: "stalled" });
  });

  it("whoever left has made room", () => {
    const first = reader(0);
    const registry = registryOf({ readerLimitPolicy: "reject" }, first, reader(0), reader(0));
    expect(registry.remove(first.reader)).toBe(true);
    expect(registry.remove(first.reader)).toBe(false);
    expect(registry.admit(1)).toEqual({ kind: "admit" });
  });
});

describe("the sweep", () => {
  it("finds who has left bytes lying for the stall time, and not sooner", () => {
    const stalled = reader(0);
    const registry = registryOf({}, stalled);
    stalled.send(10, 1000);
    expect(registry.sweep(60_999)).toEqual([]);
    expect(registry.sweep(61_000)).toEqual([{ reader: stalled.reader, reason: "stalled" }]);
  });

  it("counts no silence before there was something to take", () => {
    const idle = reader(0);
    const registry = registryOf({}, idle);
    idle.send(10, 300_000);
    expect(registry.sweep(300_001)).toEqual([]);
  });

  it("measures from when bytes were last taken, not from when it last looked", () => {
    const stalled = reader(0);
    const registry = registryOf({}, stalled, reader(0), reader(0));
    stalled.send(50, 0);
    registry.sweep(10_000);
    stalled.port.take(10);
    stalled.reader.noteTaken(11_000);
    expect(registry.sweep(40_000)).toEqual([]);
    expect(registry.admit(70_999)).toMatchObject({ reason: "evicted" });
    expect(registry.admit(71_000)).toEqual({ kind: "admit_instead_of", reader: stalled.reader, reason: "stalled" });
  });

  it("finds who stalls without ever having been looked at", () => {
    const stalled = reader(0);
    const registry = registryOf({}, stalled, reader(0), reader(0));
    stalled.send(50, 0);
    stalled.port.take(20);
    stalled.send(50, 5000);
    expect(registry.admit(65_000)).toEqual({ kind: "admit_instead_of", reader: stalled.reader, reason: "stalled" });
  });

  it("leaves a reader alone that takes little but takes", () => {
    const slow = reader(0);
    const registry = registryOf({}, slow);
    slow.send(50, 0);
    for (let nowMs = 30_000; nowMs <= 300_000; nowMs += 30_000) {
      slow.port.take(1);
      expect(registry.sweep(nowMs)).toEqual([]);
    }
  });

  it("leaves a reader alone that has taken everything", () => {
    const idle = reader(0);
    idle.send(50, 0);
    idle.port.take();
    expect(registryOf({}, idle).sweep(500_000)).toEqual([]);
  });

  it("finds who is too old", () => {
    const old = reader(0);
    const registry = registryOf({}, old, reader(10));
    expect(registry.sweep(600_000)).toEqual([{ reader: old.reader, reason: "max_age" }]);
  });
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}

describe("a reader that is sent away is asked to come back", () => {
  it("later each time while the stream is full, up to a minute", () => {
    const registry = registryOf({});
    const waits = range(40).map(() => registry.evictionRetryMs(0));
    const growing = waits.slice(0, 4);
    for (const [at, waitMs] of growing.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual(SETTINGS.retryMs * 2 ** (at + 1));
      expect(waitMs).toBeLessThan(SETTINGS.retryMs * 2 ** (at + 2));
    }
    for (const waitMs of waits.slice(5)) expect(waitMs).toBeGreaterThanOrEqual(RETRY_MAX_MS / 2);
    expect(Math.max(...waits)).toBeLessThanOrEqual(RETRY_MAX_MS);
  });

  it("soon again once there is room, and those who were sent away have had their time", () => {
    const registry = registryOf({ maxReaders: 1 }, reader(0));
    registry.evictionRetryMs(0);
    const longestMs = registry.evictionRetryMs(0);
    registry.sweep(longestMs + 1);
    expect(registry.evictionRetryMs(longestMs + 1), "still full").toBeGreaterThanOrEqual(8 * SETTINGS.retryMs);
    const emptied = registryOf({ maxReaders: 1 });
    const waitMs = emptied.evictionRetryMs(0);
    emptied.sweep(waitMs);
    expect(emptied.evictionRetryMs(waitMs), "not back yet").toBeGreaterThanOrEqual(4 * SETTINGS.retryMs);
    emptied.sweep(waitMs + RETRY_MAX_MS);
    expect(emptied.evictionRetryMs(waitMs + RETRY_MAX_MS)).toBeLessThan(4 * SETTINGS.retryMs);
  });

  it("after the usual time to twice that, where it was only too old", () => {
    const registry = registryOf({});
    registry.evictionRetryMs(0);
    for (const waitMs of range(100).map(() => registry.ageRetryMs())) {
      expect(waitMs).toBeGreaterThanOrEqual(SETTINGS.retryMs);
      expect(waitMs).toBeLessThanOrEqual(2 * SETTINGS.retryMs);
    }
  });

  it.each([
    ["of one age", (registry: ReaderRegistry) => registry.ageRetryMs(), SETTINGS.retryMs],
    ["evicted at one moment", (registry: ReaderRegistry) => registry.evictionRetryMs(0), RETRY_MAX_MS / 2],
  ])("never two at the same moment: readers %s come back well apart", (_, retryOf, windowMs) => {
    const registry = registryOf({});
    // Past the doubling, where nothing else would tell the waits apart.
    for (const _ of range(10)) registry.evictionRetryMs(0);
    const waits = range(20)
      .map(() => retryOf(registry))
      .toSorted((a, b) => a - b);
    for (let at = 1; at < waits.length; at++) {
      expect((waits[at] ?? 0) - (waits[at - 1] ?? 0)).toBeGreaterThan(windowMs / 20 / 3);
    }
  });

  it("never sooner than readers usually do, and never later than in a minute, whatever the settings", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 60_000 }), fc.integer({ min: 1, max: 50 }), (retryMs, evictions) => {
        const registry = registryOf({ retryMs });
        const waits = range(evictions).map(() => registry.evictionRetryMs(0));
        for (const waitMs of [...waits, registry.ageRetryMs()]) {
          expect(Number.isInteger(waitMs)).toBe(true);
          expect(waitMs).toBeGreaterThanOrEqual(retryMs);
          expect(waitMs).toBeLessThanOrEqual(RETRY_MAX_MS);
        }
      }),
      { seed: 11 },
    );
  });
});

describe("the pace of the source", () => {
  it("nobody there: read on", () => {
    expect(registryOf({}).paceUntilMs(0)).toBeUndefined();
  });

  it("one of them has room: read on, at the pace of the fastest", () => {
    const full = reader(0);
    full.send(HIGH_WATER_MARK, 0);
    expect(registryOf({}, full, reader(0)).paceUntilMs(1)).toBeUndefined();
  });

  it("all are full: wait, for the grace at most", () => {
    const full = reader(0);
    full.send(HIGH_WATER_MARK, 500);
    const registry = registryOf({}, full);
    expect(registry.paceUntilMs(600)).toBe(500 + PACING_GRACE_MS);
    expect(registry.paceUntilMs(500 + PACING_GRACE_MS)).toBeUndefined();
  });

  it("the grace counts from when a reader became full, however often it is sent to", () => {
    const full = reader(0);
    full.send(HIGH_WATER_MARK, 500);
    full.send(1, 900);
    expect(registryOf({}, full).paceUntilMs(950)).toBe(500 + PACING_GRACE_MS);
  });

  it("a reader that has taken something holds the source back anew once it is full again", () => {
    const slow = reader(0);
    slow.send(HIGH_WATER_MARK, 0);
    slow.port.take();
    slow.reader.noteTaken(900);
    slow.send(HIGH_WATER_MARK, 1000);
    expect(registryOf({}, slow).paceUntilMs(1100)).toBe(1000 + PACING_GRACE_MS);
  });

  it("a replay holds nobody back", () => {
    const replay = reader(0, { isFollowing: false });
    replay.send(HIGH_WATER_MARK, 0);
    expect(registryOf({}, replay).paceUntilMs(1)).toBeUndefined();
  });
});

test("B6 admitting as it says, there are never more readers than allowed, and never fewer than could be", () => {
  const step = fc.oneof(fc.constant("attach" as const), fc.constant("leave" as const), fc.constant("fill" as const));
  const policy = fc.constantFrom("evict-oldest", "reject");
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      policy,
      fc.integer({ min: 1, max: 4 }),
      (steps, readerLimitPolicy, maxReaders) => {
        const registry = registryOf({ maxReaders, readerLimitPolicy });
        let nowMs = 0;
        for (const next of steps) {
          nowMs += 20_000;
          const [first] = registry.all();
          if (next === "leave" && first !== undefined) registry.remove(first);
          if (next === "fill" && first !== undefined) first.send(new Uint8Array(10), nowMs);
          if (next !== "attach") continue;
          const sizeBefore = registry.size;
          const admission = registry.admit(nowMs);
          if (admission.kind === "admit_instead_of") registry.remove(admission.reader);
          if (admission.kind !== "reject") registry.add(reader(nowMs).reader);
          expect(registry.size).toBe(Math.min(maxReaders, sizeBefore + 1));
        }
      },
    ),
    { seed: 7 },
  );
});

test("what a reader was handed stays so when it leaves", () => {
  const registry = new ReaderRegistry(SETTINGS);
  expect(registry.handedThroughSeq()).toBe(0);
  const { reader: first } = reader(0);
  first.nextSeq = 11;
  registry.add(first);
  const { reader: second } = reader(0);
  second.nextSeq = 5;
  registry.add(second);
  expect(registry.handedThroughSeq()).toBe(10);
  first.nextSeq = 31;
  registry.remove(first);
  expect(registry.handedThroughSeq()).toBe(30);
});
