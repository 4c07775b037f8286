/**
 * Where JSON values end, found in the raw text: the grammar of RFC 8259 and nothing else.
 *
 * Nothing is parsed into values: numbers, escapes, spacing and the order of members stay as they are
 * because nobody ever touches them. Every function takes the index of a first character and answers
 * the index behind the last one, or {@link MALFORMED}.
 *
 * Invariant: linear in what is passed over; no allocation.
 */

export const MALFORMED = -1;

/** Deeper values are refused: the walk is recursive, and a source must not choose our stack's depth. */
const DEPTH_MAX = 64;

export const QUOTE = 34;
export const COMMA = 44;
const COLON = 58;
export const OPEN_BRACKET = 91;
export const CLOSE_BRACKET = 93;
export const OPEN_BRACE = 123;
export const CLOSE_BRACE = 125;
const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const PLUS = 43;
const MINUS = 45;
const POINT = 46;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const BACKSLASH = 92;
const LETTER_E = 69;
const LOWER_CASE = 32;
const SHORT_ESCAPES = '"\\/bfnrt';
const UNICODE_ESCAPE_CHARS = 4;

export function skipSpace(text: string, at: number): number {
  let next = at;
  for (;;) {
    const code = text.charCodeAt(next);
    if (code !== SPACE && code !== LF && code !== TAB && code !== CR) return next;
    next++;
  }
}

/** @param at index of the opening quote */
export function endOfString(text: string, at: number): number {
  for (let next = at + 1; next < text.length; next++) {
    const code = text.charCodeAt(next);
    if (code === QUOTE) return next + 1;
    if (code < SPACE) return MALFORMED;
    if (code !== BACKSLASH) continue;
    next = endOfEscape(text, next) - 1;
    if (next < at) return MALFORMED;
  }
  return MALFORMED;
}

function endOfEscape(text: string, at: number): number {
  const sign = text.charAt(at + 1);
  if (sign === "u") {
    const end = at + 2 + UNICODE_ESCAPE_CHARS;
    for (let next = at + 2; next < end; next++) if (!isHexDigit(text.charCodeAt(next))) return MALFORMED;
    return end;
  }
  return sign !== "" && SHORT_ESCAPES.includes(sign) ? at + 2 : MALFORMED;
}

function isHexDigit(code: number): boolean {
  const lower = code | LOWER_CASE;
  return isDigit(code) || (lower >= 97 && lower <= 102);
}

function isDigit(code: number): boolean {
  return code >= DIGIT_0 && code <= DIGIT_9;
}

/** @param depth how many arrays and objects enclose the value */
export function endOfValue(text: string, at: number, depth: number): number {
  switch (text.charCodeAt(at)) {
    case QUOTE:
      return endOfString(text, at);
    case OPEN_BRACE:
      return endOfObject(text, at, depth);
    case OPEN_BRACKET:
      return endOfArray(text, at, depth);
    case 110:
      return text.startsWith("null", at) ? at + 4 : MALFORMED;
    case 116:
      return text.startsWith("true", at) ? at + 4 : MALFORMED;
    case 102:
      return text.startsWith("false", at) ? at + 5 : MALFORMED;
    default:
      return endOfNumber(text, at);
  }
}

function endOfNumber(text: string, at: number): number {
  const whole = text.charCodeAt(at) === MINUS ? at + 1 : at;
  let next = text.charCodeAt(whole) === DIGIT_0 ? whole + 1 : endOfDigits(text, whole);
  if (next !== MALFORMED && text.charCodeAt(next) === POINT) next = endOfDigits(text, next + 1);
  if (next === MALFORMED || (text.charCodeAt(next) & ~LOWER_CASE) !== LETTER_E) return next;
  const sign = text.charCodeAt(next + 1);
  return endOfDigits(text, sign === PLUS || sign === MINUS ? next + 2 : next + 1);
}

function endOfDigits(text: string, at: number): number {
  let next = at;
  while (isDigit(text.charCodeAt(next))) next++;
  return next === at ? MALFORMED : next;
}

function endOfObject(text: string, at: number, depth: number): number {
  if (depth >= DEPTH_MAX) return MALFORMED;
  let next = skipSpace(text, at + 1);
  if (text.charCodeAt(next) === CLOSE_BRACE) return next + 1;
  for (;;) {
    const nameEnd = text.charCodeAt(next) === QUOTE ? endOfString(text, next) : MALFORMED;
    if (nameEnd === MALFORMED) return MALFORMED;
    next = startOfMember(text, nameEnd);
    if (next === MALFORMED) return MALFORMED;
    next = endOfValue(text, next, depth + 1);
    if (next === MALFORMED) return MALFORMED;
    next = skipSpace(text, next);
    const code = text.charCodeAt(next);
    if (code === CLOSE_BRACE) return next + 1;
    if (code !== COMMA) return MALFORMED;
    next = skipSpace(text, next + 1);
  }
}

/** From behind a member's name to its value. */
export function startOfMember(text: string, at: number): number {
  const colonAt = skipSpace(text, at);
  return text.charCodeAt(colonAt) === COLON ? skipSpace(text, colonAt + 1) : MALFORMED;
}

function endOfArray(text: string, at: number, depth: number): number {
  if (depth >= DEPTH_MAX) return MALFORMED;
  let next = skipSpace(text, at + 1);
  if (text.charCodeAt(next) === CLOSE_BRACKET) return next + 1;
  for (;;) {
    next = endOfValue(text, next, depth + 1);
    if (next === MALFORMED) return MALFORMED;
    next = skipSpace(text, next);
    const code = text.charCodeAt(next);
    if (code === CLOSE_BRACKET) return next + 1;
    if (code !== COMMA) return MALFORMED;
    next = skipSpace(text, next + 1);
  }
}
