/**
 * Valid inputs, damaged: bits flipped, cut short, parts repeated, swapped or taken from elsewhere, numbers
 * made extreme, structure made deep. Random bytes alone seldom come past the first check of a parser.
 */
import * as fc from "fast-check";

type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "set"; readonly at: number; readonly byte: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "remove"; readonly at: number; readonly size: number }
  | { readonly kind: "repeat"; readonly at: number; readonly size: number; readonly times: number }
  | { readonly kind: "move"; readonly at: number; readonly size: number; readonly to: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "number"; readonly at: number; readonly text: string };

/** Where an input is changed, as a share of its length. */
const place = fc.double({ min: 0, max: 1, noNaN: true });
const size = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 400 }));

const EXTREME_NUMBERS = [
  "0",
  "-0",
  "-1",
  "1e308",
  "1e999",
  "-1e999",
  "1E+2",
  "0.1",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808",
  "18446744073709551616",
  "1".repeat(400),
  "00",
  "NaN",
  "null",
  '"7"',
];
const FRAGMENTS = [
  "\0",
  "\r\n",
  "\n\n",
  "\uFEFF",
  "\u2028",
  "\ud83d",
  '"',
  "\\",
  "\\u0000",
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  "%",
  "__proto__",
  "constructor",
  "${HMAC_SECRET}",
  "[".repeat(5000),
  '{"a":'.repeat(2000),
  "A".repeat(10_000),
];

const encoder = new TextEncoder();

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) }) },
  fc.record({ kind: fc.constant("set" as const), at: place, byte: fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff) }),
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({ kind: fc.constant("remove" as const), at: place, size }),
  fc.record({ kind: fc.constant("repeat" as const), at: place, size, times: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant("move" as const), at: place, size, to: place }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: place,
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 12 }),
      fc.constantFrom(...FRAGMENTS).map((text) => encoder.encode(text)),
    ),
  }),
  fc.record({ kind: fc.constant("number" as const), at: place, text: fc.constantFrom(...EXTREME_NUMBERS) }),
);

/** Few, since each makes it likelier that the first check refuses all. */
const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });

/** Valid bytes, changed in a few places. */
export function mutated(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<{ valid: Uint8Array; bytes: Uint8Array }> {
  return fc.tuple(valid, mutations).map(([bytes, changes]) => ({ valid: bytes, bytes: changes.reduce(apply, bytes) }));
}

/** Valid text, changed in a few places; still text. */
export function mutatedText(valid: fc.Arbitrary<string>): fc.Arbitrary<{ valid: string; text: string }> {
  return mutated(valid.map((text) => encoder.encode(text))).map((both) => ({
    valid: new TextDecoder().decode(both.valid),
    text: new TextDecoder().decode(both.bytes),
  }));
}

/** Mostly damaged, at times as it is. */
export function maybeMutated(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc.oneof({ weight: 5, arbitrary: mutated(valid).map(({ bytes }) => bytes) }, { weight: 1, arbitrary: valid });
}

function apply(bytes: Uint8Array, change: Mutation): Uint8Array {
  const at = Math.min(bytes.length, Math.floor(change.at * bytes.length));
  const before = bytes.subarray(0, at);
  switch (change.kind) {
    case "flip":
    case "set": {
      const copy = bytes.slice();
      const byte = copy[at];
      if (byte !== undefined) copy[at] = change.kind === "set" ? change.byte : byte ^ (1 << change.bit);
      return copy;
    }
    case "cut":
      return before;
    case "remove":
      return join(before, bytes.subarray(at + change.size));
    case "repeat": {
      const part = bytes.subarray(at, at + change.size);
      return join(before, ...Array.from({ length: change.times }, () => part), bytes.subarray(at));
    }
    case "move": {
      const part = bytes.subarray(at, at + change.size);
      const rest = join(before, bytes.subarray(at + change.size));
      const to = Math.floor(change.to * rest.length);
      return join(rest.subarray(0, to), part, rest.subarray(to));
    }
    case "insert":
      return join(before, change.bytes, bytes.subarray(at));
    case "number":
      return withNumber(bytes, at, change.text);
  }
}

/** The first run of digits from a place on becomes another number. */
function withNumber(bytes: Uint8Array, at: number, text: string): Uint8Array {
  const latin = Buffer.from(bytes).toString("latin1");
  const found = /\d+/.exec(latin.slice(at));
  if (found === null) return bytes;
  const start = at + found.index;
  return join(bytes.subarray(0, start), encoder.encode(text), bytes.subarray(start + found[0].length));
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Any JSON text, its members' names now and then those that parsers trip over. */
export const jsonText = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.json({ stringUnit: "binary" }),
  fc.anything({ maxDepth: 3 }).map((value) => {
    try {
      return JSON.stringify(value) ?? "null";
    } catch {
      // A bigint, say: no JSON.
      return "null";
    }
  }),
);
