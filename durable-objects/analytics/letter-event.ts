/**
 * What a dead letter holds: the event as it was about to be delivered, or whatever was left of a damaged row.
 * Pure.
 */
import type { ListedLetter } from "../../protocol/buffer-call.ts";
import { exportedEvent } from "../../protocol/buffer-export.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import type { DeadLetter } from "./dead-letter-store.ts";

/** The event of a letter; `undefined` of one that no event can be made of. */
export function readLetterRow(text: string): LakeRow | undefined {
  const row = parseObject(text);
  if (row === undefined) return undefined;
  const { id, source, type, subject, timeUs, requestId, tenant, data, extensions, ingestTimeUs, shard, seq } = row;
  const isWhole =
    isText(id) &&
    isText(source) &&
    isText(type) &&
    isText(tenant) &&
    isText(shard) &&
    isTime(timeUs) &&
    isTime(ingestTimeUs) &&
    typeof seq === "number";
  if (!isWhole) return undefined;
  return {
    id,
    source,
    type,
    subject: textOrNothing(subject),
    timeUs,
    requestId: textOrNothing(requestId),
    tenant,
    data: textOrNothing(data),
    extensions: textOrNothing(extensions),
    ingestTimeUs,
    shard,
    seq,
  };
}

export function listedLetter({ letterId, event, reason, attempts, atMs }: DeadLetter): ListedLetter {
  const row = readLetterRow(event);
  return {
    letter_id: letterId,
    reason,
    attempts,
    at: new Date(atMs).toISOString(),
    event: row === undefined ? null : exportedEvent(row),
    text: row === undefined ? event : null,
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // Members are checked one by one.
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    // What was left of a damaged row is no JSON.
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** Microseconds that a date can be made of. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= 8_640_000_000_000_000;
}

function textOrNothing(value: unknown): string | undefined {
  return isText(value) ? value : undefined;
}
