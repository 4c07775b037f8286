/**
 * What `POST /events` is to make of a body that is whole, read a second time in another way: one row for each event, to
 * be held against those that were taken. It says nothing of which events are refused.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { BATCH, STRUCTURED } from "../fixtures/ingest-calls.ts";

/** A request as it was before anything compressed it. */
export interface WholeCall {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

type Members = Readonly<Record<string, unknown>>;
type Column = string | number | null;

/** What a random id is called here: any of them is as good as another. */
const RANDOM_ID = "random";
/** Neither kept nor an extension. */
const COLUMNS: ReadonlySet<string> = new Set(
  "specversion id source type subject time requestid data data_base64".split(" "),
);

/** The columns of a row in one text. */
export function rowText({ id, source, type, subject, timeUs, requestId, tenant, data, extensions }: LakeEvent): string {
  const isRandom = /^random-\d+$/.test(id);
  return textOf({
    id: isRandom ? RANDOM_ID : id,
    source,
    type,
    subject: subject ?? null,
    timeUs,
    requestId: requestId ?? null,
    tenant,
    data: data === undefined ? null : sortedText(JSON.parse(data)),
    extensions: extensions === undefined ? null : sortedText(JSON.parse(extensions)),
  });
}

/** The same of each event that was sent, in order; of one that has to be refused, anything. */
export function rowTextsOf(
  call: WholeCall,
  { tenant, nowMs }: { readonly tenant: string; readonly nowMs: number },
): string[] {
  const named = Object.entries(call.headers).filter(([name]) => name.startsWith("ce-"));
  if (named.length > 0) return [binaryRow(call, named, { tenant, nowMs })];
  const parsed: unknown = JSON.parse(new TextDecoder().decode(call.body));
  const events = (Array.isArray(parsed) ? parsed : [parsed]) as Members[];
  const isCloudEvents = call.contentType === STRUCTURED || call.contentType === BATCH;
  return events.map((event) =>
    isCloudEvents || Object.hasOwn(event, "specversion")
      ? cloudEventRow(event, dataOf(event), { tenant, nowMs })
      : plainRow(event, { tenant, nowMs }),
  );
}

type Defaults = { readonly tenant: string; readonly nowMs: number };

/** `undefined` where there is none. */
function dataOf({ data, data_base64: base64 }: Members): unknown {
  return typeof base64 === "string" ? { data_base64: base64 } : data;
}

function cloudEventRow(event: Members, data: unknown, { tenant, nowMs }: Defaults): string {
  const { id, source, type, subject, time, requestid } = event;
  const others = Object.entries(event).filter(([name, value]) => !COLUMNS.has(name) && value !== null);
  return textOf({
    id: column(id),
    source: column(source),
    type: column(type),
    subject: column(subject),
    timeUs: microsOf(time, nowMs),
    requestId: column(requestid),
    tenant,
    data: data === undefined ? null : sortedText(data),
    extensions: others.length === 0 ? null : sortedText(Object.fromEntries(others)),
  });
}

function plainRow(event: Members, { tenant, nowMs }: Defaults): string {
  const left = new Map(Object.entries(event));
  const take = (name: string): string | undefined => {
    const value = left.get(name);
    if (value === null || typeof value === "string") left.delete(name);
    return typeof value === "string" ? value : undefined;
  };
  const { id: given, data } = event;
  const isWhole = typeof given === "number" && Number.isInteger(given) && Math.abs(given) < 1e21;
  const id = isWhole ? BigInt(given).toString() : take("id");
  if (isWhole) left.delete("id");
  const hasType = typeof event["type"] === "string";
  const type = take("type") ?? take("event");
  // A name that is not needed stays, unless it says nothing.
  if (hasType && event["event"] === null) left.delete("event");
  const columns = {
    source: take("source"),
    subject: take("subject"),
    time: take("time"),
    requestId: take("request_id"),
  };
  left.delete("data");
  const rest = left.size === 0 ? null : sortedText(Object.fromEntries(left));
  return textOf({
    id: id ?? RANDOM_ID,
    source: columns.source ?? `urn:spillway:tenant:${tenant}`,
    type: type ?? "event",
    subject: columns.subject ?? null,
    timeUs: microsOf(columns.time, nowMs),
    requestId: columns.requestId ?? null,
    tenant,
    data: data === undefined ? rest : sortedText(data),
    extensions: data === undefined ? null : rest,
  });
}

function binaryRow(
  { contentType, body }: WholeCall,
  named: readonly (readonly [string, string])[],
  defaults: Defaults,
): string {
  const attributes = named.map(([name, text]) => [name.slice("ce-".length), headerText(text)] as const);
  const event = Object.fromEntries([["datacontenttype", contentType], ...attributes]);
  return cloudEventRow(event, bodyData(body, contentType), defaults);
}

function bodyData(body: Uint8Array, contentType: string): unknown {
  if (body.byteLength === 0) return undefined;
  const bytes = Buffer.from(body);
  if (contentType === "application/octet-stream") return { data_base64: bytes.toString("base64") };
  const text = new TextDecoder().decode(bytes);
  if (contentType !== "application/json") return text;
  try {
    return JSON.parse(text);
  } catch {
    // It has to be refused.
    return undefined;
  }
}

function headerText(value: string): string {
  const inner = value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : undefined;
  // A quote inside that nothing escapes: no quoted string at all.
  const isQuoted = inner !== undefined && !inner.replaceAll(/\\./g, "").includes('"') && !endsInEscape(inner);
  const text = isQuoted ? inner.replaceAll(/\\(.)/g, "$1") : value;
  try {
    return decodeURIComponent(text);
  } catch {
    // It has to be refused.
    return text;
  }
}

function endsInEscape(text: string): boolean {
  return (/\\*$/.exec(text)?.[0].length ?? 0) % 2 === 1;
}

/** Microseconds of an RFC 3339 time in UTC. */
function microsOf(time: unknown, nowMs: number): number {
  if (typeof time !== "string") return nowMs * 1000;
  const [whole = "", fraction = ""] = time.replace("Z", "").split(".");
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

function column(value: unknown): Column {
  return typeof value === "string" ? value : null;
}

function textOf(row: Readonly<Record<string, Column>>): string {
  return JSON.stringify(row);
}

/** One text for one value, whatever the order of its members. */
function sortedText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${sortedText(member)}`);
  return `{${members.toSorted().join(",")}}`;
}
