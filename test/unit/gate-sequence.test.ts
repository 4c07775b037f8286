/** What counts as the whole stream, and the numbers that sources give their events. */
import { expect, test } from "vitest";

import { benchDialect, demoDialect } from "../../bench/gate/dialect.ts";
import { BUFFER_EVENTS, chooseCuts, chooseScript } from "../../bench/gate/load.ts";
import { faultText, Sequence } from "../../bench/gate/sequence.ts";
import { sourceFrame } from "../../bench/lib/source-script.ts";
import { createRandom } from "../fixtures/process-random.ts";

function after(count: number, events = 10): Sequence {
  const sequence = new Sequence(events);
  for (let number = 1; number <= count; number++) sequence.take(number, `1-${number}`);
  return sequence;
}

test("numbers from 1 to the last, then complete: the whole stream", () => {
  const sequence = after(10);
  expect(sequence.received).toBe(10);
  expect(sequence.end("complete")).toBeUndefined();
});

test("a hole, a repetition and other data are faults", () => {
  expect(after(3).take(5, "1-5")).toEqual({ kind: "lost", expected: 4, found: 5 });
  expect(after(3).take(3, "1-3")).toEqual({ kind: "repeated", expected: 4, found: 3 });
  expect(after(0).take(2, "1-2")).toEqual({ kind: "lost", expected: 1, found: 2 });
  expect(after(3).take(undefined, "1-4")).toEqual({ kind: "garbled", expected: 4 });
});

test("ids only grow, also over epochs", () => {
  expect(after(3).take(4, "1-3")).toEqual({ kind: "id_out_of_order", before: "1-3", found: "1-3" });
  expect(after(3).take(4, "0-9")).toMatchObject({ kind: "id_out_of_order" });
  expect(after(3).take(4, "")).toMatchObject({ kind: "id_out_of_order" });
  expect(after(3).take(4, "2-1")).toBeUndefined();
});

test("an end that comes early, or says something else than complete, is a fault", () => {
  expect(after(9).end("complete")).toEqual({ kind: "ended_early", events: 10, received: 9 });
  expect(after(10).end("interrupted")).toEqual({ kind: "not_complete", status: "interrupted" });
});

test("each fault says what it is", () => {
  expect(faultText({ kind: "gap_told", missing: 3 })).toBe("a gap of 3 events");
  expect(faultText({ kind: "lost", expected: 4, found: 5 })).toContain("event 5 where 4 was due");
});

test("the benchmark's source: number and every byte of the padding", () => {
  const script = { events: 5, rate: 20, bytes: 60 };
  const frame = sourceFrame({ ...script, batch: 1, isHeld: false }, 4, 123_456);
  const data = frame.slice("data: ".length).trimEnd();
  expect(benchDialect.numberOf("message", data, script)).toBe(4);
  expect(benchDialect.numberOf("message", data.replace("x", "y"), script)).toBeUndefined();
  expect(benchDialect.numberOf("message", data.slice(0, -1), script)).toBeUndefined();
  expect(benchDialect.numberOf("message", "", script)).toBeUndefined();
});

test("an event of another stream under the right number is none of this one", () => {
  const script = { events: 5, rate: 20, bytes: 60, mark: "s7" };
  const dataOf = (mark: string) =>
    sourceFrame({ ...script, mark, batch: 1, isHeld: false }, 4, 123_456)
      .slice("data: ".length)
      .trimEnd();
  expect(dataOf("s7")).toHaveLength(60);
  expect(benchDialect.numberOf("message", dataOf("s7"), script)).toBe(4);
  expect(benchDialect.numberOf("message", dataOf("s8"), script)).toBeUndefined();
  expect(benchDialect.numberOf("message", dataOf("s7"), { events: 5, rate: 20, bytes: 60 })).toBeUndefined();
  expect(new URLSearchParams(benchDialect.startQuery(script)).get("mark")).toBe("s7");
});

test("one stream in five overflows its buffer, and is cut when it has; its reader is in time even after a second", () => {
  const random = createRandom(3);
  for (let turn = 0; turn < 200; turn++) {
    const script = chooseScript({ rate: 20 }, random, true);
    expect(script.events).toBeGreaterThan(BUFFER_EVENTS * 1.4);
    expect(BUFFER_EVENTS / script.rate).toBeGreaterThan(2);
    const [first] = chooseCuts({ cutShare: 1 }, script, random);
    expect(first?.afterEvents).toBeGreaterThanOrEqual(BUFFER_EVENTS);
    expect(chooseScript({ rate: 20 }, random, false).events).toBeLessThan(BUFFER_EVENTS);
  }
});

test("the demo source: tokens and the last event", () => {
  const script = { events: 5, rate: 20, bytes: 60 };
  expect(demoDialect.numberOf("token", '{"n":4,"text":"water "}', script)).toBe(4);
  expect(demoDialect.numberOf("done", '{"events":5,"checksum":"a9a0f53e"}', script)).toBe(5);
  expect(demoDialect.numberOf("token", "{", script)).toBeUndefined();
});
