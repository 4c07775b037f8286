/**
 * One plain JSON object to a row of the lake: what it says under the usual names is taken, the rest is kept. Pure.
 *
 * What becomes of each member stands in `cloud-events.ts`.
 */
import {
  EVENT_ID_MAX_CHARS,
  EVENT_REQUEST_ID_MAX_CHARS,
  EVENT_SOURCE_MAX_CHARS,
  EVENT_SUBJECT_MAX_CHARS,
  EVENT_TYPE_MAX_CHARS,
} from "../../protocol/ingest-limits.ts";
import { faultOfSource, faultOfText } from "./attribute-rules.ts";
import { TIME_RULE } from "./cloud-event.ts";
import { invalidEvent, type EventDefaults, type EventReading, type JsonObject } from "./event-reading.ts";
import { rawNumberOf } from "./lossless-json.ts";
import { readTimestampUs } from "./timestamp.ts";

const DEFAULT_TYPE = "event";
const DECIMAL_INTEGER = /^-?[0-9]+$/;

export function readPlainEvent(members: JsonObject, defaults: EventDefaults): EventReading {
  const typeName = typeof members["type"] === "string" ? "type" : "event";
  const id = textOf(members["id"]) ?? integerOf(members["id"]);
  const source = textOf(members["source"]);
  const type = textOf(members[typeName]);
  const subject = textOf(members["subject"]);
  const time = textOf(members["time"]);
  const requestId = textOf(members["request_id"]);

  const fault =
    invalid("id", id, (text) => faultOfText(text, EVENT_ID_MAX_CHARS)) ??
    invalid("source", source, (text) => faultOfSource(text, EVENT_SOURCE_MAX_CHARS)) ??
    invalid(typeName, type, (text) => faultOfText(text, EVENT_TYPE_MAX_CHARS)) ??
    invalid("subject", subject, (text) => faultOfText(text, EVENT_SUBJECT_MAX_CHARS)) ??
    invalid("request_id", requestId, (text) => faultOfText(text, EVENT_REQUEST_ID_MAX_CHARS));
  if (fault !== undefined) return fault;
  const timeUs = time === undefined ? defaults.nowUs : readTimestampUs(time);
  if (timeUs === undefined) return invalidEvent("time", TIME_RULE);

  const rest = restOf(members, typeName);
  const { data } = members;
  return {
    ok: true,
    event: {
      id: id ?? defaults.randomId(),
      source: source ?? `urn:spillway:tenant:${encodeURIComponent(defaults.tenant.toWellFormed())}`,
      type: type ?? DEFAULT_TYPE,
      subject,
      timeUs,
      requestId,
      tenant: defaults.tenant,
      data: data === undefined ? rest : JSON.stringify(data),
      extensions: data === undefined ? undefined : rest,
    },
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Ids are numbers as often as texts; every digit is kept. */
function integerOf(value: unknown): string | undefined {
  const digits = typeof value === "number" ? String(value) : rawNumberOf(value);
  return digits !== undefined && DECIMAL_INTEGER.test(digits) ? digits : undefined;
}

function invalid(field: string, text: string | undefined, faultOf: (text: string) => string | undefined) {
  const detail = text === undefined ? undefined : faultOf(text);
  return detail === undefined ? undefined : invalidEvent(field, detail);
}

/** The members that were not taken, as the text of one JSON object. */
function restOf(members: JsonObject, typeName: string): string | undefined {
  let rest = "";
  for (const name of Object.keys(members)) {
    const value = members[name];
    if (isTaken(name, value, typeName)) continue;
    rest += `${rest === "" ? "{" : ","}${JSON.stringify(name)}:${JSON.stringify(value)}`;
  }
  return rest === "" ? undefined : `${rest}}`;
}

/** `null` says that a member is unset: nothing is lost by not keeping it. */
function isTaken(name: string, value: unknown, typeName: string): boolean {
  switch (name) {
    case "data":
      return true;
    case "id":
      return value === null || typeof value === "string" || integerOf(value) !== undefined;
    case "source":
    case "subject":
    case "time":
    case "request_id":
      return value === null || typeof value === "string";
    case "type":
    case "event":
      return value === null || (name === typeName && typeof value === "string");
    default:
      return false;
  }
}
