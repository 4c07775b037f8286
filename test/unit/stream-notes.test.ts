import { expect, test } from "vitest";

import { trimTelemetry } from "../../durable-objects/stream/stream-notes.ts";

/** Events 11 to 20 give way. */
const TRIM = { seq: 20, events: 10, bytes: 100, priority: 1, reason: "max_events" } as const;

test.each([
  ["nobody has been handed any", 0, 10],
  ["readers have had those before", 10, 10],
  ["readers have had some of them", 14, 6],
  ["a reader has had all", 20, 0],
  ["a reader is further on", 400, 0],
])("of what gives way, unread is what no reader has been handed: %s", (_, handedThroughSeq, unread) => {
  expect(trimTelemetry(TRIM, handedThroughSeq)).toMatchObject({ events: 10, unread_events: unread });
});
