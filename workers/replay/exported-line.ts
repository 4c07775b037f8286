/**
 * One line of an export back to the event it was made of. Everything is doubted: files are edited. Pure.
 *
 * Unlike `POST /events` it takes the service's own telemetry, and the tenant from the line: whoever replays is an
 * operator.
 */
import {
  EVENT_ID_MAX_CHARS,
  EVENT_REQUEST_ID_MAX_CHARS,
  EVENT_SOURCE_MAX_CHARS,
  EVENT_SUBJECT_MAX_CHARS,
  EVENT_TIME_MAX_CHARS,
  EVENT_TYPE_MAX_CHARS,
  INGEST_EVENT_MAX_DEPTH,
} from "../../protocol/ingest-limits.ts";
import type { EventPlace } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { faultOfText, kindOf } from "../ingest/attribute-rules.ts";
import { scanValue } from "../ingest/json-scan.ts";
import { utf8Length } from "../ingest/text-encoding.ts";
import { readTimestampUs } from "../ingest/timestamp.ts";

export type LineReading =
  | {
      readonly ok: true;
      readonly event: LakeEvent;
      /** Where it was, as far as the line says so. */
      readonly place: EventPlace | undefined;
    }
  | { readonly ok: false; readonly detail: string };

/** A row of storage holds 2 MB (platform limit), and an event is never split. */
const EVENT_MAX_BYTES = 1_900_000;
const TENANT_MAX_CHARS = 256;
/** A shard's index, and the random part of its life's name. */
const LIFE = /^(0|[1-9]\d{0,2})-[0-9a-f]{1,8}$/;

type Members = Readonly<Record<string, unknown>>;

/** @returns `undefined` of a line that is no event's, but one around events */
export function readExportedLine(text: string): LineReading | undefined {
  const line = parse(text);
  if (line === undefined) return bad("is not JSON");
  if (!isObject(line)) return bad(`an object is needed, found ${kindOf(line)}`);
  if (!("event" in line)) {
    const isFrame = "export" in line || "progress" in line || "end" in line;
    return isFrame ? undefined : bad("has no `event`");
  }
  if (!isObject(line["event"])) return bad(`event: an object is needed, found ${kindOf(line["event"])}`);
  const reading = readEvent(line["event"]);
  if (typeof reading === "string") return bad(reading);
  return { ok: true, event: reading, place: placeOf(line) };
}

/** Index of the shard whose life has this name. */
export function shardIndexOf(life: string): number {
  return Number(LIFE.exec(life)?.[1]);
}

function placeOf({ shard: life, seq }: Members): EventPlace | undefined {
  if (typeof life !== "string" || !LIFE.test(life)) return undefined;
  const isSeq = typeof seq === "number" && Number.isSafeInteger(seq) && seq >= 1;
  return isSeq ? { life, seq } : undefined;
}

/** @returns the event, or what is wrong with it */
function readEvent(members: Members): LakeEvent | string {
  const { id, source, type, tenant, time } = members;
  for (const [name, maxChars] of TEXTS) {
    const value = members[name];
    const isMissing = value === undefined || value === null;
    const fault = isMissing && OPTIONAL.has(name) ? undefined : faultOfText(value, maxChars);
    if (fault !== undefined) return `${name}: ${fault}`;
  }
  const timeUs = typeof time === "string" ? readTimestampUs(time) : undefined;
  if (timeUs === undefined) return "time: an RFC 3339 timestamp of the years 1970 to 2200 is needed";
  const data = readJsonText(members["data"]);
  if (!data.ok) return `data: ${data.detail}`;
  const extensions = readJsonText(members["extensions"]);
  if (!extensions.ok) return `extensions: ${extensions.detail}`;
  if (extensions.text !== undefined && !extensions.text.startsWith("{")) return "extensions: an object is needed";
  const bytes = [data.text, extensions.text].reduce((sum, text = "") => sum + utf8Length(text, 0, text.length), 0);
  if (bytes > EVENT_MAX_BYTES) return `has ${bytes} bytes of data and extensions, allowed are ${EVENT_MAX_BYTES}`;
  return {
    id: String(id),
    source: String(source),
    type: String(type),
    subject: optionalText(members["subject"]),
    timeUs,
    requestId: optionalText(members["request_id"]),
    tenant: String(tenant),
    data: data.text,
    extensions: extensions.text,
  };
}

const TEXTS = [
  ["id", EVENT_ID_MAX_CHARS],
  ["source", EVENT_SOURCE_MAX_CHARS],
  ["type", EVENT_TYPE_MAX_CHARS],
  ["tenant", TENANT_MAX_CHARS],
  ["time", EVENT_TIME_MAX_CHARS],
  ["subject", EVENT_SUBJECT_MAX_CHARS],
  ["request_id", EVENT_REQUEST_ID_MAX_CHARS],
] as const;
const OPTIONAL: ReadonlySet<string> = new Set(["subject", "request_id"]);

/** JSON as text, as the table's columns hold it: passed on as it is, so that no digit is lost. */
function readJsonText(value: unknown): { ok: true; text: string | undefined } | { ok: false; detail: string } {
  if (value === undefined || value === null) return { ok: true, text: undefined };
  if (typeof value !== "string") return bad(`JSON as a text is needed, found ${kindOf(value)}`);
  // Line by line is how it is stored.
  if (value.includes("\n")) return bad("has more than one line");
  if ((scanValue(value, 0)?.depth ?? 0) > INGEST_EVENT_MAX_DEPTH) return bad("is nested too deep");
  return parse(value) === undefined ? bad("is not JSON") : { ok: true, text: value };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A SyntaxError: no JSON has the value `undefined`.
    return undefined;
  }
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function optionalText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function bad(detail: string): { readonly ok: false; readonly detail: string } {
  return { ok: false, detail };
}
