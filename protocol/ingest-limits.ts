/**
 * Fixed limits on what `POST /events` takes, each with its reason. What operators may change is
 * configuration instead.
 */

/**
 * Body of one request, before and after decompression. A Worker has 128 MB: text of this size, its
 * parsed events and the copy that goes to the shards fit beside each other several times.
 */
export const INGEST_BODY_MAX_BYTES = 10 * 1_048_576;

/** Events of one request: bounds the rejections that one answer can hold. */
export const INGEST_BATCH_MAX_EVENTS = 10_000;

/** One event as JSON text. Storage rows hold at most 2 MB (platform limit), and an event is never split. */
export const INGEST_EVENT_MAX_BYTES = 1_048_576;

/**
 * Nested objects and arrays of one event, its own object included. Far above what people write, and
 * below what the JSON functions of any query engine refuse.
 */
export const INGEST_EVENT_MAX_DEPTH = 64;

/** UTC days among the events of one request: each day is a file of its own at the next flush. */
export const INGEST_MAX_DAYS = 100;

/** Lengths of attributes, in UTF-16 units. `id` and `source` are kept in the window that finds duplicates. */
export const EVENT_ID_MAX_CHARS = 256;
export const EVENT_SOURCE_MAX_CHARS = 2048;
export const EVENT_TYPE_MAX_CHARS = 256;
export const EVENT_SUBJECT_MAX_CHARS = 1024;
export const EVENT_REQUEST_ID_MAX_CHARS = 256;
export const EVENT_CONTENT_TYPE_MAX_CHARS = 256;
export const EVENT_DATA_SCHEMA_MAX_CHARS = 2048;
/** Longer than a nanosecond timestamp with an offset by enough for any clock. */
export const EVENT_TIME_MAX_CHARS = 64;

/** Extension attributes of one CloudEvent: metadata, which every reader of the row pays for. */
export const EVENT_MAX_EXTENSIONS = 64;
/** CloudEvents 1.0.2, 3.1 recommends 20; longer names are in use. */
export const EXTENSION_NAME_MAX_CHARS = 64;

/** Years of `time`: the first whole one since 1970, and the last whose microseconds have room in a double. */
export const EVENT_FIRST_YEAR = 1970;
export const EVENT_LAST_YEAR = 2200;
