/**
 * The bounded buffer's book-keeping against a plain list that is searched from end to end.
 */
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import {
  SegmentIndex,
  type BufferLimits,
  type Piece,
  type Segment,
} from "../../durable-objects/stream/segment-index.ts";
import type { Priority } from "../../protocol/priority.ts";

interface Shape {
  readonly priority: Priority;
  readonly events: number;
  readonly bytes: number;
}

const shape: fc.Arbitrary<Shape> = fc.record({
  priority: fc.constantFrom<Priority>(0, 1, 2, 3),
  events: fc.integer({ min: 1, max: 12 }),
  bytes: fc.integer({ min: 1, max: 400 }),
});
const limits: fc.Arbitrary<BufferLimits> = fc.record({
  maxEvents: fc.integer({ min: 1, max: 40 }),
  maxBytes: fc.integer({ min: 400, max: 3000 }),
});

/** A payload that nobody may look at. */
function sealedPiece(firstSeq: number, lastSeq: number): Piece {
  return {
    firstSeq,
    lastSeq,
    get bytes(): Uint8Array {
      throw new Error("a payload was read to evict");
    },
  };
}

function segmentAfter(lastSeq: number, { priority, events, bytes }: Shape): Segment {
  const [firstSeq, last] = [lastSeq + 1, lastSeq + events];
  return {
    firstSeq,
    lastSeq: last,
    priority,
    eventCount: events,
    byteSize: bytes,
    wireBytes: bytes,
    encoding: "plain",
    frameEnds: undefined,
    floorSeq: firstSeq,
    goneEvents: 0,
    folds: undefined,
    isEvicted: false,
    isStored: true,
    pieces: [sealedPiece(firstSeq, last)],
  };
}

/** The rules of B3 and B4 over a list, with no thought for speed. */
class PlainBuffer {
  runs: { seqs: number[]; priority: Priority; bytes: number }[] = [];

  push(segment: Segment): void {
    const seqs = Array.from({ length: segment.eventCount }, (_, at) => segment.firstSeq + at);
    this.runs.push({ seqs, priority: segment.priority, bytes: segment.byteSize });
  }

  get seqs(): number[] {
    return this.runs.flatMap((run) => run.seqs);
  }

  get bytes(): number {
    return this.runs.reduce((sum, run) => sum + run.bytes, 0);
  }

  enforce({ maxEvents, maxBytes }: BufferLimits): void {
    for (;;) {
      const excess = this.seqs.length - maxEvents;
      if (this.bytes <= maxBytes && excess <= 0) return;
      const lowest = Math.min(...this.runs.map((run) => run.priority));
      const victim = this.runs.find((run) => run.priority === lowest);
      if (victim === undefined) return;
      victim.seqs = this.bytes > maxBytes ? [] : victim.seqs.slice(excess);
      this.runs = this.runs.filter((run) => run.seqs.length > 0);
    }
  }
}

function retainedSeqs(index: SegmentIndex, lastSeq: number): number[] {
  const seqs: number[] = [];
  for (let seq = 1; seq <= lastSeq; seq++) {
    const segment = index.from(seq);
    if (segment !== undefined && segment.floorSeq <= seq) seqs.push(seq);
  }
  return seqs;
}

test("B3 B4 after every push the limits hold, and what gave way is what the plain list gives up", () => {
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 120 }), limits, (shapes, bounds) => {
      const index = new SegmentIndex();
      const plain = new PlainBuffer();
      let lastSeq = 0;
      for (const next of shapes) {
        const segment = segmentAfter(lastSeq, next);
        lastSeq = segment.lastSeq;
        index.push(segment);
        plain.push(segment);
        index.enforce(bounds);
        plain.enforce(bounds);
        expect(index.retainedEvents).toBeLessThanOrEqual(bounds.maxEvents);
        expect(index.retainedBytes).toBeLessThanOrEqual(bounds.maxBytes);
        expect(retainedSeqs(index, lastSeq)).toEqual(plain.seqs);
        expect(index.retainedEvents).toBe(plain.seqs.length);
        expect(index.retainedBytes).toBe(plain.bytes);
      }
    }),
    { seed: 8 },
  );
});

test("B4 evictions are told in their order: lowest priority first, oldest first within it", () => {
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 60 }), limits, (shapes, bounds) => {
      const index = new SegmentIndex();
      let lastSeq = 0;
      for (const next of shapes) {
        const segment = segmentAfter(lastSeq, next);
        lastSeq = segment.lastSeq;
        index.push(segment);
      }
      const ranks = index.enforce(bounds).map(({ segment, seq }) => segment.priority * 1e6 + seq);
      expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    }),
    { seed: 9 },
  );
});

