/**
 * No fold takes more than a segment in UTF-8, and none ends before it has to (fold-run.ts, invariant 2).
 */
import { expect, it } from "vitest";

import { createFolder, type StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { framesOf } from "../fixtures/folded-reading.ts";

type Delta = (text: string) => string;

const PATHS: FoldRule = { paths: ["$.a", "$.b"], latest: ["$.at"] };

function chunk(...choices: readonly string[]): string {
  return `{"id":"ü","choices":[${choices.join(",")}],"obfuscation":"é"}`;
}

function choice(index: number, text: string): string {
  return `{"index":${index},"delta":{"content":"${text}"},"finish_reason":null}`;
}

/** Each makes a first event of a text; what follows it is the same every time, and ends the fold. */
const SHAPES: readonly (readonly [name: string, rule: FoldRule, first: Delta, then: readonly string[]])[] = [
  ["plain text", "text", (text) => text, ["ö\n\n", "😀"]],
  ["one string", PATHS, (text) => `{"a":"${text}"}`, ['{"a":"ö"}', '{"a":"\\u00f6"}']],
  ["two strings", PATHS, (text) => `{"a":"ä","b":"${text}"}`, ['{"a":"ö","b":""}', '{"a":"","b":"😀"}']],
  ["several lines", PATHS, (text) => `{\n "a":"${text}"\n}`, ['{\n "a":"ö"\n}', '{\n "a":"b"\n}']],
  ["what may differ", PATHS, (text) => `{"at":1,"a":"${text}"}`, ['{"at":"","a":"x"}', '{"at":["é",2],"a":"y"}']],
  ["one choice", "openai", (text) => chunk(choice(0, text)), [chunk(choice(0, "ö")), chunk(choice(0, "😀"))]],
  ["choices in turns", "openai", (text) => chunk(choice(0, text)), [chunk(choice(1, "é")), chunk(choice(0, "b"))]],
  [
    "choices in one chunk",
    "openai",
    (text) => chunk(choice(2, "é"), choice(0, text)),
    [chunk(choice(1, ""), choice(2, "b")), chunk(choice(0, "c"), choice(1, "d"))],
  ],
];

function foldOf(rule: FoldRule, events: readonly string[]): StoredFrame[] {
  return createFolder(rule).fold(framesOf(events.map((data) => ({ event: "é", data }))));
}

it.each(SHAPES)("%s: a fold may fill the limit to the byte", (_, rule, first, then) => {
  const [small] = foldOf(rule, [first(""), ...then]);
  const spare = SEGMENT_MAX_BYTES - Buffer.byteLength(small?.text ?? "");
  const [full, ...rest] = foldOf(rule, [first("x".repeat(spare)), ...then]);
  expect(rest).toEqual([]);
  expect(Buffer.byteLength(full?.text ?? "")).toBe(SEGMENT_MAX_BYTES);
});

it.each(SHAPES)("%s: one byte more, and it ends before the last event", (_, rule, first, then) => {
  const [small] = foldOf(rule, [first(""), ...then]);
  const spare = SEGMENT_MAX_BYTES - Buffer.byteLength(small?.text ?? "");
  const frames = foldOf(rule, [first("x".repeat(spare + 1)), ...then]);
  expect(frames.map(({ lastSeq }) => lastSeq)).toEqual([2, 3]);
});

it.each(SHAPES)("%s: folds of folds fill it as well as one fold does", (_, rule, first, then) => {
  const events = Array.from({ length: 60 }, () => [first("x".repeat(300)), ...then]).flat();
  const frames = framesOf(events.map((data) => ({ event: "é", data })));
  const folder = createFolder(rule);
  const once = folder.fold(frames);
  let grown: StoredFrame[] = [];
  for (let at = 0; at < frames.length; at += 7)
    grown = folder.fold([...grown, ...folder.fold(frames.slice(at, at + 7))]);
  const sizes = [...once, ...grown]
    .filter(({ steps }) => steps !== undefined)
    .map(({ text }) => Buffer.byteLength(text));
  expect(sizes.filter((size) => size > SEGMENT_MAX_BYTES)).toEqual([]);
  expect(grown.length).toBeLessThanOrEqual(once.length + 1);
});

it("deltas of nothing do not grow a fold's steps without end", () => {
  const nothing = Array.from({ length: 40_000 }, () => chunk(choice(0, "")));
  const steps = foldOf("openai", [chunk(choice(1, "")), ...nothing]).map((frame) => frame.steps?.flat().length);
  expect(Math.max(...steps.map((count) => count ?? 0))).toBe(SEGMENT_MAX_BYTES);
  // Two numbers for each of the first fold, one for each of the others.
  expect(steps).toHaveLength(1 + Math.ceil((40_000 - (SEGMENT_MAX_BYTES / 2 - 1)) / SEGMENT_MAX_BYTES));
});
