/**
 * Event ids: one name for each event, and nothing else is taken for one.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { formatEventId, parseEventId, START_POSITION } from "../../protocol/event-id.ts";

const MAX_EPOCH = 9_999_999_999;
const MAX_SEQ = 999_999_999_999_999;
const eventId = fc.record({ epoch: fc.integer({ min: 1, max: MAX_EPOCH }), seq: fc.integer({ min: 1, max: MAX_SEQ }) });

test("every id reads back as itself", () => {
  fc.assert(
    fc.property(eventId, (id) => {
      expect(parseEventId(formatEventId(id))).toEqual(id);
    }),
    { seed: 1 },
  );
});

test("the start position is an id", () => {
  expect(formatEventId(START_POSITION)).toBe("0-0");
  expect(parseEventId("0-0")).toEqual(START_POSITION);
});

test("no two texts name one event", () => {
  const digits = fc.stringMatching(/^[0-9+-]{1,12}$/);
  fc.assert(
    fc.property(digits, (text) => {
      const id = parseEventId(text);
      expect(id === undefined ? text : formatEventId(id)).toBe(text);
    }),
    { seed: 2, numRuns: 1000 },
  );
});

test("what is not an id is not read as one", () => {
  const foreign = ["", "1", "1-", "-1", "1-1-1", "01-1", "1-01", " 1-1", "1-1 ", "1-1\n", "+1-1", "1--1", "1.0-1"];
  foreign.push("0x1-1", "1e3-1", "a-b", "１-１", "0-1", "1-0", "99999999999-1", "1-9999999999999999", "null", "latest");
  expect(foreign.filter((text) => parseEventId(text) !== undefined)).toEqual([]);
});

test("the largest id is still an exact number", () => {
  const largest = parseEventId(`${MAX_EPOCH}-${MAX_SEQ}`);
  expect(largest).toEqual({ epoch: MAX_EPOCH, seq: MAX_SEQ });
  expect(Number.isSafeInteger(largest?.seq)).toBe(true);
});
