/**
 * Rows as storage and the archive hold them: read, they are what was written; damaged, they are refused and
 * never read as something else.
 */
import * as fc from "fast-check";

import { decodePayload, encodePayload } from "../../durable-objects/analytics/append-payload.ts";
import { createFolder, type StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import {
  decodeArchive,
  encodeArchive,
  packSegment,
  UnreadableArchiveError,
  type ArchivedStream,
} from "../../durable-objects/stream/archive-file.ts";
import { deflateRow, framesOf, inflate, packFrames } from "../../durable-objects/stream/segment-payload.ts";
import { newRecord, rowOf, type SegmentRow } from "../../durable-objects/stream/stream-store.ts";
import type { LakeEvent, LakeRow } from "../../protocol/lake-event.ts";
import { NO_RELIEF } from "../../protocol/relief.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import { framesOf as framesFor } from "../fixtures/folded-reading.ts";
import { claim, fuzz, requireTagged } from "./fuzzing.ts";
import { mutated } from "./mutations.ts";

const ORIGIN = { firstSeq: 5, ingestTimeUs: 7_000, shard: "0-abcdef12" };
const text = fc.string({ unit: "binary", maxLength: 20 }).map((raw) => raw.toWellFormed());
const oneLine = fc
  .oneof(fc.json({ maxDepth: 2 }), fc.constantFrom("7", '"水🌊"'))
  .filter((json) => !json.includes("\n"));
const event: fc.Arbitrary<LakeEvent> = fc.record({
  id: text,
  source: text,
  type: text,
  subject: fc.option(text, { nil: undefined }),
  timeUs: fc.nat(),
  requestId: fc.option(text, { nil: undefined }),
  tenant: text,
  data: fc.option(oneLine, { nil: undefined }),
  extensions: fc.option(oneLine, { nil: undefined }),
});
const batches = fc.array(event, { minLength: 1, maxLength: 5 });

type PassRows = (events: readonly LakeEvent[]) => readonly LakeRow[];
const passRows: PassRows = (events) => decodePayload(encodePayload(events), ORIGIN);

fuzz<readonly LakeEvent[], PassRows>({
  name: "append rows",
  inputs: batches,
  subject: passRows,
  holds: (events, pass) =>
    claim(pass(events)).toEqual(
      events.map((one, at) => ({ ...one, ingestTimeUs: 7_000, shard: ORIGIN.shard, seq: ORIGIN.firstSeq + at })),
    ),
  faults: {
    "data and extensions change places": (events) =>
      passRows(events.map((one) => ({ ...one, data: one.extensions, extensions: one.data }))),
    "seqs begin too late": (events) => passRows(events).map((row) => ({ ...row, seq: row.seq + 1 })),
  },
});

type ReadRows = (payload: Uint8Array) => readonly LakeRow[];
const readRows: ReadRows = (payload) => decodePayload(payload, ORIGIN);

fuzz<Uint8Array, ReadRows>({
  name: "append rows, damaged",
  inputs: mutated(batches.map(encodePayload)).map(({ bytes }) => bytes),
  subject: readRows,
  holds: (payload, read) => {
    let rows: readonly LakeRow[];
    try {
      rows = read(payload);
    } catch (error) {
      // Any of the runtime's own: the flush makes a dead letter of the row.
      return requireTagged(error, Error);
    }
    // Two lines for each event: none can be made out of nothing.
    claim(rows.length * 2 + 1).toBe(new TextDecoder().decode(payload).split("\n").length);
    claim(rows.map(({ seq }) => seq)).toEqual(rows.map((_, at) => ORIGIN.firstSeq + at));
  },
  faults: {
    "lost lines are filled up": (payload) => [...readRows(payload), ...readRows(payload)],
    "a row is cut short": (payload) => readRows(payload).slice(1),
  },
});

const folder = createFolder("text");
const frames = fc
  .array(fc.record({ event: fc.constantFrom(undefined, "token"), data: text.map((raw) => raw.replaceAll("\r", "")) }), {
    minLength: 1,
    maxLength: 20,
  })
  .chain((events) => fc.boolean().map((isFolded) => (isFolded ? folder.fold(framesFor(events)) : framesFor(events))));

type PassFrames = (given: readonly StoredFrame[], isDeflated: boolean) => readonly StoredFrame[];

function segmentOf(given: readonly StoredFrame[]) {
  const segment = packFrames(given, 1);
  if (segment === undefined) throw new Error("there are frames");
  return segment;
}

const passFrames: PassFrames = (given, isDeflated) => {
  const segment = segmentOf(given);
  const row = rowOf(segment);
  const packed = isDeflated ? deflateRow(row, 1) : undefined;
  const bytes = packed === undefined ? row.payload : inflate(packed.payload);
  return framesOf(segment, bytes, (packed ?? row).folds);
};

fuzz<{ readonly given: readonly StoredFrame[]; readonly isDeflated: boolean }, PassFrames>({
  name: "segment rows",
  inputs: fc.record({ given: frames, isDeflated: fc.boolean() }),
  subject: passFrames,
  holds: ({ given, isDeflated }, pass) => {
    const seen = pass(given, isDeflated);
    claim(seen.map(({ firstSeq, lastSeq, text: frame }) => [firstSeq, lastSeq, frame])).toEqual(
      given.map(({ firstSeq, lastSeq, text: frame }) => [firstSeq, lastSeq, frame]),
    );
    claim(seen.map(({ steps }) => steps)).toEqual(given.map(({ steps }) => steps));
  },
  faults: {
    "how folds were made is forgotten": (given, isDeflated) =>
      passFrames(given, isDeflated).map(({ firstSeq, lastSeq, text: frame }) => ({ firstSeq, lastSeq, text: frame })),
    "a frame is lost": (given, isDeflated) => passFrames(given, isDeflated).slice(1),
  },
});

const record = newRecord(
  {
    identity: { requestId: "r", route: "x", tenant: "", correlationId: undefined, fingerprint: undefined },
    // Written and read as it is.
    settings: { bufferMaxEvents: 7 } as StreamSettings,
    hasControlEvents: true,
    priorityRules: [],
    relief: NO_RELIEF,
  },
  1,
);
const rows = frames.map((given): readonly SegmentRow[] => [rowOf(segmentOf(given))]);

type ReadArchive = (file: Uint8Array) => ArchivedStream;

fuzz<{ valid: Uint8Array; bytes: Uint8Array }, ReadArchive>({
  name: "archived streams",
  inputs: fc.oneof(
    mutated(rows.map((given) => encodeArchive(record, given.map(packSegment)))),
    rows.map((given) => encodeArchive(record, given.map(packSegment))).map((valid) => ({ valid, bytes: valid })),
  ),
  subject: decodeArchive,
  holds: ({ valid, bytes }, decode) => {
    const isWhole = Buffer.compare(valid, bytes) === 0;
    let read: ArchivedStream;
    try {
      read = decode(bytes);
    } catch (error) {
      claim(isWhole).toBe(false);
      return requireTagged(error, UnreadableArchiveError);
    }
    claim(JSON.stringify(read.record)).toBe(JSON.stringify(record));
    claim(read.rows.map(({ firstSeq, wireBytes }) => [firstSeq, wireBytes])).toEqual(
      decodeArchive(valid).rows.map(({ firstSeq, wireBytes }) => [firstSeq, wireBytes]),
    );
  },
  faults: {
    "an archive that is damaged is a SyntaxError": (file) => {
      try {
        return decodeArchive(file);
      } catch {
        throw new SyntaxError("unexpected token");
      }
    },
    "damage is not looked for": (file) => {
      try {
        return decodeArchive(file);
      } catch {
        return { record, rows: [] };
      }
    },
  },
});
