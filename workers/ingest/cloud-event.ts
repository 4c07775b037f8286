/**
 * One CloudEvent in the JSON format, or its attributes and data from elsewhere, to a row of the lake. Pure.
 *
 * What becomes of each attribute stands in `cloud-events.ts`.
 *
 * Source: CloudEvents 1.0.2, section 3; JSON Event Format 1.0.2, sections 2.2 and 3.1.
 */
import {
  EVENT_CONTENT_TYPE_MAX_CHARS,
  EVENT_DATA_SCHEMA_MAX_CHARS,
  EVENT_ID_MAX_CHARS,
  EVENT_MAX_EXTENSIONS,
  EVENT_REQUEST_ID_MAX_CHARS,
  EVENT_SOURCE_MAX_CHARS,
  EVENT_SUBJECT_MAX_CHARS,
  EVENT_TYPE_MAX_CHARS,
} from "../../protocol/ingest-limits.ts";
import {
  faultOfExtensionName,
  faultOfExtensionValue,
  faultOfMediaType,
  faultOfText,
  faultOfUri,
  faultOfSource,
  kindOf,
} from "./attribute-rules.ts";
import {
  invalidEvent,
  type EventDefaults,
  type EventFault,
  type EventReading,
  type JsonObject,
} from "./event-reading.ts";
import { readTimestampUs } from "./timestamp.ts";

const SPEC_VERSION = "1.0";
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** A CloudEvent in the JSON format: attributes, and `data` or `data_base64`, as members of one object. */
export function readCloudEvent(members: JsonObject, defaults: EventDefaults): EventReading {
  const { data, data_base64: base64 } = members;
  if (base64 === undefined || base64 === null) {
    return readAttributes(members, data === undefined ? undefined : JSON.stringify(data), defaults);
  }
  if (data !== undefined) return invalidEvent("data_base64", "stands beside `data`: only one of them may be there");
  if (typeof base64 !== "string" || base64.length % 4 !== 0 || !BASE64.test(base64)) {
    return invalidEvent("data_base64", "is not base64 (RFC 4648, 4: with padding, without line breaks)");
  }
  return readAttributes(members, dataOfBase64(base64), defaults);
}

/** The `data` column of bytes that are neither JSON nor text. */
export function dataOfBase64(base64: string): string {
  return `{"data_base64":"${base64}"}`;
}

/**
 * @param attributes by name; `null` means unset; `data` and `data_base64` are passed over
 * @param data the `data` column: JSON text on one line
 */
export function readAttributes(
  attributes: JsonObject,
  data: string | undefined,
  defaults: EventDefaults,
): EventReading {
  const { specversion, id, source, type, subject, time } = attributes;
  if (specversion !== SPEC_VERSION) {
    const found = typeof specversion === "string" ? "another one" : kindOf(specversion);
    const detail = `must be the text "${SPEC_VERSION}", found ${found}`;
    return { ok: false, fault: { code: "unsupported_specversion", field: "specversion", detail } };
  }
  const idFault = faultOfText(id, EVENT_ID_MAX_CHARS);
  if (idFault !== undefined || typeof id !== "string") return invalidEvent("id", String(idFault));
  const sourceFault = faultOfSource(source, EVENT_SOURCE_MAX_CHARS);
  if (sourceFault !== undefined || typeof source !== "string") return invalidEvent("source", String(sourceFault));
  const typeFault = faultOfText(type, EVENT_TYPE_MAX_CHARS);
  if (typeFault !== undefined || typeof type !== "string") return invalidEvent("type", String(typeFault));
  const optional = readOptional(attributes);
  if ("code" in optional) return { ok: false, fault: optional };
  const timeUs = time === undefined || time === null ? defaults.nowUs : timeOf(time);
  if (timeUs === undefined) return invalidEvent("time", TIME_RULE);
  return {
    ok: true,
    event: {
      id,
      source,
      type,
      subject: typeof subject === "string" ? subject : undefined,
      timeUs,
      requestId: optional.requestId,
      tenant: defaults.tenant,
      data,
      extensions: optional.extensions,
    },
  };
}

export const TIME_RULE = "an RFC 3339 timestamp of the years 1970 to 2200 is needed";

/** Microseconds since 1970, or `undefined` for what is no timestamp. */
function timeOf(time: unknown): number | undefined {
  return typeof time === "string" ? readTimestampUs(time) : undefined;
}

interface OptionalAttributes {
  readonly requestId: string | undefined;
  readonly extensions: string | undefined;
}

/** Everything but the four that must be there, `time` and the data. */
function readOptional(attributes: JsonObject): OptionalAttributes | EventFault {
  let requestId: string | undefined;
  let members = "";
  let extensionCount = 0;
  for (const name of Object.keys(attributes)) {
    const value = attributes[name];
    if (isReadElsewhere(name) || value === null) continue;
    const isExtension = name !== "subject" && name !== "datacontenttype" && name !== "dataschema";
    const nameFault = isExtension ? faultOfExtensionName(name) : undefined;
    const detail = nameFault ?? faultOfOptional(name, value);
    // A name may be as long as the event: what is told back is its beginning.
    if (detail !== undefined) return { code: "invalid_event", field: name.slice(0, EVENT_ID_MAX_CHARS), detail };
    if (isExtension && ++extensionCount > EVENT_MAX_EXTENSIONS) {
      return { code: "invalid_event", field: name, detail: `at most ${EVENT_MAX_EXTENSIONS} extensions are allowed` };
    }
    if (name === "requestid") requestId = typeof value === "string" ? value : undefined;
    else if (name !== "subject") members += `${members === "" ? "{" : ","}"${name}":${JSON.stringify(value)}`;
  }
  return { requestId, extensions: members === "" ? undefined : `${members}}` };
}

function isReadElsewhere(name: string): boolean {
  switch (name) {
    case "specversion":
    case "id":
    case "source":
    case "type":
    case "time":
    case "data":
    case "data_base64":
      return true;
    default:
      return false;
  }
}

function faultOfOptional(name: string, value: unknown): string | undefined {
  switch (name) {
    case "subject":
      return faultOfText(value, EVENT_SUBJECT_MAX_CHARS);
    case "datacontenttype":
      return faultOfMediaType(value, EVENT_CONTENT_TYPE_MAX_CHARS);
    case "dataschema":
      return faultOfUri(value, EVENT_DATA_SCHEMA_MAX_CHARS);
    case "requestid":
      return faultOfText(value, EVENT_REQUEST_ID_MAX_CHARS);
    default:
      return faultOfExtensionValue(value);
  }
}
