/**
 * What a shard has buffered, page by page: bounded by memory, whatever the backlog. Changes nothing; between
 * two pages events may leave for the table, and those are then not on the next one.
 */
import type { ExportPage, ExportPageCall } from "../../protocol/buffer-call.ts";
import { exportLine } from "../../protocol/buffer-export.ts";
import { decodePayload, ingestTimeUs } from "./append-payload.ts";
import type { ShardStore } from "./shard-store.ts";

/** A page has at least one line, and no more than these. A line is at most about 2.5 MB. */
const PAGE_MAX_EVENTS = 500;
const PAGE_MAX_CHARS = 1024 * 1024;

export function readPage(store: ShardStore, shard: string, { afterSeq, uptoSeq }: ExportPageCall): ExportPage {
  const lines: string[] = [];
  let chars = 0;
  let fromSeq = afterSeq + 1;
  for (;;) {
    const stored = store.nextPayload(fromSeq, uptoSeq);
    if (stored === undefined) return { lines, unreadableRows: 0, nextAfterSeq: undefined };
    const { firstSeq, eventCount, payload, appendedAtMs } = stored;
    const lastSeq = firstSeq + eventCount - 1;
    const origin = { firstSeq, shard, ingestTimeUs: ingestTimeUs(appendedAtMs) };
    const found = linesOf(payload, origin, fromSeq);
    if (found === undefined) {
      const text = new TextDecoder().decode(payload);
      lines.push(exportLine.unreadable({ shard, seq: firstSeq, events: eventCount, text }));
      return { lines, unreadableRows: 1, nextAfterSeq: lastSeq };
    }
    for (const [at, line] of found.entries()) {
      const isOver = chars + line.length > PAGE_MAX_CHARS || lines.length >= PAGE_MAX_EVENTS;
      if (lines.length > 0 && isOver) {
        return { lines, unreadableRows: 0, nextAfterSeq: Math.max(fromSeq, firstSeq) + at - 1 };
      }
      lines.push(line);
      chars += line.length;
    }
    fromSeq = lastSeq + 1;
  }
}

/** No more lines of the row than decide where the page ends; `undefined` of a row that cannot be read. */
function linesOf(
  payload: Uint8Array,
  origin: Parameters<typeof decodePayload>[1],
  fromSeq: number,
): string[] | undefined {
  try {
    const rows = decodePayload(payload, origin).filter(({ seq }) => seq >= fromSeq);
    return rows.slice(0, PAGE_MAX_EVENTS + 1).map(exportLine.event);
  } catch {
    // A disk has damaged it: as at a flush, it must not hold up what comes behind it.
    return undefined;
  }
}