test("evictions account for every event and byte that left", () => {
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 60 }), limits, (shapes, bounds) => {
      const index = new SegmentIndex();
      let lastSeq = 0;
      let [events, bytes] = [0, 0];
      for (const next of shapes) {
        const segment = segmentAfter(lastSeq, next);
        lastSeq = segment.lastSeq;
        index.push(segment);
        events += next.events;
        bytes += next.bytes;
        for (const eviction of index.enforce(bounds)) {
          events -= eviction.events;
          bytes -= eviction.bytes;
        }
        expect([index.retainedEvents, index.retainedBytes]).toEqual([events, bytes]);
      }
    }),
    { seed: 10 },
  );
});

describe("finding a seq", () => {
  it("gives the first retained segment that holds it or anything after it, as a search from end to end does", () => {
    const taken = fc.array(fc.nat(59), { maxLength: 50 });
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 60 }), taken, fc.nat(800), (shapes, victims, seq) => {
        const index = new SegmentIndex();
        const all: Segment[] = [];
        for (const next of shapes) {
          const segment = segmentAfter(all.at(-1)?.lastSeq ?? 0, next);
          all.push(segment);
          index.push(segment);
        }
        for (const at of victims) {
          const victim = all[at];
          if (victim !== undefined && !victim.isEvicted) index.evict(victim, "storage_lost");
        }
        const kept = all.filter((segment) => !segment.isEvicted);
        expect(index.from(seq)).toBe(kept.find((segment) => segment.lastSeq >= seq));
        expect(index.oldest()).toBe(kept[0]);
        expect(index.retainedEvents).toBe(kept.reduce((sum, segment) => sum + segment.eventCount, 0));
      }),
      { seed: 11 },
    );
  });
});

describe("what is not stored yet", () => {
  it("is every retained segment since the last write, oldest first, evicted ones left out", () => {
    const step = fc.oneof(shape, fc.constant("write" as const), fc.constant("evict" as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const index = new SegmentIndex();
        let waiting: Segment[] = [];
        let lastSeq = 0;
        for (const next of steps) {
          if (next === "write") {
            for (const segment of waiting) segment.isStored = true;
            waiting = [];
          } else if (next === "evict") {
            const oldest = waiting.shift();
            if (oldest !== undefined) index.evict(oldest, "storage_lost");
          } else {
            const segment = { ...segmentAfter(lastSeq, next), isStored: false };
            lastSeq = segment.lastSeq;
            index.push(segment);
            waiting.push(segment);
          }
          expect(index.unstored()).toEqual(waiting);
        }
      }),
      { seed: 12 },
    );
  });

  it("grows by a piece, and so do the counts", () => {
    const index = new SegmentIndex();
    const segment = { ...segmentAfter(0, { priority: 1, events: 2, bytes: 10 }), isStored: false };
    index.push(segment);
    index.grow(segment, { firstSeq: 3, lastSeq: 5, bytes: new Uint8Array(7) });
    expect(segment).toMatchObject({ lastSeq: 5, eventCount: 5, byteSize: 17 });
    expect([index.retainedEvents, index.retainedBytes]).toEqual([5, 17]);
    expect(index.from(4)).toBe(segment);
  });
});

/** Times the metadata of a segment is looked at while a full buffer takes in as much again. */
function looksWhileFull(segments: number): number {
  let looks = 0;
  const watched = (lastSeq: number): Segment => {
    const segment = segmentAfter(lastSeq, { priority: lastSeq % 5 === 0 ? 0 : 1, events: 1, bytes: 1 });
    return new Proxy(segment, {
      get(target, key, receiver): unknown {
        looks++;
        return Reflect.get(target, key, receiver);
      },
    });
  };
  const index = new SegmentIndex();
  for (let seq = 0; seq < 2 * segments; seq++) {
    if (seq === segments) looks = 0;
    index.push(watched(seq));
    index.enforce({ maxEvents: segments, maxBytes: Infinity });
  }
  return looks / segments;
}

describe("B5 evicting", () => {
  it("costs the same whatever the buffer's size", () => {
    const [small, large] = [looksWhileFull(500), looksWhileFull(20_000)];
    expect(large).toBeLessThan(small * 1.5);
    expect(large).toBeLessThan(60);
  });

  it("lets go of the payload, and of the metadata too before long", () => {
    const index = new SegmentIndex();
    for (let seq = 0; seq < 1000; seq++) {
      index.push(segmentAfter(seq, { priority: 1, events: 1, bytes: 1 }));
      for (const { segment } of index.enforce({ maxEvents: 10, maxBytes: Infinity }))
        expect(segment.pieces).toEqual([]);
    }
    const lists = Object.values(index).filter((value) => Array.isArray(value));
    for (const list of lists) expect(list.length).toBeLessThan(100);
  });
});
