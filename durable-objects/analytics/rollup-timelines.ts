/**
 * What was told of each of the streams heard of last, in memory only: the table has all of it. Pure.
 */
import { ROLLUP_LIMITS, type TimelineEntry } from "../../protocol/rollup.ts";
import type { OwnRecord } from "./rollup-record.ts";

/** Of an entry's fields as JSON; ours have a few hundred. */
const FIELDS_MAX_CHARS = 1000;

interface Entry {
  readonly atMs: number;
  readonly event: string;
  /** As JSON, which takes least. */
  readonly fields: string;
}

export class RollupTimelines {
  /** The one heard of last at the end. */
  private readonly streams = new Map<string, Entry[]>();

  note({ requestId, atMs, event, fields }: OwnRecord): void {
    if (requestId === undefined) return;
    const entries = this.streams.get(requestId) ?? [];
    this.streams.delete(requestId);
    this.streams.set(requestId, entries);
    const json = JSON.stringify(fields);
    entries.push({ atMs, event, fields: json.length > FIELDS_MAX_CHARS ? "{}" : json });
    if (entries.length > ROLLUP_LIMITS.timelineEntries) entries.shift();
    const [oldest] = this.streams.keys();
    if (this.streams.size > ROLLUP_LIMITS.timelines && oldest !== undefined) this.streams.delete(oldest);
  }

  /** The earliest first. */
  get(requestId: string): TimelineEntry[] {
    return (this.streams.get(requestId) ?? []).map(({ atMs, event, fields }) => ({
      atMs,
      event,
      // Written above.
      fields: JSON.parse(fields) as TimelineEntry["fields"],
    }));
  }
}
