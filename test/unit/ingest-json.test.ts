/**
 * JSON comes back as it was sent: every value, every digit; and no input breaks the reader.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { scanArray, scanValue } from "../../workers/ingest/json-scan.ts";
import { parseJson } from "../../workers/ingest/lossless-json.ts";
import { BATCH, JSON_TYPE, read, readOne, REQUIRED, STRUCTURED } from "../fixtures/ingest-calls.ts";

/** The data column of an event whose data is this text. */
function dataOf(text: string): string | undefined {
  const body = JSON.stringify({ ...REQUIRED, data: "HERE" }).replace('"HERE"', () => text);
  return readOne(STRUCTURED, body).data;
}

test.each([
  // 63-bit ids, and what a double would make of them.
  ["9223372036854775807", "9223372036854775807"],
  ["-9223372036854775808", "-9223372036854775808"],
  ["9007199254740993", "9007199254740993"],
  ["[9007199254740992]", "[9007199254740992]"],
  ["1700000000000000001", "1700000000000000001"],
  ["0.12345678901234567", "0.12345678901234567"],
  ["123456789012.3456789", "123456789012.3456789"],
  ["3.141592653589793238462643", "3.141592653589793238462643"],
  ["1e400", "1e400"],
  ["-1E-400", "-1E-400"],
  ["-0", "-0"],
  ["[-0.0,-0,-0.5]", "[-0.0,-0,-0.5]"],
  // Written out, this would take four times the room.
  ["[1e20,1E5]", "[1e20,1E5]"],
  // What a double holds is written as doubles are.
  ["1.50", "1.5"],
  ["1e0", "1e0"],
  ["0.1", "0.1"],
  ['"9223372036854775807"', '"9223372036854775807"'],
  ['{ "a" : [ 1 , 2 ] ,\n"b":"x y" }', '{"a":[1,2],"b":"x y"}'],
  ['"\\ud800 \\u00fc \\/ \u2028"', '"\\ud800 ü / \u2028"'],
  ['{"a":1,"a":2}', '{"a":2}'],
])("data %s is kept as %s", (text, kept) => {
  expect(dataOf(text)).toBe(kept);
});

test("any JSON data comes back equal, in every mode", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.nat({ max: 4 }), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const kept = [
        dataOf(text),
        readOne(JSON_TYPE, `{"data":${text}}`).data,
        readOne("application/json", text, {
          "ce-specversion": "1.0",
          "ce-id": "1",
          "ce-source": "/s",
          "ce-type": "t",
        }).data,
      ];
      // The value as JSON has it: it knows one zero.
      for (const data of kept) {
        expect(JSON.parse(data ?? "")).toEqual(JSON.parse(text));
        expect(data).not.toContain("\n");
      }
    }),
    { numRuns: 1000 },
  );
});

const DIGITS = fc.stringMatching(/^-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?$/);

/** A decimal text as sign, digits without outer zeros, and exponent: equal for equal numbers. */
function decimal(text: string): string {
  const [, sign, whole = "", fraction = "", exponent = "0"] = /^(-?)(\d+)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  const scale = Number(exponent) - fraction.length + digits.length - significant.length;
  return significant === "" ? `${sign}0` : `${sign}${significant}e${scale}`;
}

test("any number keeps its value to the last digit, and takes no more room", () => {
  fc.assert(
    fc.property(fc.array(DIGITS, { minLength: 1, maxLength: 5 }), (numbers) => {
      const data = dataOf(`[${numbers.join(", ")}]`) ?? "";
      const kept = data.slice(1, -1).split(",");
      expect(kept.map(decimal)).toEqual(numbers.map(decimal));
      expect(data.length).toBeLessThanOrEqual(`[${numbers.join(",")}]`.length);
    }),
    { numRuns: 3000 },
  );
});

test("numbers beside a wide one keep their meaning for whoever reads them", () => {
  const members = '{"id":"1","specversion":"1.0","source":"/s","type":"t","ext":5,"data":{"n":9007199254740993,"m":5}}';
  expect(readOne(STRUCTURED, members)).toMatchObject({ data: '{"n":9007199254740993,"m":5}', extensions: '{"ext":5}' });
});

const TYPES = [STRUCTURED, BATCH, JSON_TYPE, "text/plain", undefined];
const HEADERS = fc.dictionary(fc.constantFrom("ce-id", "ce-type", "ce-source", "ce-time", "ce-x", "ce-%"), fc.string());

test("no input throws, and every event of a request is either taken or rejected, once", () => {
  const event = fc.record(
    {
      specversion: fc.constantFrom("1.0", "2"),
      id: fc.oneof(fc.constant("id"), fc.jsonValue()),
      source: fc.oneof(fc.constant("/s"), fc.string({ unit: "binary" })),
      type: fc.oneof(fc.constant("t"), fc.string()),
      time: fc.oneof(fc.constant("2026-01-01T00:00:00Z"), fc.string()),
      data: fc.jsonValue(),
      data_base64: fc.string(),
      ext: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), fc.array(event, { maxLength: 5 }), (type, batch) => {
      const reading = read(type, batch);
      if (reading.code !== undefined || type === STRUCTURED) return;
      const indexes = [...reading.indexes, ...reading.rejected.map(({ index }) => index)];
      expect(indexes.toSorted((left, right) => left - right)).toEqual([...batch.keys()]);
      for (const { data, extensions } of reading.events) {
        for (const text of [data, extensions]) if (text !== undefined) JSON.parse(text);
      }
    }),
    { numRuns: 1000 },
  );
  const bytes = fc.oneof(fc.uint8Array(), fc.string({ unit: fc.constantFrom(...Array.from('[]{}",:\\ 0-1eE.tn')) }));
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), bytes, HEADERS, (type, body, headers) => {
      expect(() => read(type, body, headers)).not.toThrow();
    }),
    { numRuns: 3000 },
  );
});

test("the scan finds what a parser finds, and no text passes that a parser refuses", () => {
  const piece = fc.oneof(fc.json(), fc.string({ unit: fc.constantFrom(...Array.from('[]{}",:\\ 01-.etrulfasn')) }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 4 }), (pieces) => {
      const text = `[${pieces.join(" , ")}]`;
      let expected: unknown[] | undefined;
      try {
        expected = JSON.parse(text) as unknown[];
      } catch {
        expected = undefined;
      }
      const scan = scanArray(text, 1000);
      let found: unknown[] | undefined;
      try {
        const items = scan.kind === "items" ? scan.items : undefined;
        found = items?.map(({ start, end }) => parseJson(text.slice(start, end), false));
      } catch {
        found = undefined;
      }
      expect(found).toEqual(expected);
    }),
    { numRuns: 5000 },
  );
});

test("the scan counts nesting, the value itself included", () => {
  for (const [text, depth] of [
    ["1", 0],
    ['"[["', 0],
    ["{}", 1],
    ['{"a":[[]],"b":{}}', 3],
    ["[[],[[]]]", 3],
  ] as const) {
    expect(scanValue(` ${text} `, 0)).toMatchObject({ start: 1, end: 1 + text.length, depth });
  }
});
