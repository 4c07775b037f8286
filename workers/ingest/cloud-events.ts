/**
 * The body and headers of `POST /events` to rows of the lake, and a reason for each event that is none.
 * Pure: bytes in, plain values out; clock and randomness come in as {@link EventDefaults}.
 *
 * The mode follows from the media type (CloudEvents HTTP Protocol Binding 1.0.2, section 3):
 * - `application/cloudevents+json`: structured, one CloudEvent.
 * - `application/cloudevents-batch+json`: an array of CloudEvents.
 * - any other type, and a header that begins with `ce-`: binary, attributes in headers, data as the body.
 * - `application/json`, or no type: one object or an array of them. An object with `specversion` is a
 *   CloudEvent, any other is plain.
 *
 * A CloudEvent's attributes:
 * - `id`, `source`, `type`, `subject` and `time` fill the columns of their names; no `time` means now.
 * - `requestid` fills `request_id`. `specversion` is "1.0" and not kept.
 * - `datacontenttype`, `dataschema` and every extension: members of `extensions`, a JSON object.
 * - `data`: JSON text. `data_base64`, and in binary mode a body that is neither JSON nor text:
 *   `{"data_base64":"…"}`. An event whose data is itself such an object looks the same.
 * - A body in binary mode that is text (`text/*`, XML): a JSON string. An empty body: no data.
 *
 * A plain object's members:
 * - `id` (text, or a whole number, whose digits are then the id), `source`, `type` (else `event`),
 *   `subject`, `time` and `request_id` (texts) are taken and must obey the rules of CloudEvents. Those of
 *   another JSON type are left; those that are `null` count as absent.
 * - `data`, if there: the `data` column; what is left then goes to `extensions`, under any names.
 * - Without `data`, what is left is the `data` column, as one object.
 * - No `id`: a random one. No `source`: `urn:spillway:tenant:<tenant>`, percent-encoded. No `type`: `event`.
 *
 * JSON is kept as a parser understands it, on one line: without white space, the last of equal names,
 * escapes resolved; every number with its value, also where a double does not hold it.
 */
import type { EventRejection, SpillwayError } from "../../protocol/errors.ts";
import {
  INGEST_BATCH_MAX_EVENTS,
  INGEST_EVENT_MAX_BYTES,
  INGEST_EVENT_MAX_DEPTH,
  INGEST_MAX_DAYS,
} from "../../protocol/ingest-limits.ts";
import { dayOf, type LakeEvent } from "../../protocol/lake-event.ts";
import { kindOf } from "./attribute-rules.ts";
import { ATTRIBUTE_HEADER_PREFIX, readBinaryEvent, type EventsMessage } from "./binary-event.ts";
import { readCloudEvent } from "./cloud-event.ts";
import { invalidEvent, type EventDefaults, type EventReading, type JsonObject } from "./event-reading.ts";
import { beginsArray, isSpaceFrom, scanArray, scanValue, type JsonSpan } from "./json-scan.ts";
import { parseJson } from "./lossless-json.ts";
import { isUtf8, parseMediaType } from "./media-type.ts";
import { readPlainEvent } from "./plain-event.ts";
import { toText, utf8Length } from "./text-encoding.ts";

/** An event and its place in the request, from 0. */
export interface IndexedEvent {
  readonly index: number;
  readonly event: LakeEvent;
}

export type EventsReading =
  /** Both in the order of the request. */
  | { readonly ok: true; readonly events: readonly IndexedEvent[]; readonly rejected: readonly EventRejection[] }
  /** The request as a whole cannot be read. */
  | { readonly ok: false; readonly error: SpillwayError };

export type EventsMode = "structured" | "batch" | "binary" | "json";

export type ModeReading =
  | { readonly ok: true; readonly mode: EventsMode }
  | { readonly ok: false; readonly error: SpillwayError };

const ACCEPTED =
  "accepted are application/cloudevents+json, application/cloudevents-batch+json, application/json, and any type with ce- headers (binary mode); JSON in UTF-8";

/** Which mode a request is in, by its headers alone; 415 for one that is in none. */
export function readEventsMode({ contentType, headers }: Omit<EventsMessage, "body">): ModeReading {
  const type = parseMediaType(contentType ?? "application/json");
  const mode = modeOf(type.name, headers);
  if (mode !== undefined && (mode === "binary" || isUtf8(type))) return { ok: true, mode };
  return { ok: false, error: { code: "unsupported_media_type", detail: `Of Content-Type ${ACCEPTED}.` } };
}

