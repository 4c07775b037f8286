/**
 * When the buffer writes, what it does while storage fails, and what a restart finds.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { HOT_TAIL_MAX_BYTES, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { eventFrame, type SourceEvent } from "../../protocol/sse-frame.ts";
import { add, event, makeBuffer, NOW_MS, readFrom } from "../simulation/buffer-harness.ts";

describe("writing", () => {
  it("waits for the interval while little is waiting", () => {
    const { buffer, storage } = makeBuffer();
    buffer.flush(NOW_MS, { withRecord: true });
    add(buffer, [event("a"), event("b")]);
    expect(storage.inspect()?.ranges).toEqual([]);
    expect(buffer.oldestUnstoredAtMs).toBe(NOW_MS);
  });

  it("does not wait once more than a segment's worth is waiting, and B6 holds no more than that back", () => {
    const { buffer, storage } = makeBuffer();
    add(buffer, [event("a".repeat(SEGMENT_MAX_BYTES - 100))]);
    add(buffer, [event("b".repeat(100))]);
    expect(storage.inspect()?.ranges.at(0)).toEqual({ firstSeq: 1, lastSeq: 1 });
  });

  it("does not wait with a critical event, and takes along what came before it", () => {
    const { buffer, storage } = makeBuffer();
    add(buffer, [event("a"), event("b", "debug"), event("c", "stage")]);
    expect(storage.inspect()?.ranges.map(({ lastSeq }) => lastSeq)).toEqual([1, 2, 3]);
  });

  it("puts a run of one priority in one row, however many turns it came in", () => {
    const { buffer, storage } = makeBuffer();
    for (let turn = 0; turn < 50; turn++) add(buffer, [event(`t${turn}`)]);
    buffer.flush(NOW_MS);
    expect(storage.inspect()?.ranges).toEqual([{ firstSeq: 1, lastSeq: 50 }]);
  });

  it("deletes the rows of what has given way with the next write", () => {
    const { buffer, storage } = makeBuffer({ maxEvents: 2 });
    for (const name of ["stage", "stage", "stage", "stage"]) add(buffer, [event("x", name)]);
    buffer.flush(NOW_MS);
    expect(storage.inspect()?.ranges.map(({ firstSeq }) => firstSeq)).toEqual([3, 4]);
  });

  it("B1 keeps the last seq also where the last event gave way before it was written", () => {
    const { buffer, storage, restart } = makeBuffer({ maxEvents: 2 });
    add(buffer, [event("a", "stage"), event("b", "stage"), event("c", "debug")]);
    buffer.flush(NOW_MS);
    expect(storage.inspect()).toMatchObject({ durableSeq: 3 });
    expect(restart().lastSeq).toBe(3);
  });

  it("B2 never joins a run over events that have given way in between", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("debug", "token", "result"), { maxLength: 150 }), (names) => {
        const { buffer } = makeBuffer({ maxEvents: 2 });
        for (const [at, name] of names.entries()) add(buffer, [event(`e${at}`, name)]);
        const ids = [...readFrom(buffer, 1).matchAll(/^id: 1-(\d+)$/gm)].map(([, seq]) => Number(seq));
        for (const seq of ids) expect(buffer.firstRetainedFrom(seq)).toBe(seq);
        expect(ids).toHaveLength(buffer.retainedEvents);
      }),
      { seed: 16 },
    );
  });
});

function chunk(at: number): SourceEvent {
  return event(`${at} `.padEnd(10_000, "x"));
}

describe("while storage refuses writes", () => {
  it("B6 keeps the hot tail and gives up the oldest, which is said to be lost", () => {
    const { buffer, degraded, evictions, refuse } = makeBuffer();
    refuse("write");
    for (let at = 1; at <= 20; at++) add(buffer, [chunk(at)]);
    expect(degraded).toEqual([true]);
    expect(buffer.retainedBytes).toBeLessThanOrEqual(HOT_TAIL_MAX_BYTES);
    expect(buffer.retainedBytes).toBeGreaterThan(HOT_TAIL_MAX_BYTES - 2 * SEGMENT_MAX_BYTES);
    expect(evictions.every(({ reason }) => reason === "storage_lost")).toBe(true);
    const firstSeq = buffer.firstSeq ?? 0;
    expect([buffer.hasLost(1, 1), buffer.hasLost(firstSeq - 1, firstSeq - 1), buffer.hasLost(firstSeq, 20)]).toEqual([
      true,
      true,
      false,
    ]);
    const last = eventFrame({ epoch: 1, seq: 20 }, chunk(20));
    expect(readFrom(buffer, 20)).toBe(last);
  });

  it("tries again when it is flushed, not for each event", () => {
    const { buffer, storage, refuse } = makeBuffer();
    refuse("write");
    add(buffer, [event("a", "stage")]);
    const before = storage.counts.writeFailures;
    for (let at = 0; at < 10; at++) add(buffer, [event("b", "stage")]);
    expect(storage.counts.writeFailures).toBe(before);
    buffer.flush(NOW_MS);
    expect(storage.counts.writeFailures).toBeGreaterThan(before);
  });

  it("writes all that is still there once storage is back, and says so", () => {
    const { buffer, degraded, refuse, restart } = makeBuffer();
    refuse("write");
    for (let at = 1; at <= 20; at++) add(buffer, [chunk(at)]);
    const kept = readFrom(buffer, 1);
    refuse(undefined);
    buffer.flush(NOW_MS);
    expect(degraded).toEqual([true, false]);
    expect(buffer.oldestUnstoredAtMs).toBeUndefined();
    expect(readFrom(buffer, 1)).toBe(kept);
    expect(readFrom(restart(), 1)).toBe(kept);
  });

  it("B7 writes an outcome that was refused with the next flush, though no event waits", () => {
    const { buffer, record, storage, refuse } = makeBuffer();
    buffer.flush(NOW_MS, { withRecord: true });
    refuse("write");
    record.state = "completed";
    buffer.flush(NOW_MS, { withRecord: true });
    expect(buffer.oldestUnstoredAtMs).toBe(NOW_MS);
    refuse(undefined);
    buffer.flush(NOW_MS);
    expect(storage.inspect()?.state).toBe("completed");
  });

  it("stores the first record and the events it knows of together, or nothing", () => {
    const { buffer, storage, refuse } = makeBuffer();
    refuse("write");
    buffer.flush(NOW_MS, { withRecord: true });
    add(buffer, [event("a")]);
    // The tables can be made, and then the segment cannot be written.
    let writes = 0;
    storage.shouldFail = (kind) => kind === "write" && ++writes > 3;
    buffer.flush(NOW_MS, { withRecord: true });
    expect(storage.inspect()).toBeUndefined();
    refuse(undefined);
    buffer.flush(NOW_MS);
    expect(storage.inspect()).toMatchObject({ durableSeq: 1, ranges: [{ firstSeq: 1, lastSeq: 1 }] });
  });
});

describe("when storage cannot read", () => {
  it("a segment is gone, with a word why, and the others are not", () => {
    const { buffer, degraded, evictions, refuse } = makeBuffer();
    add(buffer, [event("a", "stage"), event("b", "result"), event("c", "stage")]);
    refuse("read");
    const segment = buffer.segmentAt(2);
    if (segment === undefined) throw new Error("not retained");
    expect(buffer.reading.from(segment, 2)).toBeUndefined();
    refuse(undefined);
    expect(degraded).toEqual([true]);
    expect(evictions).toMatchObject([{ reason: "storage_lost", seq: 2, events: 1 }]);
    expect(readFrom(buffer, 1)).not.toContain("data: b");
    expect(buffer.firstRetainedFrom(2)).toBe(3);
  });
});

describe("a restart", () => {
  it("B5 reads no payload, and gives way by the same rules where limits are smaller now", () => {
    const { buffer, record, storage, restart } = makeBuffer();
    add(buffer, [event("a", "debug"), event("b", "stage"), event("c", "debug"), event("d", "stage")]);
    Object.assign(record.settings, { bufferMaxEvents: 2 });
    buffer.flush(NOW_MS, { withRecord: true });
    storage.counts.payloadReads = 0;
    const restored = restart();
    expect(storage.counts.payloadReads).toBe(0);
    expect(restored.retainedEvents).toBe(2);
    expect([restored.firstSeq, restored.trimmedEvents, restored.lastSeq]).toEqual([2, 2, 4]);
  });
});
