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

describe("an evicted reader is asked to come back", () => {
  it("later each time while the stream is full, up to a minute", () => {
    const registry = registryOf({});
    const waits = Array.from({ length: 40 }, () => registry.evictionRetryMs());
    expect(waits.slice(0, 3)).toEqual([3000, 6000, 12_000]);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBe(RETRY_MAX_MS);
  });

  it("soon again once there were places left", () => {
    const registry = registryOf({ maxReaders: 1 }, reader(0));
    registry.evictionRetryMs();
    registry.evictionRetryMs();
    registry.sweep(1);
    expect(registry.evictionRetryMs(), "still full").toBe(12_000);
    const emptied = registryOf({ maxReaders: 1 });
    emptied.evictionRetryMs();
    emptied.sweep(1);
    expect(emptied.evictionRetryMs()).toBe(3000);
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
