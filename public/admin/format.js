// @ts-check
/**
 * Numbers, sizes and times in words, the same everywhere on the page. Pure, but for the reader's time zone.
 */

const NOTHING = "–";
export const UNKNOWN = "Not known yet.";
const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const TENTH = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 2 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function count(/** @type {number | null | undefined} */ value) {
  if (value === null || value === undefined) return NOTHING;
  return value >= 1_000_000_000 ? COMPACT.format(value) : WHOLE.format(value);
}

/** Of a small number that may have a fraction: a rate a minute. */
export function rate(/** @type {number | null} */ value) {
  if (value === null) return NOTHING;
  return value < 100 ? TENTH.format(value) : count(value);
}

/** Cut, not rounded: 99.96 % is not 100 %. */
export function percent(/** @type {number | null | undefined} */ share) {
  if (share === null || share === undefined) return NOTHING;
  const digits = share > 0 && share < 0.1 ? 2 : 1;
  const factor = 10 ** digits;
  return `${(Math.floor(share * 100 * factor + 1e-6) / factor).toFixed(share === 0 || share === 1 ? 0 : digits)} %`;
}

export function size(/** @type {number | null | undefined} */ bytes) {
  if (bytes === null || bytes === undefined) return NOTHING;
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), SIZES.length - 1);
  const scaled = bytes / 1024 ** power;
  return `${power === 0 ? WHOLE.format(scaled) : scaled.toFixed(scaled < 10 ? 2 : 1)} ${SIZES[power]}`;
}

export function duration(/** @type {number | null | undefined} */ ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const sec = ms / 1000;
  if (sec < 60) return `${sec < 10 ? sec.toFixed(1) : Math.floor(sec)} s`;
  const min = Math.floor(sec / 60);
  if (min < 60) return `${min} min ${Math.floor(sec % 60)} s`;
  const hours = Math.floor(min / 60);
  return hours < 48 ? `${hours} h ${min % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Time of day; with the day where that is another one. @param {string | null | undefined} iso @param {number} [nowMs] */
export function time(iso, nowMs = Date.now()) {
  if (iso === null || iso === undefined) return NOTHING;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const isToday = DAY.format(date) === DAY.format(nowMs);
  return isToday ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

export function minute(/** @type {number} */ ms) {
  return MINUTE.format(ms);
}

export function text(/** @type {string | null | undefined} */ value) {
  return value === null || value === undefined || value === "" ? NOTHING : value;
}

/** @param {number} number @param {string} noun */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A short value of unknown kind: a field of a telemetry record. */
export function value(/** @type {unknown} */ given) {
  return typeof given === "string" ? given : (JSON.stringify(given) ?? NOTHING);
}
