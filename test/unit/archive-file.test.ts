/**
 * The archive's files: what was retained comes back byte for byte, from any position; what is not whole, or
 * not ours, is refused; what had given way is not in them.
 */
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import {
  decodeArchive,
  encodeArchive,
  UnreadableArchiveError,
  type PackedSegment,
} from "../../durable-objects/stream/archive-file.ts";
import { Archiving } from "../../durable-objects/stream/archiving.ts";
import { createClassifier } from "../../durable-objects/stream/classify.ts";
import { inflate, isDeflated } from "../../durable-objects/stream/segment-payload.ts";
import { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { StreamStore, type StreamRecord } from "../../durable-objects/stream/stream-store.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { add, event, makeBuffer, NOW_MS, readFrom } from "../simulation/buffer-harness.ts";
import { SimStorage } from "../simulation/sim-storage.ts";

const FOLD = { paths: ["$.delta"] };
const LF = 10;
const NOTHING = () => {};

function delta(text: string): SourceEvent {
  return event(JSON.stringify({ id: "chatcmpl-1", delta: text, model: "of-the-test" }));
}

function pack(buffer: StreamBuffer, record: StreamRecord): PackedSegment[] {
  const archiving = new Archiving({ record, buffer, random: () => 0.5 });
  while (archiving.foldFurther(NOW_MS));
  const packed: PackedSegment[] = [];
  for (;;) {
    const next = archiving.segmentFrom((packed.at(-1)?.facts.lastSeq ?? 0) + 1);
    if (next === undefined) return packed;
    packed.push(next);
  }
}

/** As the object does it: with how far the ids go, also where the last events have given way. */
function archive(buffer: StreamBuffer, record: StreamRecord): Uint8Array {
  const segments = pack(buffer, record);
  return encodeArchive({ ...record, durableSeq: buffer.lastSeq }, segments);
}

function bringBack(file: Uint8Array): { buffer: StreamBuffer; record: StreamRecord } {
  const { record, rows } = decodeArchive(file);
  const store = new StreamStore(new SimStorage().port);
  store.create(record, rows);
  const classify = createClassifier([]);
  const deps = { store, record, classify, onTrim: NOTHING, onRelief: NOTHING, onDegraded: NOTHING };
  const stored = store.load();
  if (stored === undefined) throw new Error("nothing is stored");
  return { buffer: new StreamBuffer(deps, stored.segments), record };
}

const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom("", "\ud83d", "\ude00", '"\\', "水🌊") },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom("a", "水"), fc.nat(30_000)).map(([unit, times]) => unit.repeat(times)),
  },
);
const sourceEvent: fc.Arbitrary<SourceEvent> = fc.oneof(
  { weight: 6, arbitrary: text.map(delta) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom("debug", "token", undefined, "result", "stage"), text)
      .map(([name, data]) => event(data.replaceAll("\r", ""), name)),
  },
);
const shape = fc.record({
  batches: fc.array(
    fc.record({
      events: fc.array(sourceEvent, { minLength: 1, maxLength: 25 }),
      flushes: fc.boolean(),
      restarts: fc.boolean(),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  maxEvents: fc.constantFrom(3, 20, 10_000),
  maxBytes: fc.constantFrom(70_000, 140_000, 4_000_000),
  folds: fc.boolean(),
  compresses: fc.boolean(),
});
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never;

function fill({ batches, maxEvents, maxBytes, folds, compresses }: Shape) {
  const relief = { fold: folds ? FOLD : undefined, compresses };
  const { buffer, record } = makeBuffer({ maxEvents, maxBytes, relief });
  for (const { events, flushes, restarts } of batches) {
    const { epoch = 1, firstSeq = 1 } = record.epochs.at(-1) ?? {};
    if (restarts && buffer.lastSeq >= firstSeq) {
      record.epochs = [...record.epochs, { epoch: epoch + 1, firstSeq: buffer.lastSeq + 1 }];
    }
    add(buffer, events);
    while (buffer.hasReliefToDo) buffer.relieve(NOW_MS);
    if (flushes) buffer.flush(NOW_MS);
  }
  return { buffer, record };
}

describe("round trip", () => {
  it("gives every retained event back, byte for byte, from every position, within its limits, under its id", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const { buffer, record } = fill(given);
        const file = archive(buffer, record);
        const back = bringBack(file);
        expect(back.buffer.lastSeq).toBe(buffer.lastSeq);
        expect(back.buffer.retainedEvents).toBe(buffer.retainedEvents);
        expect(back.buffer.trimmedEvents).toBe(buffer.trimmedEvents);
        expect(back.buffer.firstSeq).toBe(buffer.firstSeq);
        for (let seq = 1; seq <= buffer.lastSeq + 1; seq++) {
          expect(readFrom(back.buffer, seq)).toBe(readFrom(buffer, seq));
          expect(back.buffer.idOf(seq - 1)).toEqual(buffer.idOf(seq - 1));
        }
        expect(JSON.stringify(back.record)).toBe(JSON.stringify({ ...record, durableSeq: buffer.lastSeq }));
      }),
      { seed: 41, numRuns: 150 },
    );
  });

  it("says the same each time: the same file of the same stream, also of one that came from a file", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const { buffer, record } = fill(given);
        const file = archive(buffer, record);
        expect(Buffer.compare(archive(buffer, record), file)).toBe(0);
        const back = bringBack(file);
        expect(Buffer.compare(archive(back.buffer, back.record), file)).toBe(0);
      }),
      { seed: 42, numRuns: 60 },
    );
  });

  test("an event of more than a segment lies plain in its row, as readers are sent it slice by slice", () => {
    const { buffer, record } = makeBuffer();
    add(buffer, [event("before"), event("水".repeat(60_000)), event("after")]);
    const file = archive(buffer, record);
    expect(file.byteLength).toBeLessThan(3000);
    const large = decodeArchive(file).rows.find(({ wireBytes }) => wireBytes > SEGMENT_MAX_BYTES);
    expect(large).toMatchObject({ firstSeq: 2, lastSeq: 2, encoding: "plain" });
    expect(large?.payload.byteLength).toBe(large?.wireBytes);
    expect(readFrom(bringBack(file).buffer, 1)).toBe(readFrom(buffer, 1));
  });

  test("a chat of 20,000 tokens is folded and deflated to a few hundredths", () => {
    const { buffer, record } = makeBuffer({ maxEvents: 30_000, maxBytes: 8_000_000, relief: { fold: FOLD } });
    const tokens = Array.from({ length: 20_000 }, (_, at) => ` word${at % 997}`);
    for (let at = 0; at < tokens.length; at += 50) add(buffer, tokens.slice(at, at + 50).map(delta));
    const file = archive(buffer, record);
    const { rows } = decodeArchive(file);
    expect(rows.every(({ encoding }) => encoding === "folded+deflate")).toBe(true);
    const whole = readFrom(bringBack(file).buffer, 1);
    const said = whole.matchAll(/^data: (.*)$/gm).map(([, data = ""]) => (JSON.parse(data) as { delta: string }).delta);
    expect([...said].join("")).toBe(tokens.join(""));
    expect(file.byteLength).toBeLessThan(0.03 * 20_000 * delta(" word500").data.length);
  });
});

