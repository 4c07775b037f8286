/**
 * Any events come back from a row as they went in, and a row never outgrows what a row may hold.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decodePayload, encodePayload, splitIntoRows } from "../../durable-objects/analytics/append-payload.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { eventOf } from "../fixtures/lake-parts.ts";

/** Bytes of one value or row (platform limit of SQLite in Durable Objects). */
const ROW_MAX_BYTES = 2_000_000;
const ORIGIN = { firstSeq: 41, ingestTimeUs: 1_700_000_000_000_000, shard: "0-3fa9c1d2" };

/** Attributes may hold whatever text; data and extensions are JSON on one line, never empty. */
const text = fc.string({ unit: "binary", maxLength: 20 });
const line = fc.json().map((json) => json.replaceAll(/[\r\n]/g, " "));
const optional = <Value>(values: fc.Arbitrary<Value>) => fc.option(values, { nil: undefined });
const event: fc.Arbitrary<LakeEvent> = fc.record({
  id: text,
  source: text,
  type: text,
  subject: optional(text),
  timeUs: fc.maxSafeInteger(),
  requestId: optional(text),
  tenant: text,
  data: optional(line),
  extensions: optional(line),
});

describe("a payload", () => {
  it("gives any events back as they were, numbered in their order", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const expected = events.map((given, at) => ({
          ...given,
          ingestTimeUs: ORIGIN.ingestTimeUs,
          shard: ORIGIN.shard,
          seq: ORIGIN.firstSeq + at,
        }));
        expect(decodePayload(encodePayload(events), ORIGIN)).toEqual(expected);
      }),
    );
  });

  it("keeps data that is escaped, beyond the BMP, or JSON's smallest", () => {
    const events = ['"\\n"', '{"a":"\\u2028","b":"🦀"}', "0", '""', "null"].map((data) => eventOf({ data }));
    expect(decodePayload(encodePayload(events), ORIGIN).map(({ data }) => data)).toEqual(
      events.map(({ data }) => data),
    );
  });

  it("is refused once it has lost lines, or is no payload at all", () => {
    const payload = new TextDecoder().decode(encodePayload([eventOf(), eventOf()]));
    const damaged = [payload.slice(0, payload.lastIndexOf("\n")), payload.slice(0, 20), "", "\n\n"];
    for (const bytes of damaged.map((each) => new TextEncoder().encode(each))) {
      expect(() => decodePayload(bytes, ORIGIN)).toThrow(/JSON|has lost lines/);
    }
  });
});

describe("splitting into rows", () => {
  it("keeps all events in their order, and every row within what a row may hold", () => {
    const sizes = fc.array(fc.constantFrom(0, 10, 1000, 90_000, 399_000, 500_000), { maxLength: 14 });
    fc.assert(
      fc.property(sizes, (chars) => {
        // Three bytes of UTF-8 for one character: the worst there is.
        const events = chars.map((size) => eventOf({ data: `"${"€".repeat(size)}"` }));
        const rows = splitIntoRows(events);
        expect(rows.flat()).toEqual(events);
        for (const row of rows) expect(encodePayload(row).byteLength).toBeLessThan(ROW_MAX_BYTES);
      }),
      { numRuns: 25 },
    );
  });

  it("puts the largest event a producer can send in a row of its own", () => {
    const large = eventOf({ data: `"${"x".repeat(1_048_576)}"`, extensions: `{"a":"${"y".repeat(50_000)}"}` });
    const rows = splitIntoRows([eventOf(), large, eventOf()]);
    expect(rows.map((row) => row.length)).toEqual([1, 1, 1]);
    expect(encodePayload([large]).byteLength).toBeLessThan(ROW_MAX_BYTES);
  });

  it("makes no row of nothing", () => {
    expect(splitIntoRows([])).toEqual([]);
  });
});
