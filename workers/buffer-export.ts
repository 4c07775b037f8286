/**
 * An export as text: head, events with progress between them, end. One page is in memory at a time, and none is
 * asked for before the one before it has been taken.
 */
import { createHash } from "node:crypto";

import type { ExportPage, ExportPageCall, ExportScope } from "../protocol/buffer-call.ts";
import { EXPORT_VERSION, exportLine } from "../protocol/buffer-export.ts";

/** Events between two lines of progress. */
const PROGRESS_EVENTS = 1000;

export interface ExportedShard extends ExportScope {
  readonly index: number;
}

export type ReadPage = (index: number, call: ExportPageCall) => Promise<ExportPage>;

export async function* exportText(
  shards: readonly ExportedShard[],
  at: string,
  readPage: ReadPage,
): AsyncGenerator<string, void, undefined> {
  const of = shards.reduce((sum, { events }) => sum + events, 0);
  const names = shards.map(({ shard }) => shard);
  yield `${exportLine.head({ version: EXPORT_VERSION, shards: names, events: of, at })}\n`;
  const hash = createHash("sha256");
  let events = 0;
  let unreadableRows = 0;
  for (const { index, uptoSeq } of shards) {
    let afterSeq: number | undefined = 0;
    while (afterSeq !== undefined) {
      const page: ExportPage = await readPage(index, { afterSeq, uptoSeq });
      const sound = page.lines.length - page.unreadableRows;
      let text = "";
      for (const line of page.lines.slice(0, sound)) {
        text += `${line}\n`;
        hash.update(`${line}\n`);
        if (++events % PROGRESS_EVENTS === 0) text += `${exportLine.progress(events, of)}\n`;
      }
      for (const line of page.lines.slice(sound)) text += `${line}\n`;
      unreadableRows += page.unreadableRows;
      if (text !== "") yield text;
      afterSeq = page.nextAfterSeq;
    }
  }
  yield `${exportLine.end({ events, unreadable_rows: unreadableRows, sha256: hash.digest("hex") })}\n`;
}

/** A stream that is broken off where the text breaks off: whoever reads it finds no end then. */
export function streamOf(text: AsyncGenerator<string, void, undefined>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await text.next();
        if (done === true) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
      async cancel() {
        await text.return();
      },
    },
    { highWaterMark: 0 },
  );
}
