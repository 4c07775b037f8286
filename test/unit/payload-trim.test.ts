/**
 * Payload trimming gives up the values that a route names, and nothing else.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";

import { createTrimmer } from "../../durable-objects/stream/fold/payload-trim.ts";
import { eventFrame, readFrame, type SourceEvent } from "../../protocol/sse-frame.ts";
import { readWire } from "../fixtures/folded-reading.ts";

const ID = { epoch: 2, seq: 7 };

function frameOf(data: string, source: Partial<SourceEvent> = {}): string {
  return eventFrame(ID, { event: undefined, retryMs: undefined, ...source, data });
}

function trimmedData(data: string, ...paths: readonly string[]): string | undefined {
  const text = createTrimmer(paths)(frameOf(data));
  return text === undefined ? undefined : readFrame(text).data;
}

it("puts null in the place of values, and keeps every other byte", () => {
  const data = '{ "n":9007199254740993, "raw" : {"a":[1.0,"\\u00e9"]} ,"f":1.0,"log":"\\ud83d…" }';
  expect(trimmedData(data, "$.raw", "$.log")).toBe('{ "n":9007199254740993, "raw" : null ,"f":1.0,"log":null }');
});

it("reaches into lists, by index and everywhere", () => {
  const data =
    '{"hits":[{"text":"a value that is long enough to be worth a word","id":1},{"text":"this is as long a value as the other one","id":2}],"logs":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","bbbbbb"]}';
  expect(trimmedData(data, "$.hits[*].text")).toBe(
    data
      .replace('"a value that is long enough to be worth a word"', "null")
      .replace('"this is as long a value as the other one"', "null"),
  );
  expect(trimmedData(data, "$.hits[1].text", "$.logs[0]")).toBe(
    data
      .replace('"this is as long a value as the other one"', "null")
      .replace('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"', "null"),
  );
});

it("a value goes as a whole where a path into it is named as well", () => {
  expect(trimmedData('{"a":{"b":"a value that is long enough to be worth a word"}}', "$.a.b", "$.a")).toBe(
    '{"a":null}',
  );
});

it("says so in the frame, keeps id, name and retry, and is read as an event like any other", () => {
  const frame = frameOf('{"a":"a value that is long enough to be worth a word"}', { event: "step", retryMs: 20 });
  const text = createTrimmer(["$.a"])(frame);
  expect(text).toBe('id: 2-7\n: payload trimmed\nevent: step\nretry: 20\ndata: {"a":null}\n\n');
  expect(readWire(text ?? "")).toEqual([{ id: "2-7", event: "step", data: '{"a":null}' }]);
});

it("trims JSON over several lines", () => {
  expect(trimmedData('{\n "a": [\n  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n ]\n}', "$.a")).toBe('{\n "a": null\n}');
});

it.each([
  ["no value at the paths", '{"b":"a value that is long enough to be worth a word"}'],
  ["values no longer than null", '{"a":1234}'],
  ["a value that is null already", '{"a":null}'],
  ["no JSON", "a: a value that is long enough to be worth a word"],
  ["malformed JSON", '{"a":"a value that is long enough to be worth a word",}'],
  ["the end", "[DONE]"],
  [
    "a name twice, so that nobody knows which is read",
    '{"a":"a value that is long enough to be worth a word","a":"a value that is long enough to be worth a word"}',
  ],
])("has nothing to do where there is %s", (_, data) => {
  expect(createTrimmer(["$.a"])(frameOf(data))).toBeUndefined();
});

it("does not trim twice, whatever is asked for the second time", () => {
  const once = createTrimmer(["$.a"])(
    frameOf(
      '{"a":"a value that is long enough to be worth a word","b":"a value that is long enough to be worth a word"}',
    ),
  );
  expect(createTrimmer(["$.a", "$.b"])(once ?? "")).toBeUndefined();
});

it("is what setting the value to null would be, for any JSON", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("a", "b", "c"), fc.jsonValue()), (value) => {
      const data = JSON.stringify(value);
      // The word about it takes 18 characters.
      const isLong = value["a"] !== undefined && JSON.stringify(value["a"]).length > "null".length + 18;
      expect(trimmedData(data, "$.a")).toBe(isLong ? JSON.stringify({ ...value, a: null }) : undefined);
    }),
  );
});
