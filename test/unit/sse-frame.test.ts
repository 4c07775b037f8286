/**
 * Frames: what is written is what every parser reads, and stored frames can be cut at any event.
 */
import { createParser } from "eventsource-parser";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { START_POSITION, type EventId } from "../../protocol/event-id.ts";
import {
  controlFrame,
  eventFrame,
  HEARTBEAT_FRAME,
  OPENING_FRAME,
  primingFrame,
  readPosition,
  retryFrame,
  skipFramesThrough,
  type SourceEvent,
} from "../../protocol/sse-frame.ts";

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

interface Seen {
  readonly events: { id: string | undefined; event: string | undefined; data: string }[];
  readonly retries: number[];
  readonly comments: string[];
  readonly errors: string[];
}

/** What a parser that is not ours makes of wire text. */
function parse(text: string): Seen {
  const seen: Seen = { events: [], retries: [], comments: [], errors: [] };
  const parser = createParser({
    onEvent: ({ id, event, data }) => seen.events.push({ id, event, data }),
    onRetry: (retryMs) => seen.retries.push(retryMs),
    onComment: (comment) => seen.comments.push(comment),
    onError: (error) => seen.errors.push(error.type),
  });
  parser.feed(text);
  return seen;
}

/** Text as a source's parser can give it: any characters, lines joined by LF, no CR, no lone surrogate. */
const data = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.constantFrom("", " ", "id: 9-9", "data: x", ":", "水\u2028🌊"),
    ),
    { maxLength: 5 },
  )
  .map((lines) => lines.map((line) => line.replaceAll(/[\r\n]/g, "")).join("\n"));
const name = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom("token", "a b", "é", "data", ":x", "end"),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 10 }).map((text) => text.replaceAll(/[\r\n]/g, "") || "x"),
);
const sourceEvent: fc.Arbitrary<SourceEvent> = fc.record({
  event: name,
  data,
  retryMs: fc.option(fc.nat(), { nil: undefined }),
});
const eventId: fc.Arbitrary<EventId> = fc.record({
  epoch: fc.integer({ min: 1, max: 9 }),
  seq: fc.integer({ min: 1, max: 1_000_000 }),
});

test("an event frame parses back to the same event", () => {
  fc.assert(
    fc.property(eventId, sourceEvent, (id, event) => {
      const seen = parse(eventFrame(id, event));
      expect(seen.events).toEqual([{ id: `${id.epoch}-${id.seq}`, event: event.event, data: event.data }]);
      expect(seen.retries).toEqual(event.retryMs === undefined ? [] : [event.retryMs]);
      expect(seen.errors).toEqual([]);
    }),
    { seed: 4, numRuns: 500 },
  );
});

test("frames put one after the other stay apart", () => {
  fc.assert(
    fc.property(fc.array(sourceEvent, { maxLength: 10 }), (events) => {
      const wire = events.map((event, at) => eventFrame({ epoch: 1, seq: at + 1 }, event)).join(HEARTBEAT_FRAME);
      const seen = parse(wire);
      expect(seen.events.map(({ data: text }) => text)).toEqual(events.map(({ data: text }) => text));
      expect(seen.events.map(({ id }) => id)).toEqual(events.map((_, at) => `1-${at + 1}`));
    }),
    { seed: 5 },
  );
});

test("a priming frame gives a position and a reconnection time, and dispatches nothing", () => {
  const text = primingFrame(START_POSITION, 1500);
  expect(text).toBe("id: 0-0\nretry: 1500\n\n");
  expect(parse(text)).toMatchObject({ events: [], retries: [1500], errors: [] });
});

test("a rewound reader is primed without a position", () => {
  expect(primingFrame(undefined, 20)).toBe("retry: 20\n\n");
});

test("comments and farewells dispatch nothing", () => {
  expect(parse(OPENING_FRAME + HEARTBEAT_FRAME)).toMatchObject({ events: [], comments: ["spillway", ""], errors: [] });
  expect(parse(retryFrame(7))).toMatchObject({ events: [], retries: [7], errors: [] });
});

test("a control frame carries its payload in one line, and an id only where it is given one", () => {
  const payload = { note: "two\nlines", token: "t" };
  const [bare] = parse(controlFrame("resume", payload)).events;
  expect(bare).toEqual({ id: undefined, event: "resume", data: JSON.stringify(payload) });
  const full = parse(controlFrame("end", payload, { id: { epoch: 2, seq: 9 }, retryMs: 5 }));
  expect(full.events).toEqual([{ id: "2-9", event: "end", data: JSON.stringify(payload) }]);
  expect(full.retries).toEqual([5]);
});

test("B2 skipping frames gives what making only the rest gives", () => {
  const run = fc.tuple(
    fc.array(sourceEvent, { minLength: 1, maxLength: 12 }),
    fc.integer({ min: 1, max: 5000 }),
    fc.nat(20),
  );
  fc.assert(
    fc.property(run, ([events, firstSeq, skipped]) => {
      const frames = events.map((event, at) => eventFrame({ epoch: 3, seq: firstSeq + at }, event));
      const through = firstSeq - 1 + skipped;
      const rest = skipFramesThrough(textEncoder.encode(frames.join("")), through);
      expect(textDecoder.decode(rest)).toBe(frames.slice(skipped).join(""));
    }),
    { seed: 6, numRuns: 500 },
  );
});

test("skipping copies nothing", () => {
  const frames = textEncoder.encode(
    eventFrame({ epoch: 1, seq: 1 }, { event: undefined, data: "a", retryMs: undefined }),
  );
  expect(skipFramesThrough(frames, 0).buffer).toBe(frames.buffer);
  expect(skipFramesThrough(frames, 1)).toHaveLength(0);
  expect(skipFramesThrough(new Uint8Array(0), 5)).toHaveLength(0);
});

test.each(["data: x\n\n", "id: \n\n", "id: 1\n\n", "id: 1-\n\n", "id: 1-2x\n\n", ": c\n\n", "id: 1-2"])(
  "bytes that do not begin with an id of ours are broken, and said to be: %j",
  (text) => {
    expect(() => skipFramesThrough(textEncoder.encode(text), 5)).toThrow("event id");
  },
);

test("a reader's position is absent, an id, or malformed", () => {
  expect(readPosition(undefined)).toBe("absent");
  expect(readPosition("")).toBe("absent");
  expect(readPosition("2-17")).toEqual({ epoch: 2, seq: 17 });
  expect(readPosition("0-0")).toEqual(START_POSITION);
  expect(readPosition("17")).toBe("malformed");
});