test("what had given way is not in the file, not even where its segment is", () => {
  const { buffer, record } = makeBuffer({ maxEvents: 4 });
  add(
    buffer,
    Array.from({ length: 10 }, (_, at) => event(`secret-${at + 1};`)),
  );
  expect(buffer.segmentAt(1)).toMatchObject({ firstSeq: 1, floorSeq: 7 });
  const { rows } = decodeArchive(archive(buffer, record));
  const lying = rows.map(({ payload, encoding }) =>
    new TextDecoder().decode(isDeflated(encoding) ? inflate(payload) : payload),
  );
  expect(lying.join("").match(/secret-\d+;/g)).toEqual(["secret-7;", "secret-8;", "secret-9;", "secret-10;"]);
  expect(rows).toMatchObject([{ firstSeq: 7, lastSeq: 10, eventCount: 4 }]);
});

const REFUSAL =
  /^(?:not an archived stream|an archived stream (?:of an unknown version|that is damaged or cut short))$/;

/** Why these bytes are refused; "read" where they are not. */
function refusalOf(bytes: Uint8Array): string {
  try {
    decodeArchive(bytes);
    return "read";
  } catch (error) {
    return error instanceof UnreadableArchiveError ? error.message : `thrown: ${String(error)}`;
  }
}

/** What a first line says, but for white space and the case of digits, which say nothing. */
function labelOf(bytes: Uint8Array): string | undefined {
  try {
    const label: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(LF))));
    return JSON.stringify(label).toLowerCase();
  } catch {
    return undefined;
  }
}

describe("is refused, and nothing of it is repeated", () => {
  const { buffer, record } = makeBuffer({ relief: { fold: FOLD } });
  add(buffer, [...Array.from({ length: 30 }, (_, at) => delta(`private-${at}`)), event("plain".repeat(4000), "stage")]);
  const file = archive(buffer, record);

  it("cut short anywhere", () => {
    for (let length = 0; length < file.byteLength; length++) {
      expect(refusalOf(file.subarray(0, length))).toMatch(REFUSAL);
    }
  });

  it("with any byte changed, or with some more of them", () => {
    fc.assert(
      fc.property(fc.nat(file.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = file.slice();
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        fc.pre(at >= file.indexOf(LF) || labelOf(damaged) !== labelOf(file));
        expect(refusalOf(damaged)).toMatch(REFUSAL);
      }),
      { seed: 43, numRuns: 2000 },
    );
    expect(refusalOf(Uint8Array.from([...file, 0]))).toMatch(REFUSAL);
  });

  it.each(["", "\n", "{}\n", "null\n{}", "[1]\n", "PAR1\0\0\0\n", '{"format":"iceberg","version":1}\n'])(
    "something else: %j",
    (foreign) => expect(refusalOf(new TextEncoder().encode(foreign))).toBe("not an archived stream"),
  );

  it("a version that this code does not know", () => {
    const newer = new TextEncoder().encode(
      new TextDecoder("latin1").decode(file.subarray(0, 80)).replace('"version":1', '"version":2'),
    );
    expect(() => decodeArchive(newer)).toThrow("of an unknown version");
  });
});
