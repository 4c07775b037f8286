/**
 * Bounds by which readers skip files: none may exclude a value that the file holds.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { compareUtf8, lowerBound, measureColumns, upperBound } from "../../durable-objects/iceberg/column-bounds.ts";
import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createLakeRows } from "../fixtures/lake-rows.ts";

const LAST = "\u{10ffff}";

function bytesOf(base64: string | undefined): Buffer {
  if (base64 === undefined) throw new Error("there is no bound");
  return Buffer.from(base64, "base64");
}

function textOf(base64: string | undefined): string {
  return bytesOf(base64).toString("utf8");
}

/** Texts as much alike as makes comparing them hard: few characters from every range, long common beginnings. */
const text = fc.string({
  unit: fc.constantFrom("a", "b", "\0", "é", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{1f600}", LAST),
  maxLength: 24,
});

test.for<[string, string]>([
  ["", ""],
  ["order.paid", "order.paid"],
  ["sixteen letters.", "sixteen letters."],
  ["sixteen letters. and more", "sixteen letters/"],
  ["\u{1f600}".repeat(17), `${"\u{1f600}".repeat(15)}\u{1f601}`],
  [`fifteen letters${LAST}more`, "fifteen lettert"],
  [`a${LAST.repeat(16)}`, "b"],
  [`fifteen letters\ud7ffmore`, "fifteen letters\ue000"],
])("the upper bound of %j is %j", ([value, bound]) => {
  expect(textOf(upperBound(value))).toBe(bound);
});

test("a text that cannot be rounded up has no upper bound, but one that need not be has", () => {
  expect(upperBound(LAST.repeat(17))).toBeUndefined();
  expect(textOf(upperBound(LAST.repeat(16)))).toBe(LAST.repeat(16));
});

test("a lower bound is the first 16 code points, pairs uncut", () => {
  expect(textOf(lowerBound("a".repeat(20)))).toBe("a".repeat(16));
  expect(textOf(lowerBound(`${"a".repeat(15)}\u{1f600}b`))).toBe(`${"a".repeat(15)}\u{1f600}`);
  expect(lowerBound("")).toBe("");
});

test("numbers are 8 bytes, little endian, two's complement", () => {
  expect(bytesOf(lowerBound(258n)).toString("hex")).toBe("0201000000000000");
  expect(bytesOf(upperBound(-1n)).toString("hex")).toBe("ffffffffffffffff");
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      expect(bytesOf(lowerBound(value)).readBigInt64LE()).toBe(value);
      expect(upperBound(value)).toBe(lowerBound(value));
    }),
  );
});

test("texts are ordered as their UTF-8 bytes are", () => {
  fc.assert(
    fc.property(text, text, (left, right) => {
      expect(Math.sign(compareUtf8(left, right))).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)));
    }),
    { numRuns: 2000 },
  );
});

/** No upper bound holds for everything. */
function isWithin(value: string | number, lower: string | undefined, upper: string | undefined): boolean {
  if (typeof value === "number") {
    return (
      bytesOf(lower).readBigInt64LE() <= BigInt(value) &&
      (upper === undefined || bytesOf(upper).readBigInt64LE() >= BigInt(value))
    );
  }
  const bytes = Buffer.from(value);
  return (
    Buffer.compare(bytesOf(lower), bytes) <= 0 && (upper === undefined || Buffer.compare(bytesOf(upper), bytes) >= 0)
  );
}

test("no bound excludes the value it bounds, is longer than 16 code points, or is no text", () => {
  fc.assert(
    fc.property(text, (value) => {
      const lower = lowerBound(value);
      const upper = upperBound(value);
      expect(isWithin(value, lower, upper)).toBe(true);
      expect(upper === undefined).toBe(value.startsWith(LAST.repeat(16)) && value !== LAST.repeat(16));
      for (const bound of [lower, upper ?? ""]) {
        expect(Array.from(textOf(bound)).length).toBeLessThanOrEqual(16);
        expect(Buffer.from(textOf(bound)).equals(bytesOf(bound))).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

const row = createLakeRows(1, { seed: 1 })[0];
if (row === undefined) throw new Error("the generator made no row");

test("the bounds of a file hold for every value in it, and its counts are those of its rows", () => {
  const values = fc.record({
    type: text,
    subject: fc.option(text, { nil: undefined }),
    timeUs: fc.maxSafeInteger(),
    data: fc.option(text, { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 30 }), (changes) => {
      const rows = changes.map((change, seq) => ({ ...row, ...change, seq }));
      const { metrics } = encodeParquet(rows, TABLE_COLUMNS);
      for (const { fieldId, read } of TABLE_COLUMNS) {
        const present = rows.map(read).filter((value) => value !== undefined);
        const lower = metrics.lowerBounds[fieldId];
        const upper = metrics.upperBounds[fieldId];
        expect(metrics.valueCounts[fieldId]).toBe(rows.length);
        expect(metrics.nullValueCounts[fieldId]).toBe(rows.length - present.length);
        expect(lower === undefined).toBe(present.length === 0);
        expect(present.filter((value) => !isWithin(value, lower, upper))).toStrictEqual([]);
      }
    }),
  );
});

test("bounds of numbers are exact, those of text as near as 16 code points allow", () => {
  const rows = createLakeRows(500, { seed: 5, firstSeq: 100 });
  const { metrics } = encodeParquet(rows, TABLE_COLUMNS);
  expect(bytesOf(metrics.lowerBounds[11]).readBigInt64LE()).toBe(100n);
  expect(bytesOf(metrics.upperBounds[11]).readBigInt64LE()).toBe(599n);
  const times = rows.map(({ timeUs }) => timeUs);
  expect(bytesOf(metrics.lowerBounds[5]).readBigInt64LE()).toBe(BigInt(Math.min(...times)));
  expect(bytesOf(metrics.upperBounds[5]).readBigInt64LE()).toBe(BigInt(Math.max(...times)));
  expect(textOf(metrics.lowerBounds[7])).toBe("acme");
  expect(textOf(metrics.upperBounds[7])).toBe("umbrella");
  expect(textOf(metrics.lowerBounds[3])).toBe("SseBufferTrimmed");
});

test("a chunk without statistics is refused, not taken for one without nulls", () => {
  expect(() => measureColumns(TABLE_COLUMNS, [])).toThrow("column id has no statistics");
});
