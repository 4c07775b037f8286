/**
 * One event of the service's own, read back as the telemetry record it was. Pure; trusts nothing: what an
 * operator has replayed may hold anything.
 */
import { MICROS_PER_MS, type LakeEvent } from "../../protocol/lake-event.ts";
import { OWN_SOURCE_PREFIX } from "../../protocol/telemetry-event.ts";

export type OwnEvent = Pick<LakeEvent, "source" | "type" | "timeUs" | "requestId" | "tenant" | "data">;

export interface OwnRecord {
  readonly event: string;
  readonly atMs: number;
  readonly requestId: string | undefined;
  readonly tenant: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const NAME_MAX_CHARS = 64;
const EVENT_ID = /^\d+-(\d+)$/;

/** Nobody else's events come from there: ingest refuses the prefix. */
export function isOwn({ source }: Pick<LakeEvent, "source">): boolean {
  return source.startsWith(OWN_SOURCE_PREFIX);
}

export function readRecord({ type, timeUs, requestId, tenant, data }: OwnEvent): OwnRecord {
  return {
    event: clip(type, NAME_MAX_CHARS),
    atMs: Math.floor(timeUs / MICROS_PER_MS),
    requestId: requestId === undefined ? undefined : clip(requestId, NAME_MAX_CHARS),
    tenant: clip(tenant, NAME_MAX_CHARS),
    fields: readFields(data),
  };
}

function readFields(data: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const fields: unknown = JSON.parse(data ?? "{}");
    return typeof fields === "object" && fields !== null ? { ...fields } : {};
  } catch {
    // Not ours, whatever its source says: it counts as an event, and tells nothing.
    return {};
  }
}

/** A count, size or duration; `undefined` where the record has none of that name. */
export function countIn({ fields }: OwnRecord, name: string): number | undefined {
  const value = fields[name];
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

export function textIn({ fields }: OwnRecord, name: string, maxChars: number = NAME_MAX_CHARS): string | undefined {
  const value = fields[name];
  return typeof value === "string" ? clip(value, maxChars) : undefined;
}

/** The seq of an event id `<epoch>-<seq>`. */
export function seqIn(record: OwnRecord, name: string): number | undefined {
  const [, seq] = EVENT_ID.exec(textIn(record, name) ?? "") ?? [];
  return seq === undefined ? undefined : Number(seq);
}

/** Of bounded length, also in UTF-8 and as JSON. */
function clip(text: string, maxChars: number): string {
  return text
    .slice(0, maxChars)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, "_");
}
