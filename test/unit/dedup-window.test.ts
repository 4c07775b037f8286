/**
 * What a shard remembers of events it has taken: bounded, oldest out first, one tenant apart from another.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  DedupWindow,
  fingerprintOf,
  packFingerprints,
  unpackFingerprints,
} from "../../durable-objects/analytics/dedup-window.ts";
import { eventOf, eventsOf } from "../fixtures/lake-parts.ts";

const SEED = 0x9e3779b9;

function fingerprintsOf(count: number) {
  return eventsOf(count).map((event) => fingerprintOf(event, SEED));
}

describe("a fingerprint", () => {
  it("is the same for the same tenant, source and id, whatever else differs", () => {
    const event = eventOf();
    const again = { ...event, type: "other", timeUs: 1, data: undefined, subject: "s", requestId: "r" };
    expect(fingerprintOf(again, SEED)).toEqual(fingerprintOf(event, SEED));
  });

  it("differs where tenant, source or id do, also where they read the same one after the other", () => {
    const parts = [
      { tenant: "ab", source: "c", id: "d" },
      { tenant: "a", source: "bc", id: "d" },
      { tenant: "a", source: "b", id: "cd" },
      { tenant: "", source: "abc", id: "d" },
      { tenant: "1:1", source: "", id: "abcd" },
    ];
    const found = parts.map((part) => JSON.stringify(fingerprintOf(eventOf(part), SEED)));
    expect(new Set(found).size).toBe(parts.length);
  });

  it("cannot be foreseen without the shard's seed", () => {
    const event = eventOf();
    const { high, low } = fingerprintOf(event, SEED);
    const other = fingerprintOf(event, SEED + 1);
    expect(other.high).not.toBe(high);
    expect(other.low).not.toBe(low);
  });

  it("is not shared by any two of 20,000 events, in either half", () => {
    const fingerprints = fingerprintsOf(20_000);
    expect(new Set(fingerprints.map(({ high }) => high)).size).toBe(20_000);
    expect(new Set(fingerprints.map(({ low }) => low)).size).toBe(20_000);
  });

  it("comes back from storage as it was", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ high: fc.maxSafeNat(), low: fc.maxSafeNat() })), (fingerprints) => {
        const packed = packFingerprints(fingerprints);
        expect(unpackFingerprints(new Uint8Array(packed).buffer)).toEqual(fingerprints);
      }),
    );
  });
});

describe("the window", () => {
  it("never holds more than its bound, but for a last append that alone is larger", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 }), (counts) => {
        const window = new DedupWindow(50);
        const held: { firstSeq: number; count: number }[] = [];
        for (const [firstSeq, count] of counts.entries()) {
          const left = window.add(firstSeq, fingerprintsOf(count));
          held.push({ firstSeq, count });
          // Whatever leaves is the oldest.
          expect(held.splice(0, left.length).map((entry) => entry.firstSeq)).toEqual(left);
          const total = held.reduce((sum, entry) => sum + entry.count, 0);
          expect(total <= 50 || held.length === 1).toBe(true);
        }
      }),
    );
  });

  it("forgets the oldest append whole, and knows all younger ones", () => {
    const window = new DedupWindow(10);
    const [first, second, third] = [fingerprintsOf(4), fingerprintsOf(4), fingerprintsOf(4)];
    expect(window.add(1, first)).toEqual([]);
    expect(window.add(5, second)).toEqual([]);
    expect(window.add(9, third)).toEqual([1]);
    expect(first.map((each) => window.has(each))).toEqual([false, false, false, false]);
    expect([...second, ...third].every((each) => window.has(each))).toBe(true);
  });

  it("never remembers more appends than its bound, however few events they have", () => {
    const window = new DedupWindow(1000, 3);
    const left = Array.from({ length: 6 }, (_, at) => window.add(at + 1, fingerprintsOf(1)));
    expect(left).toEqual([[], [], [], [1], [2], [3]]);
  });

  it("keeps a newer fingerprint whose older twin leaves", () => {
    const window = new DedupWindow(2);
    const [twin, other] = fingerprintsOf(2);
    if (twin === undefined || other === undefined) throw new Error("two were asked for");
    window.add(1, [twin]);
    window.add(2, [{ high: twin.high, low: other.low }]);
    window.add(3, [other]);
    expect(window.has({ high: twin.high, low: other.low })).toBe(true);
  });
});
