/**
 * What an upstream sends, in any bytes and any chunks, means what the grammar says it means.
 */
import * as fc from "fast-check";

import { SourceParser } from "../../durable-objects/stream/source-parser.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { GRAMMAR_CASES } from "../fixtures/event-stream-cases.ts";
import { interpret } from "../fixtures/whatwg-oracle.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { maybeMutated } from "./mutations.ts";

const LARGE = 1_000_000;

const PIECES = [
  "data",
  "data:",
  "data: ",
  "event",
  "event: ",
  "id: 7",
  "retry: ",
  "retry: 12",
  "retry: 99999999999999999999",
  ": comment",
  ":",
  "\n",
  "\r",
  "\r\n",
  "\n\n",
  "\r\n\r\n",
  "\uFEFF",
  " ",
  "\0",
  "水🌊",
  "x".repeat(300),
  "[DONE]",
  "message",
];
const encoder = new TextEncoder();
const written = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: "binary", maxLength: 6 })), { maxLength: 40 })
  .map((parts) => encoder.encode(parts.join("")));
const known = fc.constantFrom(
  ...GRAMMAR_CASES.map(
    ({ chunks }) => new Uint8Array(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk as string)))),
  ).filter((bytes) => bytes.length < 5000),
);

interface Sent {
  readonly bytes: Uint8Array;
  readonly cuts: readonly number[];
  readonly maxBytes: number;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  bytes: fc.oneof(written, maybeMutated(written), maybeMutated(known), fc.uint8Array({ maxLength: 60 })),
  cuts: fc.array(fc.nat(400), { maxLength: 12 }),
  maxBytes: fc.oneof(
    { weight: 4, arbitrary: fc.constant(LARGE) },
    { weight: 1, arbitrary: fc.integer({ min: 150, max: 500 }) },
  ),
});

interface Parsed {
  readonly events: readonly SourceEvent[];
  readonly trailingRetryMs: number | undefined;
  readonly isOverflown: boolean;
}
type Parse = (chunks: readonly Uint8Array[], maxBytes: number) => Parsed;

const parse: Parse = (chunks, maxBytes) => {
  const parser = new SourceParser(maxBytes);
  const events = chunks.flatMap((chunk) => parser.feed(chunk));
  return { events, trailingRetryMs: parser.trailingRetryMs, isOverflown: parser.isOverflown };
};

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.filter((at) => at < bytes.length).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, at) => bytes.slice(places[at], end));
}

fuzz<Sent, Parse>({
  name: "source parsing",
  inputs: sent,
  subject: parse,
  holds: ({ bytes, cuts, maxBytes }, parseIt) => {
    const { events, retries } = interpret(bytes);
    const parsed = parseIt(cut(bytes, cuts), maxBytes);
    const seen = parsed.events.map(({ event, data }) => ({ event: event ?? "message", data }));
    // Past its limit a source is given up: what came before is as it was.
    claim(seen).toEqual(parsed.isOverflown ? events.slice(0, seen.length) : events);
    if (maxBytes === LARGE) claim(parsed.isOverflown).toBe(bytes.length > LARGE);
    if (parsed.isOverflown) return;
    const told = [...parsed.events.map(({ retryMs }) => retryMs), parsed.trailingRetryMs].filter(
      (ms) => ms !== undefined,
    );
    const safe = retries.filter(Number.isSafeInteger);
    claim(told.at(-1)).toBe(safe.at(-1));
    for (const { data } of parsed.events) claim(data).not.toContain("\r");
  },
  faults: {
    "every chunk is decoded by itself": (chunks, maxBytes) =>
      parse(
        chunks.map((chunk) => encoder.encode(new TextDecoder().decode(chunk))),
        maxBytes,
      ),
    "CR alone ends no line": (chunks, maxBytes) =>
      parse([new Uint8Array(Buffer.concat(chunks).map((byte) => (byte === 13 ? 32 : byte)))], maxBytes),
    "a name outlives its event": (chunks, maxBytes) => {
      const parsed = parse(chunks, maxBytes);
      let name: string | undefined;
      return { ...parsed, events: parsed.events.map((one) => ({ ...one, event: (name = one.event ?? name) })) };
    },
  },
});
