/**
 * What readers are sent, read by a client's parser, is what came in, under the ids it was given.
 */
import { createParser } from "eventsource-parser";
import * as fc from "fast-check";

import { frameEvents, type FramedPiece } from "../../durable-objects/stream/framing.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { Priority } from "../../protocol/priority.ts";
import { readFrame, skipFramesThrough, splitFrames, type SourceEvent } from "../../protocol/sse-frame.ts";
import { claim, fuzz } from "./fuzzing.ts";

interface Batch {
  readonly events: readonly SourceEvent[];
  readonly firstSeq: number;
  readonly priorities: readonly Priority[];
}

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "",
    "\n",
    "\n\n",
    "data: x\n\nevent: end",
    "id: 9-9",
    ": comment",
    "\uFEFF",
    " led",
    "水".repeat(6000),
  ),
);
const event: fc.Arbitrary<SourceEvent> = fc.record({
  event: fc.option(fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).map(oneLine), { nil: undefined }),
  // As the parser of sources hands it over: whole characters, and no CR.
  data: text.map((raw) => raw.toWellFormed().replaceAll("\r", "")),
  retryMs: fc.option(fc.nat(), { nil: undefined, freq: 8 }),
});

function oneLine(name: string): string | undefined {
  const kept = name.toWellFormed().replaceAll(/[\r\n]/g, "");
  return kept === "" ? undefined : kept;
}

type Frame = (batch: Batch) => readonly FramedPiece[];
const frame: Frame = ({ events, firstSeq, priorities }) => {
  let at = 0;
  const classify = () => priorities[at++ % priorities.length] ?? 1;
  return frameEvents(events, { epoch: 3, firstSeq, classify, keeps: () => true });
};

fuzz<Batch, Frame>({
  name: "framing",
  inputs: fc.record({
    events: fc.array(event, { maxLength: 12 }),
    firstSeq: fc.oneof(fc.constantFrom(1, 9, 99, 10 ** 14), fc.integer({ min: 1, max: 10 ** 6 })),
    priorities: fc.array(fc.constantFrom<Priority>(0, 1, 2, 3), { minLength: 1, maxLength: 4 }),
  }),
  subject: frame,
  holds: (batch, frameIt) => {
    const pieces = frameIt(batch);
    const bytes = new Uint8Array(Buffer.concat(pieces.map((piece) => piece.bytes)));
    const seen: { id: string | undefined; event: string | undefined; data: string }[] = [];
    const parser = createParser({ onEvent: ({ id, event, data }) => seen.push({ id, event, data }) });
    parser.feed(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
    const { events, firstSeq } = batch;
    claim(seen).toEqual(events.map(({ event, data }, at) => ({ id: `3-${firstSeq + at}`, event, data })));
    let nextSeq = firstSeq;
    for (const piece of pieces) {
      claim(piece.firstSeq).toBe(nextSeq);
      nextSeq = piece.lastSeq + 1;
      if (piece.firstSeq !== piece.lastSeq) claim(piece.bytes.byteLength).toBeLessThanOrEqual(SEGMENT_MAX_BYTES);
    }
    const frames = splitFrames(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)).map(readFrame);
    claim(frames.map(({ event, data, retryMs }) => ({ event, data, retryMs }))).toEqual(events);
    for (const [at] of events.entries()) {
      const rest = skipFramesThrough(bytes, firstSeq + at);
      claim(splitFrames(new TextDecoder("utf-8", { ignoreBOM: true }).decode(rest))).toHaveLength(
        events.length - at - 1,
      );
    }
  },
  faults: {
    "data is one line": (batch) =>
      frame({ ...batch, events: batch.events.map((one) => ({ ...one, data: one.data.replaceAll("\n", " ") })) }),
    "an id is skipped": (batch) => frame({ ...batch, firstSeq: batch.firstSeq + 1 }),
    "the last byte of a piece is lost": (batch) =>
      frame(batch).map((piece) => ({ ...piece, bytes: piece.bytes.slice(0, -1) })),
  },
});
