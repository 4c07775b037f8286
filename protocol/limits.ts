/**
 * Fixed limits, each with its reason. What operators may change is configuration instead.
 */

/**
 * Longest run of frames kept in one storage row, and largest piece handed to a reader at once.
 * Small enough that a reader's memory stays near its limit, large enough that a row is cheap:
 * rows are what a stream costs (one row per 16 KiB, not per event).
 */
export const SEGMENT_MAX_BYTES = 16 * 1024;

/** SQLite rows and blobs in a Durable Object hold at most 2 MB (platform limit). */
export const ROW_MAX_BYTES = 2_000_000;

/** Events kept in memory while storage refuses writes: the only tail a resume can still get. */
export const HOT_TAIL_MAX_BYTES = 64 * 1024;

/** Longest name of an event. No API comes near; without a bound it would have to be held whole where data need not be. */
export const EVENT_NAME_MAX_CHARS = 1024;

/** Longest request URL, in characters. */
export const URL_MAX_CHARS = 8 * 1024;
/** All request headers together: names and values, in characters. */
export const HEADERS_MAX_CHARS = 16 * 1024;

export const IDEMPOTENCY_KEY_MIN_CHARS = 16;
export const IDEMPOTENCY_KEY_MAX_CHARS = 256;
export const CORRELATION_ID_MAX_CHARS = 128;

/** A source is read while its object lives; an alarm this often keeps the object in memory. */
export const KEEP_ALIVE_MS = 30_000;

/**
 * How long a reader that has stopped taking bytes may still hold the source back.
 * Longer than a garbage collection or a radio's hiccup, far shorter than any upstream's patience.
 */
export const PACING_GRACE_MS = 1_000;

/**
 * Most events of one turn: a quarter of the default buffer, so that what a reader that has just become
 * full does not take is still retained.
 */
export const TURN_MAX_EVENTS = 64;

/** Longest pause a removed reader is asked to make before it comes back. */
export const RETRY_MAX_MS = 60_000;
