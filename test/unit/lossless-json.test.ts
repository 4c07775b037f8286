/**
 * Whole numbers of any size pass through JSON unchanged.
 */
import { array, assert, bigInt, jsonValue, property } from "fast-check";
import { expect, test } from "vitest";

import { parseLossless, stringifyLossless } from "../../durable-objects/iceberg/lossless-json.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createMetadata, type LongInt } from "../../durable-objects/iceberg/table-metadata.ts";

/** As this module hands them out: number where that is exact. */
const longInt = bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((id): LongInt =>
  Number.isSafeInteger(Number(id)) ? Number(id) : id,
);

test.each([
  ["9007199254740991", 9007199254740991],
  ["-9007199254740991", -9007199254740991],
  ["9007199254740992", 9007199254740992n],
  ["9007199254740993", 9007199254740993n],
  ["-9223372036854775808", -9223372036854775808n],
  ["123456789012345678901234567890", 123456789012345678901234567890n],
  ["9007199254740993.0", 9007199254740992],
  ["9007199254740993e0", 9007199254740992],
  ["0.1234567890123456789", 0.12345678901234568],
  ["1000000000000000.5", 1000000000000000.5],
  ["-0", -0],
  ['"9007199254740993"', "9007199254740993"],
  ["null", null],
])("%s is read as it should be", (text, value) => {
  expect(parseLossless(text)).toStrictEqual(value);
});

test("small numbers beside large ones stay numbers", () => {
  expect(parseLossless('{"a":[1,9007199254740993,{"b":2.5}],"c":-3}')).toStrictEqual({
    a: [1, 9007199254740993n, { b: 2.5 }],
    c: -3,
  });
});

test("a name that is special to objects is a member like any other", () => {
  const value = parseLossless('{"__proto__":9007199254740993}');
  expect(Object.getOwnPropertyNames(value)).toEqual(["__proto__"]);
});

test("text that is no JSON throws with and without long numbers", () => {
  expect(() => parseLossless("{")).toThrow(SyntaxError);
  expect(() => parseLossless("[9007199254740993")).toThrow(SyntaxError);
});

test("bigint is written as digits, however small", () => {
  expect(stringifyLossless({ big: 9007199254740993n, small: 1n, list: [-5n], text: "x", gone: undefined })).toBe(
    '{"big":9007199254740993,"small":1,"list":[-5],"text":"x"}',
  );
});

test("what was written is read back the same: metadata with 63-bit ids", () => {
  const base = createMetadata({ uuid: "u", location: "s3://b/t", columns: TABLE_COLUMNS, nowMs: 1 });
  assert(
    property(array(longInt, { maxLength: 8 }), longInt, (ids, sequence) => {
      const metadata = {
        ...base,
        "last-sequence-number": sequence,
        "current-snapshot-id": ids.at(-1) ?? null,
        refs: Object.fromEntries(ids.map((id, index) => [`b${index}`, { "snapshot-id": id, type: "branch" }])),
        snapshots: ids.map((id, index) => ({
          "snapshot-id": id,
          ...(index > 0 && { "parent-snapshot-id": ids[index - 1] }),
          "sequence-number": index,
          "timestamp-ms": 1_795_000_000_000 + index,
          "manifest-list": `s3://b/t/snap-${id}.avro`,
          summary: { operation: "append", "total-records": String(id) },
        })),
      };
      const text = stringifyLossless(metadata);
      expect(parseLossless(text)).toStrictEqual(metadata);
      expect(stringifyLossless(parseLossless(text))).toBe(text);
    }),
  );
});

test("what was read is written back the same: any JSON", () => {
  assert(
    property(jsonValue(), (value) => {
      const text = JSON.stringify(value);
      expect(stringifyLossless(parseLossless(text))).toBe(text);
    }),
  );
});
