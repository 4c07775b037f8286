/**
 * One CloudEvent in binary mode, attributes in headers and data as the body, to a row of the lake. Pure.
 *
 * Source: CloudEvents HTTP Protocol Binding 1.0.2, section 3.1.
 */
import { EVENT_ID_MAX_CHARS, INGEST_EVENT_MAX_BYTES, INGEST_EVENT_MAX_DEPTH } from "../../protocol/ingest-limits.ts";
import { dataOfBase64, readAttributes } from "./cloud-event.ts";
import { invalidEvent, type EventDefaults, type EventFault, type EventReading } from "./event-reading.ts";
import { decodeHeaderValue } from "./header-values.ts";
import { isSpaceFrom, scanValue } from "./json-scan.ts";
import { parseJson } from "./lossless-json.ts";
import { isJson, isText, isUtf8, parseMediaType } from "./media-type.ts";
import { toBase64, toText, utf8Length } from "./text-encoding.ts";

export const ATTRIBUTE_HEADER_PREFIX = "ce-";

const TOO_LARGE: EventFault = {
  code: "event_too_large",
  field: "data",
  detail: `is more than ${INGEST_EVENT_MAX_BYTES} bytes as JSON text`,
};

/** What a request brings: header names in lower case, the body decompressed. */
export interface EventsMessage {
  readonly contentType: string | undefined;
  readonly headers: Iterable<readonly [string, string]>;
  readonly body: Uint8Array;
}

export function readBinaryEvent(message: EventsMessage, defaults: EventDefaults): EventReading {
  const attributes = new Map<string, unknown>();
  if (message.contentType !== undefined) attributes.set("datacontenttype", message.contentType);
  for (const [header, given] of message.headers) {
    if (!header.startsWith(ATTRIBUTE_HEADER_PREFIX)) continue;
    const name = header.slice(ATTRIBUTE_HEADER_PREFIX.length);
    const field = name.slice(0, EVENT_ID_MAX_CHARS);
    // A name that readAttributes passes over: in the JSON format it is the data's.
    if (name === "data" || name === "data_base64") return invalidEvent(field, "is no attribute: the body is the data");
    if (name === "datacontenttype") return invalidEvent(field, "stands in Content-Type in binary mode");
    const value = decodeHeaderValue(given);
    if (value === undefined) return invalidEvent(field, "is not ASCII with percent-encoded UTF-8");
    attributes.set(name, value);
  }
  if (message.body.byteLength > INGEST_EVENT_MAX_BYTES) return { ok: false, fault: TOO_LARGE };
  const data = readData(message);
  if ("fault" in data) return { ok: false, fault: data.fault };
  // Base64 and escapes make it larger than the body was.
  const bytes = data.text === undefined ? 0 : utf8Length(data.text, 0, data.text.length);
  if (bytes > INGEST_EVENT_MAX_BYTES) return { ok: false, fault: TOO_LARGE };
  return readAttributes(Object.fromEntries(attributes), data.text, defaults);
}

type DataReading = { readonly text: string | undefined } | { readonly fault: EventFault };

/** The `data` column: JSON stays JSON, text becomes a JSON string, other bytes base64. */
function readData({ body, contentType }: EventsMessage): DataReading {
  if (body.byteLength === 0) return { text: undefined };
  const type = parseMediaType(contentType ?? "");
  // Text of another charset is kept as the bytes that it is.
  const hasText = isUtf8(type) && (isJson(type) || isText(type));
  if (!hasText) return { text: dataOfBase64(toBase64(body)) };
  const text = toText(body);
  if (text === undefined) return invalidEvent("data", "is not UTF-8");
  return isJson(type) ? readJsonData(text) : { text: JSON.stringify(text) };
}

function readJsonData(text: string): DataReading {
  const span = scanValue(text, 0);
  if (span === undefined || !isSpaceFrom(text, span.end)) return invalidEvent("data", "is not JSON");
  // As in the JSON format, where the event's object is one level more.
  if (span.depth >= INGEST_EVENT_MAX_DEPTH) {
    const detail = `is nested deeper than ${INGEST_EVENT_MAX_DEPTH - 1} levels`;
    return { fault: { code: "too_deep", field: "data", detail } };
  }
  try {
    return { text: JSON.stringify(parseJson(text, span.hasWideNumber)) };
  } catch {
    // SyntaxError: the one way it fails.
    return invalidEvent("data", "is not JSON");
  }
}
