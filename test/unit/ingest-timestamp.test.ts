/**
 * RFC 3339 to microseconds: what the RFC allows, and nothing else.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { readTimestampUs } from "../../workers/ingest/timestamp.ts";

const us = (iso: string, micros = 0) => Date.parse(iso) * 1000 + micros;

test.each([
  // The examples of RFC 3339, 5.8.
  ["1985-04-12T23:20:50.52Z", us("1985-04-12T23:20:50.520Z")],
  ["1996-12-19T16:39:57-08:00", us("1996-12-20T00:39:57Z")],
  ["1990-12-31T23:59:60Z", us("1990-12-31T23:59:59Z", 999_999)],
  ["1990-12-31T15:59:60-08:00", us("1990-12-31T23:59:59Z", 999_999)],
  ["2037-01-01T12:00:27.87+00:20", us("2037-01-01T11:40:27.870Z")],
  ["2016-12-31T23:59:60.999Z", us("2016-12-31T23:59:59Z", 999_999)],
  ["2018-04-05t17:31:00z", us("2018-04-05T17:31:00Z")],
  ["2018-04-05T17:31:00-00:00", us("2018-04-05T17:31:00Z")],
  ["2018-04-05T17:31:00.1234567Z", us("2018-04-05T17:31:00Z", 123_456)],
  ["2018-04-05T17:31:00.999999999+01:30", us("2018-04-05T16:01:00Z", 999_999)],
  ["2018-04-05T17:31:00.000001Z", us("2018-04-05T17:31:00Z", 1)],
  ["1970-01-01T00:00:00Z", 0],
  ["1969-12-31T23:00:00-01:00", 0],
  ["2200-12-31T23:59:59.999999Z", us("2200-12-31T23:59:59Z", 999_999)],
  ["2200-12-31T23:59:60Z", us("2200-12-31T23:59:59Z", 999_999)],
  ["2201-01-01T00:59:59+01:00", us("2200-12-31T23:59:59Z")],
  ["2024-02-29T00:00:00Z", us("2024-02-29T00:00:00Z")],
  ["2000-02-29T00:00:00Z", us("2000-02-29T00:00:00Z")],
])("%s", (text, expected) => {
  expect(readTimestampUs(text)).toBe(expected);
});

test.each([
  ["", "2018-04-05", "2018-04-05T17:31Z", "2018-04-05T17:31:00", "2018-04-05 17:31:00Z", "20180405T173100Z"],
  ["2018-04-05T17:31:00.Z", "2018-04-05T17:31:00,5Z", "2018-04-05T17:31:00+0100", "2018-04-05T17:31:00+01"],
  ["2018-04-05T17:31:00Z ", " 2018-04-05T17:31:00Z", "2018-04-05T17:31:00Zx", "2018-04-05T17:31:00+01:00x"],
  ["2018-00-05T17:31:00Z", "2018-13-05T17:31:00Z", "2018-04-00T17:31:00Z", "2018-04-31T17:31:00Z"],
  ["2018-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2018-04-05T24:00:00Z", "2018-04-05T17:60:00Z"],
  ["2018-04-05T17:31:60Z", "2018-04-05T23:59:60Z", "2016-12-31T23:59:61Z", "2016-12-31T23:59:60+01:00"],
  ["2018-04-05T17:31:00+24:00", "2018-04-05T17:31:00+01:60", "2018-04-05T17:31:00+-1:00", "2O18-04-05T17:31:00Z"],
  ["1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00+00:01", "2201-01-01T00:00:00Z", "2200-12-31T23:59:59-00:01"],
  [
    "0070-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "+2018-04-05T17:31:00Z",
    "1523000000",
    `2018-04-05T17:31:00.${"1".repeat(60)}Z`,
  ],
])("refused: %s, %s, …", (...texts) => {
  for (const text of texts) expect(readTimestampUs(text), text).toBe(undefined);
});

const two = (value: number) => String(value).padStart(2, "0");

test("any moment at any offset, to the microsecond", () => {
  const moment = fc.integer({ min: us("1970-01-03T00:00:00Z"), max: us("2200-12-29T00:00:00Z") });
  fc.assert(
    fc.property(moment, fc.integer({ min: -1439, max: 1439 }), (timeUs, offsetMinutes) => {
      const local = new Date(Math.floor(timeUs / 1000) + offsetMinutes * 60_000).toISOString().slice(0, 19);
      const fraction = String(timeUs % 1_000_000).padStart(6, "0");
      const [hours, minutes] = [Math.trunc(Math.abs(offsetMinutes) / 60), Math.abs(offsetMinutes) % 60];
      const offset = `${offsetMinutes < 0 ? "-" : "+"}${two(hours)}:${two(minutes)}`;
      expect(readTimestampUs(`${local}.${fraction}${offset}`)).toBe(timeUs);
    }),
    { numRuns: 2000 },
  );
});

test("any text is a moment of the years 1970 to 2200, or none", () => {
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[12][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-9:.]{8,12}[Z+-][0-9:]{0,5}$/),
  );
  fc.assert(
    fc.property(text, (text) => {
      const timeUs = readTimestampUs(text) ?? 0;
      expect(Number.isSafeInteger(timeUs)).toBe(true);
      expect(timeUs).toBeGreaterThanOrEqual(0);
      expect(timeUs).toBeLessThan(us("2201-01-01T00:00:00Z"));
    }),
    { numRuns: 2000 },
  );
});