function modeOf(type: string, headers: EventsMessage["headers"]): EventsMode | undefined {
  if (type === "application/cloudevents+json") return "structured";
  if (type === "application/cloudevents-batch+json") return "batch";
  // Other event formats: binary mode would keep a whole event as the data of another.
  if (/^application\/cloudevents(?:-batch)?(?:\+|$)/.test(type)) return undefined;
  for (const [name] of headers) if (name.startsWith(ATTRIBUTE_HEADER_PREFIX)) return "binary";
  return type === "application/json" || type === "" ? "json" : undefined;
}

/** Every event of a request, in the mode that {@link readEventsMode} found. */
export function readEvents(mode: EventsMode, message: EventsMessage, defaults: EventDefaults): EventsReading {
  if (mode === "binary") return collect([readBinaryEvent(message, defaults)]);
  const text = toText(message.body);
  if (text === undefined) return unreadable("is not UTF-8");
  const isBatch = mode === "batch" || (mode === "json" && beginsArray(text));
  if (isBatch) return readBatch(text, mode, defaults);
  const span = scanValue(text, 0);
  if (span === undefined || !isSpaceFrom(text, span.end)) return unreadable("is not JSON");
  const reading = readSpan(text, span, { mode, defaults });
  return reading === "not_json" ? unreadable("is not JSON") : collect([reading]);
}

function unreadable(detail: string): EventsReading {
  return { ok: false, error: { code: "invalid_request", field: "body", detail } };
}

function readBatch(text: string, mode: EventsMode, defaults: EventDefaults): EventsReading {
  const scan = scanArray(text, INGEST_BATCH_MAX_EVENTS);
  if (scan.kind === "too_many") return unreadable(`holds more than ${INGEST_BATCH_MAX_EVENTS} events`);
  if (scan.kind === "malformed") {
    return unreadable(beginsArray(text) ? `is not JSON, in or before event ${scan.index}` : "is not a JSON array");
  }
  const readings: EventReading[] = [];
  for (const [index, span] of scan.items.entries()) {
    const reading = readSpan(text, span, { mode, defaults });
    if (reading === "not_json") return unreadable(`is not JSON, in event ${index}`);
    readings.push(reading);
  }
  return collect(readings);
}

interface SpanOptions {
  readonly mode: EventsMode;
  readonly defaults: EventDefaults;
}

/** One event of a JSON text. What is too deep or too large is not parsed, so not known to be JSON either. */
function readSpan(text: string, span: JsonSpan, { mode, defaults }: SpanOptions): EventReading | "not_json" {
  if (span.depth > INGEST_EVENT_MAX_DEPTH) {
    const detail = `is nested deeper than ${INGEST_EVENT_MAX_DEPTH} levels`;
    return { ok: false, fault: { code: "too_deep", field: "event", detail } };
  }
  if (isTooLarge(text, span)) {
    const detail = `is more than ${INGEST_EVENT_MAX_BYTES} bytes of JSON text`;
    return { ok: false, fault: { code: "event_too_large", field: "event", detail } };
  }
  let value: unknown;
  try {
    value = parseJson(text.slice(span.start, span.end), span.hasWideNumber);
  } catch {
    // SyntaxError: the one way it fails.
    return "not_json";
  }
  // Only what begins with a brace is an object: numbers that kept their digits are objects, too.
  if (text[span.start] !== "{") {
    const hint = mode === "structured" ? "; send a batch as application/cloudevents-batch+json" : "";
    return invalidEvent("event", `a JSON object is needed, found ${kindOf(value)}${hint}`);
  }
  const members = value as JsonObject;
  const isCloudEvent = mode !== "json" || Object.hasOwn(members, "specversion");
  return isCloudEvent ? readCloudEvent(members, defaults) : readPlainEvent(members, defaults);
}

function isTooLarge(text: string, { start, end }: JsonSpan): boolean {
  // A UTF-16 unit has three bytes at most: counting them is seldom necessary.
  if ((end - start) * 3 <= INGEST_EVENT_MAX_BYTES) return false;
  return utf8Length(text, start, end) > INGEST_EVENT_MAX_BYTES;
}

/** Numbers the readings, and takes events of the first {@link INGEST_MAX_DAYS} days that occur. */
function collect(readings: readonly EventReading[]): EventsReading {
  const events: IndexedEvent[] = [];
  const rejected: EventRejection[] = [];
  const days = new Set<number>();
  for (const [index, reading] of readings.entries()) {
    if (!reading.ok) {
      rejected.push({ index, ...reading.fault });
      continue;
    }
    const day = dayOf(reading.event.timeUs);
    if (days.size < INGEST_MAX_DAYS || days.has(day)) {
      days.add(day);
      events.push({ index, event: reading.event });
    } else {
      const detail = `one request may hold events of ${INGEST_MAX_DAYS} UTC days; send the others in another one`;
      rejected.push({ index, code: "too_many_days", field: "time", detail });
    }
  }
  return { ok: true, events, rejected };
}
