/**
 * RFC 3339 timestamps to whole microseconds. Read by hand: `Date.parse` takes more forms than the RFC
 * has, stops at milliseconds, knows no leap second, and is asked once for each event.
 */
import { EVENT_FIRST_YEAR, EVENT_LAST_YEAR, EVENT_TIME_MAX_CHARS } from "../../protocol/ingest-limits.ts";
import { MICROS_PER_MS } from "../../protocol/lake-event.ts";

const FIRST_MS = Date.UTC(EVENT_FIRST_YEAR, 0, 1);
const END_MS = Date.UTC(EVENT_LAST_YEAR + 1, 0, 1);
const MS_PER_SEC = 1000;
const MS_PER_MINUTE = 60_000;
const MS_PER_DAY = 86_400_000;
const LAST_MICRO = 999_999;
const FRACTION_AT = 19;
const MICRO_DIGITS = 6;

/**
 * @param text an RFC 3339 `date-time` (5.6): `T` and `Z` in either case, any offset, any number of
 *   fraction digits, of which those below a microsecond are cut off
 * @returns microseconds since 1970, or `undefined` for anything else and for years outside 1970 to 2200
 *   (in UTC). A leap second, which only the end of a UTC month may have (5.7), becomes the last
 *   microsecond before it, so that it stays in its day.
 */
export function readTimestampUs(text: string): number | undefined {
  if (text.length > EVENT_TIME_MAX_CHARS || !hasSeparators(text)) return undefined;
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 2);
  const day = digits(text, 8, 2);
  const hour = digits(text, 11, 2);
  const minute = digits(text, 14, 2);
  const second = digits(text, 17, 2);
  // NaN, which stands for what is no digit, fails every comparison.
  const isDate = year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month);
  const isTime = hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 60;
  if (!isDate || !isTime) return undefined;

  const offsetAt = endOfFraction(text);
  const offsetMinutes = readOffset(text, offsetAt);
  if (Number.isNaN(offsetMinutes)) return undefined;
  const utcMs = Date.UTC(year, month - 1, day, hour, minute, second) - offsetMinutes * MS_PER_MINUTE;
  // Years below 100 mean the 1900s to Date.UTC.
  if (year < 100 || utcMs < FIRST_MS) return undefined;
  if (second < 60) return utcMs < END_MS ? utcMs * MICROS_PER_MS + fractionUs(text, offsetAt) : undefined;
  const isMonthEnd = utcMs % MS_PER_DAY === 0 && new Date(utcMs).getUTCDate() === 1;
  return isMonthEnd && utcMs <= END_MS ? (utcMs - MS_PER_SEC) * MICROS_PER_MS + LAST_MICRO : undefined;
}

/** `....-..-..T..:..:..` */
function hasSeparators(text: string): boolean {
  const isT = text[10] === "T" || text[10] === "t";
  return isT && text[4] === "-" && text[7] === "-" && text[13] === ":" && text[16] === ":";
}

/** @returns the number that `count` digits make, or `NaN` where one is something else */
function digits(text: string, at: number, count: number): number {
  let value = 0;
  for (let end = at + count; at < end; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** @returns where the offset begins; a dot without digits is none, which {@link readOffset} then refuses */
function endOfFraction(text: string): number {
  if (text[FRACTION_AT] !== ".") return FRACTION_AT;
  let at = FRACTION_AT + 1;
  while (!Number.isNaN(digits(text, at, 1))) at++;
  return at === FRACTION_AT + 1 ? FRACTION_AT : at;
}

function fractionUs(text: string, end: number): number {
  if (end === FRACTION_AT) return 0;
  const count = Math.min(end - FRACTION_AT - 1, MICRO_DIGITS);
  return digits(text, FRACTION_AT + 1, count) * 10 ** (MICRO_DIGITS - count);
}

/** @returns minutes east of UTC, `NaN` for anything but `Z`, `+hh:mm` or `-hh:mm` at the text's end */
function readOffset(text: string, at: number): number {
  const sign = text[at];
  if (sign === "Z" || sign === "z") return at + 1 === text.length ? 0 : Number.NaN;
  if ((sign !== "+" && sign !== "-") || at + 6 !== text.length || text[at + 3] !== ":") return Number.NaN;
  const hours = digits(text, at + 1, 2);
  const minutes = digits(text, at + 4, 2);
  if (!(hours <= 23 && minutes <= 59)) return Number.NaN;
  return (sign === "-" ? -1 : 1) * (hours * 60 + minutes);
}
