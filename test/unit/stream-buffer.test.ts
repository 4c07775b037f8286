/**
 * The bounded event buffer over real SQLite, against a list of frames: what goes in comes out, whole,
 * from memory or storage, also after a restart.
 */
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { eventFrame, type SourceEvent } from "../../protocol/sse-frame.ts";
import { add, event, makeBuffer, NOW_MS, readFrom } from "../simulation/buffer-harness.ts";

const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom("a", "é", "水", "🌊"), fc.nat(6000)).map(([unit, times]) => unit.repeat(times)),
  },
  { weight: 1, arbitrary: fc.nat(40_000).map((length) => "z".repeat(length)) },
);
const sourceEvent: fc.Arbitrary<SourceEvent> = fc
  .tuple(fc.constantFrom("debug", "token", undefined, "result", "stage"), text)
  .map(([name, data]) => event(data.replaceAll("\r", ""), name));
const batches = fc.array(fc.array(sourceEvent, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 });

describe("what goes in comes out", () => {
  it("B2 from any seq on, byte for byte, whether written, waiting or restored", () => {
    fc.assert(
      fc.property(batches, fc.nat(70), fc.array(fc.boolean(), { maxLength: 6 }), (given, from, flushes) => {
        const { buffer, restart } = makeBuffer();
        const frames: string[] = [];
        for (const [at, batch] of given.entries()) {
          for (const one of batch) frames.push(eventFrame({ epoch: 1, seq: frames.length + 1 }, one));
          add(buffer, batch);
          if (flushes[at] === true) buffer.flush(NOW_MS);
        }
        expect(readFrom(buffer, from + 1)).toBe(frames.slice(from).join(""));
        buffer.flush(NOW_MS, { withRecord: true });
        const restored = restart();
        expect(restored.lastSeq).toBe(frames.length);
        expect(readFrom(restored, from + 1)).toBe(frames.slice(from).join(""));
      }),
      { seed: 13, numRuns: 60 },
    );
  });

  it("B6 in pieces of at most one segment, unless a single event is larger", () => {
    fc.assert(
      fc.property(batches, (given) => {
        const { buffer } = makeBuffer();
        let next = 1;
        for (const batch of given) {
          for (const piece of add(buffer, batch)) {
            expect(piece.firstSeq).toBe(next);
            const isSingle = piece.firstSeq === piece.lastSeq;
            expect(isSingle || piece.bytes.byteLength <= SEGMENT_MAX_BYTES).toBe(true);
            next = piece.lastSeq + 1;
          }
        }
        expect(next).toBe(buffer.lastSeq + 1);
      }),
      { seed: 14, numRuns: 60 },
    );
  });

  it("B3 within both limits, and exactly the events it says it retains", () => {
    const limits = fc.record({
      maxEvents: fc.integer({ min: 1, max: 30 }),
      maxBytes: fc.constantFrom(70_000, 100_000),
    });
    fc.assert(
      fc.property(batches, limits, (given, bounds) => {
        const { buffer, evictions } = makeBuffer(bounds);
        const frames: string[] = [];
        const gone = new Set<number>();
        for (const batch of given) {
          for (const one of batch) frames.push(eventFrame({ epoch: 1, seq: frames.length + 1 }, one));
          add(buffer, batch);
          expect(buffer.retainedEvents).toBeLessThanOrEqual(bounds.maxEvents);
          expect(buffer.retainedBytes).toBeLessThanOrEqual(bounds.maxBytes);
          // What has given way is told with the next write.
          buffer.flush(NOW_MS);
          for (const { seq, events } of evictions.splice(0))
            for (let back = 0; back < events; back++) gone.add(seq - back);
          expect(readFrom(buffer, 1)).toBe(frames.filter((_, at) => !gone.has(at + 1)).join(""));
          expect(buffer.trimmedEvents).toBe(gone.size);
        }
      }),
      { seed: 15, numRuns: 60 },
    );
  });
});

describe("one large event", () => {
  const LARGE = event("水".repeat(60_000));

  it.each(["waiting", "written"])("B6 is read in slices (%s)", (where) => {
    const { buffer } = makeBuffer();
    buffer.append([event("before"), LARGE, event("after")], NOW_MS);
    if (where === "written") buffer.flush(NOW_MS);
    const frames = [event("before"), LARGE, event("after")].map((one, at) =>
      eventFrame({ epoch: 1, seq: at + 1 }, one),
    );
    expect(readFrom(buffer, 1)).toBe(frames.join(""));
    expect(buffer.segmentAt(2)).toMatchObject({ firstSeq: 2, lastSeq: 2, eventCount: 1 });
  });

  it("is gone for whoever is in the middle of it, once it has been evicted", () => {
    const { buffer, storage } = makeBuffer({ maxEvents: 1 });
    add(buffer, [LARGE]);
    const segment = buffer.segmentAt(1);
    if (segment === undefined) throw new Error("not retained");
    expect(buffer.reading.slice(segment, 0)).toHaveLength(SEGMENT_MAX_BYTES);
    add(buffer, [event("next")]);
    buffer.flush(NOW_MS);
    expect(segment.isEvicted).toBe(true);
    expect(storage.inspect()?.ranges).toEqual([{ firstSeq: 2, lastSeq: 2 }]);
  });
});

test("every position is here, rewound, or of no event of this stream", () => {
  const { buffer, record } = makeBuffer();
  add(
    buffer,
    Array.from({ length: 9 }, (_, at) => event(`e${at}`)),
  );
  // Two restarts: the first left 5 events of more that readers had seen, the second none of its own.
  record.epochs = [
    { epoch: 1, firstSeq: 1 },
    { epoch: 2, firstSeq: 6 },
    { epoch: 3, firstSeq: 6 },
  ];
  const located = (epoch: number, seq: number) => buffer.locate({ epoch, seq });
  expect(located(0, 0)).toEqual({ kind: "here", seq: 0 });
  expect(located(1, 1)).toEqual({ kind: "here", seq: 1 });
  expect(located(1, 5)).toEqual({ kind: "here", seq: 5 });
  expect(located(1, 6)).toEqual({ kind: "rewound", seq: 5 });
  expect(located(2, 6)).toEqual({ kind: "rewound", seq: 5 });
  expect(located(2, 5)).toEqual({ kind: "unknown" });
  expect(located(3, 6)).toEqual({ kind: "here", seq: 6 });
  expect(located(3, 9)).toEqual({ kind: "here", seq: 9 });
  expect(located(3, 10)).toEqual({ kind: "unknown" });
  expect(located(4, 9)).toEqual({ kind: "unknown" });
  expect([0, 5, 6, 9].map((seq) => buffer.idOf(seq))).toEqual([
    { epoch: 0, seq: 0 },
    { epoch: 1, seq: 5 },
    { epoch: 3, seq: 6 },
    { epoch: 3, seq: 9 },
  ]);
});
