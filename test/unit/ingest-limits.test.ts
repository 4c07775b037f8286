/**
 * Every limit of `POST /events` at its edge, and what is far beyond it.
 */
import { expect, test } from "vitest";

import {
  INGEST_BATCH_MAX_EVENTS,
  INGEST_EVENT_MAX_BYTES,
  INGEST_EVENT_MAX_DEPTH,
  INGEST_MAX_DAYS,
} from "../../protocol/ingest-limits.ts";
import { BATCH, faultOf, JSON_TYPE, read, readOne, REQUIRED, STRUCTURED } from "../fixtures/ingest-calls.ts";

const CE = { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t" };
const TEN_MIB = 10 * 1_048_576;

/** An event of so many bytes as JSON text. */
function eventOf(bytes: number, unit = "x"): string {
  const around = JSON.stringify({ ...REQUIRED, data: "" });
  const room = bytes - around.length;
  const unitBytes = new TextEncoder().encode(unit).byteLength;
  const filling = unit.repeat(Math.floor(room / unitBytes)) + "x".repeat(room % unitBytes);
  return around.replace('"data":""', () => `"data":"${filling}"`);
}

test.each(["x", "ü", "€", "😀"])("an event of 1 MiB is taken, of one byte more is not: %s", (unit) => {
  expect(faultOf(STRUCTURED, eventOf(INGEST_EVENT_MAX_BYTES, unit))).toBe("taken");
  expect(faultOf(STRUCTURED, eventOf(INGEST_EVENT_MAX_BYTES + 1, unit))).toBe("event_too_large event");
});

test("a large event is refused alone: white space around it does not count, its neighbours are taken", () => {
  const body = `[${eventOf(500)}, ${eventOf(INGEST_EVENT_MAX_BYTES + 1)},${" ".repeat(INGEST_EVENT_MAX_BYTES)}${eventOf(600)}]`;
  const reading = read(BATCH, body);
  expect(reading.indexes).toEqual([0, 2]);
  expect(reading.rejected).toMatchObject([{ index: 1, code: "event_too_large" }]);
});

test("binary mode: the limit is on the data as JSON text, which base64 and escapes lengthen", () => {
  const most = Math.floor((INGEST_EVENT_MAX_BYTES - '{"data_base64":""}'.length) / 4) * 3;
  expect(faultOf("application/octet-stream", new Uint8Array(most), CE)).toBe("taken");
  expect(faultOf("application/octet-stream", new Uint8Array(most + 3), CE)).toBe("event_too_large data");
  expect(faultOf("text/plain", "x".repeat(INGEST_EVENT_MAX_BYTES - 2), CE)).toBe("taken");
  expect(faultOf("text/plain", "x".repeat(INGEST_EVENT_MAX_BYTES - 1), CE)).toBe("event_too_large data");
  expect(faultOf("text/plain", "\u0001".repeat(INGEST_EVENT_MAX_BYTES / 4), CE)).toBe("event_too_large data");
  expect(faultOf("text/plain", new Uint8Array(TEN_MIB), CE)).toBe("event_too_large data");
});

const batch = (count: number) => `[${Array.from({ length: count }, () => "{}").join(",")}]`;

test("a batch of 10,000 events is taken, of one more is not", () => {
  expect(read(JSON_TYPE, batch(INGEST_BATCH_MAX_EVENTS)).events).toHaveLength(INGEST_BATCH_MAX_EVENTS);
  const beyond = read(JSON_TYPE, batch(INGEST_BATCH_MAX_EVENTS + 1));
  expect(beyond).toMatchObject({ code: "invalid_request", detail: "holds more than 10000 events" });
});

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

test("64 levels are taken, 65 are not, in every mode", () => {
  const inside = INGEST_EVENT_MAX_DEPTH - 1;
  expect(readOne(JSON_TYPE, `{"data":${nested(inside)}}`).data).toBe(nested(inside));
  expect(faultOf(JSON_TYPE, `{"data":${nested(inside + 1)}}`)).toBe("too_deep event");
  expect(faultOf(STRUCTURED, `{"x":${nested(inside + 1)}}`)).toBe("too_deep event");
  expect(faultOf("application/json", nested(inside), CE)).toBe("taken");
  expect(faultOf("application/json", nested(inside + 1), CE)).toBe("too_deep data");
  const mixed = read(JSON_TYPE, `[{"a":${nested(63)}},{"a":${nested(64)}},{"a":"${nested(90)}"}]`);
  expect([mixed.indexes, mixed.rejected.map(({ index }) => index)]).toEqual([[0, 2], [1]]);
});

test.each([
  ["[".repeat(TEN_MIB), "invalid_request is not JSON, in or before event 0"],
  ['{"a":'.repeat(TEN_MIB / 5), "invalid_request is not JSON"],
  [nested(TEN_MIB / 2), "too_deep event"],
  [`{"a":${nested(TEN_MIB / 2 - 10)}}`, "too_deep event"],
  [`["${"\\".repeat(TEN_MIB - 5)}"`, "invalid_request is not JSON, in or before event 0"],
  [`{"a":${"9".repeat(TEN_MIB - 10)}}`, "event_too_large event"],
  [`{"a":"${"\ufffe".repeat(300_000)}"}`, "taken"],
  [`{"source":"${"%".repeat(1_000_000)}"}`, "invalid_event source"],
  [
    `{"specversion":"1.0","id":"1","source":"/","type":"t","datacontenttype":"a/${"b ".repeat(500_000)}"}`,
    "invalid_event datacontenttype",
  ],
  ["[],".repeat(TEN_MIB / 3), "invalid_request is not JSON, in or before event 0"],
  [`[{"a":[${"[],".repeat(TEN_MIB / 3 - 20)}[]]}]`, "event_too_large event"],
])("10 MiB of malice costs little time and no stack (%#)", (body, fault) => {
  const startedAt = performance.now();
  expect(faultOf(JSON_TYPE, body)).toBe(fault);
  // Generous for a busy machine: what is not linear takes minutes.
  expect(performance.now() - startedAt).toBeLessThan(5000);
});

const at = (day: number, rest = "T12:00:00Z") => {
  const date = new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10);
  return { time: date + rest };
};

test("events of 100 days are taken, those of further days are not; the days are UTC", () => {
  const days = Array.from({ length: INGEST_MAX_DAYS }, (_, day) => at(day));
  const events = [...days, at(100), at(0), at(101), at(99), at(100, "T01:00:00+02:00"), at(99, "T23:00:00-02:00")];
  const reading = read(JSON_TYPE, events);
  expect(reading.indexes).toEqual([...days.keys(), 101, 103, 104]);
  expect(reading.rejected.map(({ index, code, field }) => `${index} ${code} ${field}`)).toEqual([
    "100 too_many_days time",
    "102 too_many_days time",
    "105 too_many_days time",
  ]);
});
