/**
 * What relief costs and comes to, whatever the events are like: folds stay few, work stays in proportion, and
 * nothing that is to save bytes costs more of them.
 */
import { describe, expect, it, test } from "vitest";

import type { PressureRelief } from "../../durable-objects/stream/pressure-relief.ts";
import type { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { add, event, makeBuffer, NOW_MS } from "../simulation/buffer-harness.ts";

function delta(content: string, choice = 0, more: object = {}) {
  return event(
    JSON.stringify({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      choices: [{ index: choice, delta: { content }, ...more, finish_reason: null }],
    }),
  );
}

function lookedBytes(buffer: StreamBuffer): number {
  return (Reflect.get(buffer, "relief") as PressureRelief).lookedBytes;
}

describe("what folds stays whole", () => {
  it.each([
    [4, 1, 2000],
    [16, 1, 6000],
    [16, 3, 6000],
    [64, 1, 20_000],
    [256, 1, 60_000],
    [256, 7, 60_000],
  ])("in a buffer of %i events, %i a turn, %i of them", (maxEvents, perTurn, events) => {
    const { buffer } = makeBuffer({ maxEvents, maxBytes: 4_000_000, relief: { fold: "openai" } });
    let sentBytes = 0;
    for (let at = 0; at < events; at += perTurn) {
      const turn = Array.from({ length: perTurn }, (_, n) => delta(`w${at + n} `));
      sentBytes += turn.reduce((sum, { data }) => sum + data.length, 0);
      add(buffer, turn);
      if (at % 100 < perTurn) buffer.flush(NOW_MS);
    }
    expect(buffer.trimmedEvents).toBe(0);
    expect(lookedBytes(buffer)).toBeLessThan(sentBytes * (maxEvents < 16 ? 16 : 4));
  });
});

it("what cannot fold is not read again for every event that comes", () => {
  const { buffer } = makeBuffer({ maxEvents: 256, relief: { fold: "openai" } });
  let sentBytes = 0;
  for (let at = 0; at < 5000; at++) {
    const unfoldable = delta(`w${at} `, 0, { logprobs: { content: [at] } });
    sentBytes += unfoldable.data.length;
    add(buffer, [unfoldable]);
    if (at % 100 === 99) buffer.flush(NOW_MS);
  }
  expect(lookedBytes(buffer)).toBeLessThan(sentBytes * 4);
});

test.each([1, 8, 32, 64, 128])("folding %i choices that take turns makes the buffer no larger", (choices) => {
  const plain = makeBuffer({});
  const { buffer } = makeBuffer({ relief: { fold: "openai" } });
  for (let at = 0; at < 4000; at += 8) {
    const turn = Array.from({ length: 8 }, (_, n) => delta("word ", (at + n) % choices));
    add(plain.buffer, turn);
    add(buffer, turn);
  }
  buffer.flush(NOW_MS);
  while (buffer.foldFurther(NOW_MS));
  expect(buffer.retainedBytes).toBeLessThan(plain.buffer.retainedBytes / 2);
});

test("events that append nothing cost next to nothing, and no row grows without end", () => {
  const { buffer } = makeBuffer({ maxEvents: 256, relief: { fold: "openai" } });
  for (let at = 0; at < 40_000; at += 64)
    add(
      buffer,
      Array.from({ length: 64 }, () => delta("")),
    );
  expect(buffer.trimmedEvents).toBe(0);
  for (let seq = 1; seq <= buffer.lastSeq;) {
    const segment = buffer.segmentAt(seq);
    if (segment === undefined) throw new Error(`${seq} is not retained`);
    expect(segment.byteSize).toBeLessThanOrEqual(2 * SEGMENT_MAX_BYTES);
    seq = segment.lastSeq + 1;
  }
});

test("payloads that would not become smaller are left as they are", () => {
  const { buffer, changes } = makeBuffer({ maxBytes: 40_000, relief: { trimPaths: ["$.debug"] } });
  for (let at = 0; at < 2000; at += 20) {
    add(
      buffer,
      Array.from({ length: 20 }, () => event('{"t":"x","debug":[1,2]}')),
    );
    buffer.flush(NOW_MS);
  }
  expect(changes).toEqual([]);
});

test("a row that storage lost takes no other segment with it", () => {
  const { buffer, storage, refuse } = makeBuffer();
  for (const name of ["stage", "result", "stage", "result"]) add(buffer, [event("x", name)]);
  buffer.flush(NOW_MS);
  storage.port.exec("DELETE FROM segment WHERE first_seq = 2");
  const lost = buffer.segmentAt(2);
  if (lost === undefined) throw new Error("not retained");
  expect(buffer.reading.from(lost, 2)).toBeUndefined();
  refuse(undefined);

  add(buffer, [event("kept", "stage")]);
  buffer.flush(NOW_MS);
  const kept = buffer.segmentAt(5);
  if (kept === undefined) throw new Error("not retained");
  expect(kept.isStored).toBe(true);
  expect(new TextDecoder().decode(buffer.reading.from(kept, 5)?.bytes)).toContain("data: kept");
});
