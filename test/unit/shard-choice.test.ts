/**
 * The same thing always goes to the same shard, and different things to all of them.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { shardName, shardOf } from "../../protocol/shard-choice.ts";

/** Chi squared with 15 degrees of freedom is beyond this once in a million times. */
const CHI_SQUARED_MAX = 56.5;

describe("a shard", () => {
  it("is the same from version to version: what was sent there is on its disk", () => {
    const things = [[""], ["a"], ["r-1"], ["0f8fad5b-d9cb-469f-a165-70867728950e"], ["页面"], ["acme", "/s", "1"]];
    expect(things.map((parts) => shardOf(parts, 4))).toEqual([3, 3, 2, 0, 2, 3]);
    expect(things.map((parts) => shardOf(parts, 256))).toEqual([27, 39, 242, 0, 58, 19]);
    expect([0, 255].map(shardName)).toEqual(["shard-0", "shard-255"]);
  });

  it("is always one there is, and always the same for the same parts", () => {
    const parts = fc.array(fc.string({ unit: "binary" }), { maxLength: 4 });
    const runs = fc.array(fc.tuple(parts, fc.integer({ min: 1, max: 256 })), { maxLength: 50 });
    fc.assert(
      fc.property(runs, (given) => {
        const found = given.map(([texts, shards]) => shardOf(texts, shards));
        expect(given.map(([texts, shards]) => shardOf([...texts], shards))).toEqual(found);
        expect(given.every(([, shards], at) => Number.isInteger(found[at]) && (found[at] ?? -1) < shards)).toBe(true);
        expect(found.every((shard) => shard >= 0)).toBe(true);
      }),
    );
  });

  it("is another one for other parts that read the same one after the other", () => {
    const lists = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["a", "b", "c"]];
    expect(new Set(lists.map((parts) => shardOf(parts, 2 ** 31))).size).toBe(lists.length);
  });

  it.each([
    ["names that follow each other", (at: number) => [`request-${at}`]],
    ["ids of one source", (at: number) => ["acme", "https://shop.example", String(at)]],
    ["ids of 64 hex digits that differ in a few", (at: number) => [at.toString(16).padStart(64, "0")]],
    ["many tenants with the same id", (at: number) => [`tenant-${at}`, "/s", "1"]],
  ])("takes its even share of %s", (_, partsOf) => {
    const counts = Array.from({ length: 16 }, () => 0);
    for (let at = 0; at < 16_000; at++) {
      const shard = shardOf(partsOf(at), 16);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    const chiSquared = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquared).toBeLessThan(CHI_SQUARED_MAX);
  });
});
