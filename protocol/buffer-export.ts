/**
 * Exported events as lines of JSON: what an export, the copies that a reset and a purge make, and a replay have
 * in common. Writing only: what a replay is given is read, and doubted, at the edge.
 *
 * A section begins with its `export` line, ends with its `end` line, and has one line for each event between
 * them. The digest of a section is over its event lines, each with its line feed.
 */
import { timeTextOf, type LakeRow } from "./lake-event.ts";

export const EXPORT_VERSION = 1;

/** An event as operators see it: `null` for what it has not; `data` and `extensions` are JSON as text. */
export interface ExportedEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | null;
  /** RFC 3339, with microseconds. */
  readonly time: string;
  readonly request_id: string | null;
  readonly tenant: string;
  readonly data: string | null;
  readonly extensions: string | null;
  readonly ingest_time: string;
}

export interface ExportHead {
  readonly version: number;
  /** Names of the shards' lives. */
  readonly shards: readonly string[];
  /** Buffered when the export began; a flush meanwhile takes some of them to the table instead. */
  readonly events: number;
  readonly at: string;
}

export interface ExportEnd {
  /** Event lines of the section. */
  readonly events: number;
  /** Rows that could not be read: each is a line of its own, and in no digest. */
  readonly unreadable_rows: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export function exportedEvent(row: LakeRow): ExportedEvent {
  return {
    id: row.id,
    source: row.source,
    type: row.type,
    subject: row.subject ?? null,
    time: timeTextOf(row.timeUs),
    request_id: row.requestId ?? null,
    tenant: row.tenant,
    data: row.data ?? null,
    extensions: row.extensions ?? null,
    ingest_time: timeTextOf(row.ingestTimeUs),
  };
}

/** Lines without their line feed. */
export const exportLine = {
  head: (head: ExportHead) => JSON.stringify({ export: head }),
  event: (row: LakeRow) => JSON.stringify({ shard: row.shard, seq: row.seq, event: exportedEvent(row) }),
  /** A damaged row, as far as it is text. */
  unreadable: (row: { readonly shard: string; readonly seq: number; readonly events: number; readonly text: string }) =>
    JSON.stringify({ unreadable: row }),
  progress: (events: number, of: number) => JSON.stringify({ progress: { events, of } }),
  end: (end: ExportEnd) => JSON.stringify({ end }),
} as const;
