/**
 * JSON in and out without a lost digit. Numbers that a double does not hold exactly, such as 63-bit ids,
 * keep the digits they came with. Not for JSON that nobody writes again.
 *
 * Source: ECMA-262, JSON.parse source text access, which the Workers runtime and Node 24 have and
 * TypeScript's library has not.
 */

interface SourceTextAccess {
  readonly parse: (text: string, reviver: Reviver) => unknown;
  readonly rawJSON: (text: string) => object;
  readonly isRawJSON: (value: unknown) => boolean;
}
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

const { parse, rawJSON, isRawJSON } = JSON as unknown as SourceTextAccess;

/**
 * @param hasWideNumber whether a number in the text may need its own digits kept: the reviver that does
 *   so makes parsing several times slower
 * @returns the value; a number that was kept as text is an object that only {@link rawNumberOf} and
 *   `JSON.stringify` understand
 * @throws SyntaxError if the text is not JSON
 */
export function parseJson(text: string, hasWideNumber: boolean): unknown {
  return hasWideNumber ? parse(text, keepDigits) : JSON.parse(text);
}

/** The digits of a number that {@link parseJson} kept as text, and `undefined` for any other value. */
export function rawNumberOf(value: unknown): string | undefined {
  return isRawJSON(value) ? JSON.stringify(value) : undefined;
}

function keepDigits(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== "number" || source === undefined || isSafe(value, source)) return value;
  return rawJSON(source);
}

/** Whether writing the number again says the same and takes no more room, which bounds what is stored. */
function isSafe(value: number, source: string): boolean {
  const written = JSON.stringify(value);
  if (written === source) return true;
  if (/[eE]/.test(source) || Object.is(value, -0)) return false;
  return source.replace(/\D/g, "").length <= 15 && written.length <= source.length;
}
