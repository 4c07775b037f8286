/**
 * How one append batch lies in its row: one line of JSON with the attributes of all events, then two
 * lines for each event, its data and its extensions, as they came. Neither is escaped or parsed again on
 * its way to the table.
 */
import { MICROS_PER_MS, type LakeEvent, type LakeRow } from "../../protocol/lake-event.ts";

/** Characters of one row. UTF-8 makes at most three bytes of each, and a row holds at most 2 MB (platform limit). */
const ROW_MAX_CHARS = 400_000;

type Attributes = readonly [
  id: string,
  source: string,
  type: string,
  subject: string | null,
  timeUs: number,
  requestId: string | null,
  tenant: string,
];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @param events their `data` and `extensions` without line breaks */
export function encodePayload(events: readonly LakeEvent[]): Uint8Array {
  const attributes = events.map(({ id, source, type, subject, timeUs, requestId, tenant }): Attributes => [
    id,
    source,
    type,
    subject ?? null,
    timeUs,
    requestId ?? null,
    tenant,
  ]);
  const lines = [JSON.stringify(attributes)];
  for (const { data, extensions } of events) lines.push(data ?? "", extensions ?? "");
  return encoder.encode(lines.join("\n"));
}

export interface PayloadOrigin {
  readonly firstSeq: number;
  readonly ingestTimeUs: number;
  readonly shard: string;
}

/** When a row was taken, as its events' `ingest_time`. */
export function ingestTimeUs(appendedAtMs: number): number {
  return appendedAtMs * MICROS_PER_MS;
}

/** @throws where the payload is not one of {@link encodePayload}'s */
export function decodePayload(payload: Uint8Array, origin: PayloadOrigin): LakeRow[] {
  const lines = decoder.decode(payload).split("\n");
  // Written by encodePayload; a row that a disk has damaged fails here or at its first use.
  const attributes = JSON.parse(lines[0] ?? "") as readonly Attributes[];
  if (lines.length !== 1 + 2 * attributes.length) throw new Error("an append row has lost lines");
  const { firstSeq, ingestTimeUs, shard } = origin;
  return attributes.map(([id, source, type, subject, timeUs, requestId, tenant], at) => ({
    id,
    source,
    type,
    subject: subject ?? undefined,
    timeUs,
    requestId: requestId ?? undefined,
    tenant,
    data: lines[1 + 2 * at] || undefined,
    extensions: lines[2 + 2 * at] || undefined,
    ingestTimeUs,
    shard,
    seq: firstSeq + at,
  }));
}

/** Splits events into runs that each fit a row. An event is at most about 1.1 MB itself. */
export function splitIntoRows(events: readonly LakeEvent[]): LakeEvent[][] {
  const rows: LakeEvent[][] = [];
  let current: LakeEvent[] = [];
  let chars = 0;
  for (const event of events) {
    const size = sizeInChars(event);
    if (current.length > 0 && chars + size > ROW_MAX_CHARS) {
      rows.push(current);
      current = [];
      chars = 0;
    }
    current.push(event);
    chars += size;
  }
  if (current.length > 0) rows.push(current);
  return rows;
}

const ATTRIBUTES_OVERHEAD_CHARS = 48;

/** Characters that an event takes in its row, near enough to plan by and rather too many. */
export function sizeInChars({ id, source, type, subject, requestId, tenant, data, extensions }: LakeEvent): number {
  const attributes =
    id.length + source.length + type.length + (subject?.length ?? 0) + (requestId?.length ?? 0) + tenant.length;
  return attributes + (data?.length ?? 0) + (extensions?.length ?? 0) + ATTRIBUTES_OVERHEAD_CHARS;
}
