/**
 * JSON with whole numbers of any size. Iceberg's snapshot ids and sequence numbers are 63-bit: read as
 * doubles they are other ids, and a commit that asserts them fails for ever.
 *
 * Not for numbers with a fraction or an exponent, which stay doubles.
 * Source: ECMA-262, `JSON.parse` (reviver context) and `JSON.rawJSON`.
 */

/** Of ECMAScript 2026, and not yet in the type library used here. */
interface SourceTextJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}
const sourceTextJson = JSON as unknown as SourceTextJson;

/** Every whole number beyond 2^53 has a run of digits this long; texts without one need no reviver. */
const LONG_DIGITS = /\d{16}/;
const WHOLE_NUMBER = /^-?\d+$/;

/**
 * Whole numbers that a double does not hold exactly become bigint; all else is as `JSON.parse` has it.
 *
 * @throws {SyntaxError}
 */
export function parseLossless(text: string): unknown {
  if (!LONG_DIGITS.test(text)) return JSON.parse(text);
  return sourceTextJson.parse(text, (_, value, { source }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && WHOLE_NUMBER.test(source)
      ? BigInt(source)
      : value,
  );
}

/**
 * A bigint is written as its digits; all else is as `JSON.stringify` has it.
 *
 * @param value anything JSON can hold, and bigint; not `undefined` or a function
 * @throws {TypeError} for what refers to itself
 */
export function stringifyLossless(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "bigint" ? sourceTextJson.rawJSON(member.toString()) : member,
  );
}
