/**
 * Plain JSON to rows: what is taken, what is left where, and what a missing member becomes.
 */
import { expect, test } from "vitest";

import { faultOf, JSON_TYPE, NOW_US, read, readOne, REQUIRED } from "../fixtures/ingest-calls.ts";

test("an object without any of the names is data, with an id, a source and a type of ours", () => {
  expect(readOne(JSON_TYPE, { page: "/home", ms: 12 })).toEqual({
    id: "random-0",
    source: "urn:spillway:tenant:acme",
    type: "event",
    subject: undefined,
    timeUs: NOW_US,
    requestId: undefined,
    tenant: "acme",
    data: '{"page":"/home","ms":12}',
    extensions: undefined,
  });
  expect(readOne(JSON_TYPE, {})).toMatchObject({ id: "random-0", data: undefined });
});

test("members of the usual names fill their columns, the rest is data", () => {
  const members = {
    id: "1",
    source: "/app",
    type: "click",
    subject: "s",
    time: "2026-01-01T00:00:00Z",
    request_id: "r",
  };
  expect(readOne(undefined, { ...members, x: 1, y: [2] })).toMatchObject({
    id: "1",
    source: "/app",
    type: "click",
    subject: "s",
    requestId: "r",
    timeUs: Date.UTC(2026, 0, 1) * 1000,
    data: '{"x":1,"y":[2]}',
    extensions: undefined,
  });
});

test.each<[string, Record<string, unknown>, object]>([
  [
    "data is data, the rest goes to extensions",
    { data: [1], "any Name": { a: 1 } },
    { data: "[1]", extensions: '{"any Name":{"a":1}}' },
  ],
  ["data alone", { data: null }, { data: "null", extensions: undefined }],
  ["event stands in for type", { event: "signup", a: 1 }, { type: "signup", data: '{"a":1}' }],
  ["beside a type, event is left", { type: "t", event: "e" }, { type: "t", data: '{"event":"e"}' }],
  ["a type of another kind is left", { type: { a: 1 }, event: "e" }, { type: "e", data: '{"type":{"a":1}}' }],
  [
    "members of another kind are left",
    { subject: 1, time: 5, source: [] },
    { subject: undefined, timeUs: NOW_US, data: '{"subject":1,"time":5,"source":[]}' },
  ],
  [
    "null is absent",
    { id: null, type: null, event: null, time: null, x: null },
    { id: "random-0", type: "event", data: '{"x":null}' },
  ],
  ["a whole number is an id", { id: 42 }, { id: "42", data: undefined }],
  ["a fraction is none", { id: 4.5 }, { id: "random-0", data: '{"id":4.5}' }],
])("%s", (_name, members, row) => {
  expect(readOne(JSON_TYPE, members)).toMatchObject(row);
});

test("a numeric id keeps every digit", () => {
  expect(readOne(JSON_TYPE, '{"id": 9223372036854775807}').id).toBe("9223372036854775807");
});

test("a member named __proto__ is data like any other", () => {
  expect(readOne(JSON_TYPE, '{"__proto__": {"id": "x"}, "a": 1}')).toMatchObject({
    id: "random-0",
    data: '{"__proto__":{"id":"x"},"a":1}',
  });
});

test.each<[string, Record<string, unknown>]>([
  ["invalid_event id", { id: "" }],
  ["invalid_event source", { source: "my app" }],
  ["invalid_event type", { type: "" }],
  ["invalid_event event", { event: "x".repeat(257) }],
  ["invalid_event subject", { subject: "\u0007" }],
  ["invalid_event request_id", { request_id: "" }],
  ["invalid_event time", { time: "21.11.2026" }],
  ["invalid_event time", { time: "2201-01-01T00:00:00Z" }],
])("what is taken obeys the rules: %s, %j", (fault, members) => {
  expect(faultOf(JSON_TYPE, members)).toBe(fault);
});

test("an array may mix plain objects, CloudEvents and what is neither", () => {
  const reading = read(JSON_TYPE, [
    { a: 1 },
    REQUIRED,
    7,
    [],
    null,
    1e300,
    { ...REQUIRED, specversion: "2.0" },
    { b: 2 },
  ]);
  expect(reading.indexes).toEqual([0, 1, 7]);
  expect(reading.events.map(({ id }) => id)).toEqual(["random-0", REQUIRED.id, "random-1"]);
  expect(reading.rejected.map(({ index, code, field }) => `${index} ${code} ${field}`)).toEqual([
    "2 invalid_event event",
    "3 invalid_event event",
    "4 invalid_event event",
    "5 invalid_event event",
    "6 unsupported_specversion specversion",
  ]);
});

test.each([
  ["", "is not JSON"],
  ["  ", "is not JSON"],
  ["{", "is not JSON"],
  ["{} x", "is not JSON"],
  ["nul", "is not JSON"],
  ['{"a":01}', "is not JSON"],
  ['{"a":"\n"}', "is not JSON"],
  ["]", "is not JSON"],
  ["[{}", "is not JSON, in or before event 1"],
  ["[{},]", "is not JSON, in or before event 1"],
  ["[,{}]", "is not JSON, in or before event 0"],
  ["[{}] 1", "is not JSON, in or before event 1"],
  ["[{} {}]", "is not JSON, in or before event 1"],
  ["[{]}]", "is not JSON, in or before event 1"],
  ['[{},{"a":tru}]', "is not JSON, in event 1"],
])("400 for %j as a whole: %s", (body, detail) => {
  expect(read(JSON_TYPE, body)).toMatchObject({ code: "invalid_request", detail });
});

test("UTF-8 is checked, a byte order mark is not in the way", () => {
  expect(read(JSON_TYPE, new Uint8Array([0x22, 0xc3, 0x22])).detail).toBe("is not UTF-8");
  expect(readOne(JSON_TYPE, '\ufeff{"a":"ü😀"}').data).toBe('{"a":"ü😀"}');
});
