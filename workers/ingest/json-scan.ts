/**
 * Finds where JSON values begin and end in a text, how deep they are nested, and whether they hold
 * numbers that a double may not. One pass, no recursion, nothing parsed: a text that is too deep, too
 * large or of too many events is known as such before memory is spent on it.
 *
 * Not a parser: what a span holds is checked by parsing it. For a valid text the spans are right; if the
 * text is invalid, then some span is, or the scan says so.
 */

export interface JsonSpan {
  /** UTF-16 positions in the text; the end is exclusive. Without white space around. */
  readonly start: number;
  readonly end: number;
  /** Nested objects and arrays, the value itself included; 0 for a scalar. */
  readonly depth: number;
  /** Whether a number in it may lose something as a double, or grow when written again. */
  readonly hasWideNumber: boolean;
}

export type ArrayScan =
  | { readonly kind: "items"; readonly items: readonly JsonSpan[] }
  | { readonly kind: "malformed"; readonly index: number }
  | { readonly kind: "too_many" };

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Every decimal number of up to 15 significant digits survives a double (IEEE 754, binary64). */
const EXACT_DIGITS = 15;

/**
 * @param at where the value, or white space before it, begins
 * @returns the value's span, or `undefined` where the text ends before the value does
 */
export function scanValue(text: string, at: number): JsonSpan | undefined {
  const start = skipSpace(text, at);
  let depth = 0;
  let deepest = 0;
  let hasWideNumber = false;
  for (at = start; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      if (at === -1) return undefined;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      at++;
      depth++;
      if (depth > deepest) deepest = depth;
      continue;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      // Where the value should begin: an array's or an object's end instead.
      if (depth === 0) return undefined;
      at++;
      depth--;
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      const end = endOfNumber(text, at);
      hasWideNumber ||= isWide(text, at, end);
      at = end;
    } else if (depth > 0) {
      at++;
      continue;
    } else {
      at = endOfWord(text, at);
      if (at === start) return undefined;
    }
    if (depth === 0) return { start, end: at, depth: deepest, hasWideNumber };
  }
  return undefined;
}

/**
 * The items of the array that the whole text is.
 *
 * @returns `malformed` with the index of the item at which the text is no JSON array any more, and
 *   `too_many` as soon as there are more than `maxItems`
 */
export function scanArray(text: string, maxItems: number): ArrayScan {
  const items: JsonSpan[] = [];
  const malformed = (): ArrayScan => ({ kind: "malformed", index: items.length });
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACKET) return malformed();
  at = skipSpace(text, at + 1);
  if (text.charCodeAt(at) === CLOSE_BRACKET) return isSpaceFrom(text, at + 1) ? { kind: "items", items } : malformed();
  for (;;) {
    const item = scanValue(text, at);
    if (item === undefined) return malformed();
    if (items.length === maxItems) return { kind: "too_many" };
    items.push(item);
    at = skipSpace(text, item.end);
    const code = text.charCodeAt(at);
    if (code === CLOSE_BRACKET) return isSpaceFrom(text, at + 1) ? { kind: "items", items } : malformed();
    if (code !== COMMA) return malformed();
    at++;
  }
}

/** Whether nothing but white space is left of the text. */
export function isSpaceFrom(text: string, at: number): boolean {
  return skipSpace(text, at) === text.length;
}

/** Whether the first thing in the text besides white space opens an array. */
export function beginsArray(text: string): boolean {
  return text.charCodeAt(skipSpace(text, 0)) === OPEN_BRACKET;
}

function skipSpace(text: string, at: number): number {
  // RFC 8259, 2: space, tab, line feed, carriage return.
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
  }
  return at;
}

/** @returns the position after the closing quote, or -1 where there is none */
function endOfString(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at++;
  }
  return -1;
}

function endOfNumber(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const isDigit = code >= ZERO && code <= NINE;
    // . + - e E
    if (!isDigit && code !== 0x2e && code !== 0x2b && code !== MINUS && code !== 0x65 && code !== 0x45) break;
  }
  return at;
}

/** More digits than a double is sure to hold, an exponent, or the negative zero that JSON.stringify drops. */
function isWide(text: string, start: number, end: number): boolean {
  if (end - start > EXACT_DIGITS) return true;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x65 || code === 0x45) return true;
  }
  const mayBeZero = text.charCodeAt(start) === MINUS && text.charCodeAt(start + 1) === ZERO;
  return mayBeZero && Number(text.slice(start, end)) === 0;
}

/** `true`, `false`, `null`, or whatever stands there instead. */
function endOfWord(text: string, at: number): number {
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === CLOSE_BRACKET || code === CLOSE_BRACE || skipSpace(text, at) !== at) break;
    at++;
  }
  return at;
}
