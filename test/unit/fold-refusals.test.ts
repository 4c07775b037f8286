/**
 * What folding leaves alone, and why.
 */
import { describe, expect, it } from "vitest";

import { createFolder, type StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { eventFrame, readFrame, trimmedFrame, type SourceEvent } from "../../protocol/sse-frame.ts";
import { framesOf } from "../fixtures/folded-reading.ts";

const PATHS: FoldRule = { paths: ["$.delta"], latest: ["$.at"] };

function dataFrames(...list: readonly string[]): StoredFrame[] {
  return framesOf(list.map((data) => ({ event: undefined, data })));
}

function frame(seq: number, source: Partial<SourceEvent>, epoch = 1): StoredFrame {
  const event = { event: undefined, data: '{"delta":"a"}', retryMs: undefined, ...source };
  return { firstSeq: seq, lastSeq: seq, text: eventFrame({ epoch, seq }, event) };
}

/** How many source events each returned frame stands for. */
function sizes(rule: FoldRule, frames: readonly StoredFrame[]): number[] {
  return createFolder(rule)
    .fold(frames)
    .map(({ firstSeq, lastSeq }) => lastSeq - firstSeq + 1);
}

function twice(data: string): StoredFrame[] {
  return dataFrames(data, data);
}

function threeStrings(a: string, b: string, c: string): string {
  return `{"list":[{"b":"${b}"},{"b":"","c":"${c}"}],"a":"${a}"}`;
}

describe("any rule", () => {
  it.each([
    ["malformed JSON", '{"delta":"a",}'],
    ["JSON with something after it", '{"delta":"a"} x'],
    ["no JSON", "delta"],
    ["the end", "[DONE]"],
    ["two members of one name where a path leads", '{"delta":"a","delta":"b"}'],
    ["two values of one name of which the last one stands", '{"delta":"a","at":1,"at":2}'],
    ["a name written with escapes where a path leads", '{"\\u0064elta":"a","delta":"b"}'],
    ["nothing that appends", '{"other":"a"}'],
    ["no string where one would append", '{"delta":1}'],
    ["nesting beyond all reason", `{"delta":"a","deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
  ])("leaves %s alone", (_, data) => {
    const frames = twice(data);
    expect(createFolder(PATHS).fold(frames)).toEqual(frames);
  });

  it.each([
    ["another event name", frame(2, { event: "other" })],
    ["another epoch", frame(2, {}, 2)],
    ["a seq that does not follow", frame(3, {})],
    ["a reconnection time", frame(2, { retryMs: 10 })],
    ["another skeleton", frame(2, { data: '{ "delta":"a"}' })],
    ["a number written in another way", frame(2, { data: '{"delta":"a","n":1.0}' })],
    ["a trimmed payload", { ...frame(2, {}), text: trimmedFrame({ epoch: 1, seq: 2 }, readFrame(frame(2, {}).text)) }],
  ])("does not join %s", (_, second) => {
    expect(sizes(PATHS, [frame(1, {}), second])).toHaveLength(2);
    expect(sizes(PATHS, [frame(1, {}), frame(2, {})])).toEqual([2]);
  });

  it("keeps the last of what may differ, byte for byte, and all else as it was", () => {
    const [folded] = createFolder(PATHS).fold(
      dataFrames('{"at":{"n":1},"delta":"a","x":1.0}', '{"at":[ 9007199254740993 ],"delta":"\\ud83d","x":1.0}'),
    );
    expect(folded?.text).toBe('id: 1-2\ndata: {"at":[ 9007199254740993 ],"delta":"a\\ud83d","x":1.0}\n\n');
    expect(folded?.steps).toEqual([1, 6]);
  });

  it("appends within what may differ: nothing of it is lost", () => {
    const rule = { paths: ["$.more.delta"], latest: ["$.more"] };
    const [folded] = createFolder(rule).fold(dataFrames('{"more":{"delta":"a"}}', '{"more":{"delta":"b"}}'));
    expect(folded?.text).toBe('id: 1-2\ndata: {"more":{"delta":"ab"}}\n\n');
    expect(sizes(rule, dataFrames('{"more":{"delta":"a","n":1}}', '{"more":{"delta":"b","n":2}}'))).toEqual([1, 1]);
  });

  it("cuts each of several strings at its own place", () => {
    const folder = createFolder({ paths: ["$.a", "$.list[*].b", "$.list[1].c"] });
    const [folded] = folder.fold(
      dataFrames(threeStrings("1", "22", "333"), threeStrings("4444", "", "5"), threeStrings("66", "7", "")),
    );
    expect(folded?.text).toBe(`id: 1-3\ndata: ${threeStrings("1444466", "227", "3335")}\n\n`);
    if (folded === undefined) return;
    expect(folder.remainder(folded, 1)).toBe(`id: 1-3\ndata: ${threeStrings("444466", "7", "5")}\n\n`);
    expect(folder.remainder(folded, 2)).toBe(`id: 1-3\ndata: ${threeStrings("66", "7", "")}\n\n`);
  });

  it("folds JSON over several lines of data", () => {
    const [folded] = createFolder(PATHS).fold(dataFrames('{\n "delta": "a"\n}', '{\n "delta": "b"\n}'));
    expect(folded?.text).toBe('id: 1-2\ndata: {\ndata:  "delta": "ab"\ndata: }\n\n');
  });

  it("passes a frame beyond the limit on, and begins anew behind it", () => {
    const large = JSON.stringify({ delta: "x".repeat(SEGMENT_MAX_BYTES) });
    expect(sizes(PATHS, dataFrames('{"delta":"a"}', large, '{"delta":"b"}', '{"delta":"c"}'))).toEqual([1, 1, 2]);
  });

  it("does not carry on a fold that another rule has made", () => {
    const [other] = createFolder("text").fold(twice('{"delta":"a"}'));
    if (other === undefined) throw new Error("nothing was folded");
    const two = { ...frame(2, {}), firstSeq: 1 };
    expect(sizes(PATHS, [two, frame(3, {})])).toEqual([2, 1]);
    expect(sizes(PATHS, [{ ...two, steps: [1, 1] }, frame(3, {})])).toEqual([2, 1]);
    const wider = [
      [1, 0],
      [0, 1],
    ];
    expect(sizes(PATHS, [{ ...two, steps: wider }, frame(3, {})])).toEqual([2, 1]);
    expect(() => createFolder(PATHS).remainder(other, 1)).toThrow("not a fold by this rule");
  });
});

describe("what comes twice in one event is not told apart by its place", () => {
  const folder = createFolder("openai");
  it.each([
    ["two pieces of one tool call", (n: number) => callsOf([0, `a${n}`], [0, `b${n}`])],
    ["two pieces of one tool call, equal ones", () => callsOf([0, "a"], [0, "a"])],
    ["pieces of two tool calls", (n: number) => callsOf([0, `a${n}`], [1, `b${n}`])],
    ["one choice twice", (n: number) => `[${choiceOf(0, `a${n}`)},${choiceOf(0, `b${n}`)}]`],
  ])("%s", (_, choices) => {
    const frames = framesOf([0, 1, 2].map((n) => ({ event: undefined, data: chunk(choices(n)) })));
    expect(folder.fold(frames)).toEqual(frames);
  });

  it("one tool call to an event folds", () => {
    expect(
      folder.fold(framesOf([0, 1, 2].map((n) => ({ event: undefined, data: chunk(callsOf([1, `a${n}`])) })))),
    ).toHaveLength(1);
  });
});

function callsOf(...calls: readonly (readonly [index: number, text: string])[]): string {
  const entries = calls.map(([index, text]) => `{"index":${index},"function":{"arguments":"${text}"}}`);
  return `[{"index":0,"delta":{"tool_calls":[${entries.join(",")}]}}]`;
}

function chunk(choices: string, rest = ""): string {
  return `{"object":"chat.completion.chunk","choices":${choices}${rest}}`;
}

function choiceOf(index: number, text: string): string {
  return `{"index":${index},"delta":{"content":"${text}"}}`;
}

describe("openai", () => {
  const content = choiceOf(0, "a");

  it.each([
    ["an end", chunk('[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]')],
    ["usage", chunk(`[${content}]`, ',"usage":{"total_tokens":1}')],
    ["no choices", chunk("[]")],
    ["choices that are none", chunk("null")],
    ["a choice without an index", chunk('[{"delta":{"content":"a"}}]')],
    ["an index that has other spellings", chunk('[{"index":0.0,"delta":{"content":"a"}}]')],
    ["one index twice", chunk(`[${content},${content}]`)],
    ["choices that stand apart", chunk(`[${content} , {"index":1,"delta":{"content":"a"}}]`)],
    ["a choice that does not append", chunk(`[${content},{"index":1,"delta":{}}]`)],
    ["probabilities of tokens", chunk('[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]}}]')],
    [
      "a name, which may be appended",
      chunk('[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]'),
    ],
    ["something in a delta that nobody knows", chunk('[{"index":0,"delta":{"content":"a","thoughts":"b"}}]')],
    ["audio of the Responses API", '{"type":"response.audio.delta","delta":"AAAA"}'],
    ["a text that is done", '{"type":"response.output_text.done","delta":"a"}'],
    [
      "probabilities in the Responses API",
      '{"type":"response.output_text.delta","delta":"a","logprobs":[{"token":"a"}]}',
    ],
    [
      "more than all choices there may be",
      chunk(`[${Array.from({ length: 129 }, (_, at) => content.replace("0", `${at}`)).join(",")}]`),
    ],
  ])("leaves %s alone", (_, data) => {
    expect(sizes("openai", twice(data))).toEqual([1, 1]);
  });

  it.each([
    [
      "nothing in the place of what could be there",
      chunk(
        '[{"index":0,"delta":{"content":"a","tool_calls":null,"function_call":{}},"finish_reason":"","logprobs":[]}]',
        ',"usage":null',
      ),
    ],
    [
      "what a content filter says, where it says the same",
      chunk('[{"index":0,"delta":{"content":"a"},"content_filter_results":{"hate":{"filtered":false}}}]'),
    ],
    ["the input of a custom tool", chunk('[{"index":0,"delta":{"tool_calls":[{"index":0,"custom":{"input":"a"}}]}}]')],
    ["an audio transcript", '{"type":"response.audio.transcript.delta","delta":"a"}'],
  ])("folds beside %s", (_, data) => {
    expect(sizes("openai", twice(data))).toEqual([2]);
  });

  it("unites choices of different keys in the order of their coming", () => {
    const frames = dataFrames(
      ...[choiceOf(1, "a"), choiceOf(0, "b"), choiceOf(1, "c")].map((one) => chunk(`[${one}]`)),
    );
    const folder = createFolder("openai");
    const [folded] = folder.fold(frames);
    expect(folded?.text).toBe(`id: 1-3\ndata: ${chunk(`[${choiceOf(1, "ac")},${choiceOf(0, "b")}]`)}\n\n`);
    expect(folded?.steps).toEqual([
      [1, -1],
      [-1, 1],
      [1, -1],
    ]);
    if (folded === undefined) return;
    expect(folder.remainder(folded, 1)).toBe(
      `id: 1-3\ndata: ${chunk(`[${choiceOf(1, "c")},${choiceOf(0, "b")}]`)}\n\n`,
    );
    expect(folder.remainder(folded, 2)).toBe(`id: 1-3\ndata: ${chunk(`[${choiceOf(1, "c")}]`)}\n\n`);
  });
});

function blockDelta(fields: string): string {
  return `{"type":"content_block_delta","index":0,"delta":${fields}}`;
}

function textDelta(id: string): string {
  return `{"type":"text-delta","id":"${id}","delta":"a"}`;
}

describe("a fold of one choice that is joined by another", () => {
  it("has steps that speak of the first alone", () => {
    const folder = createFolder("openai");
    const datas = [[choiceOf(0, "a")], [choiceOf(0, "bb")], [choiceOf(1, "c"), choiceOf(0, "d")]];
    const [first, second, third] = dataFrames(...datas.map((choices) => chunk(`[${choices.join(",")}]`)));
    if (first === undefined || second === undefined || third === undefined) throw new Error("three frames were made");
    const [folded] = folder.fold([...folder.fold([first, second]), third]);
    expect(folded).toEqual(folder.fold([first, second, third])[0]);
    expect(folded?.steps).toEqual([
      [1, -1],
      [2, -1],
      [1, 1],
    ]);
  });
});

describe("other presets", () => {
  it("anthropic: leaves signatures, citations and unknown deltas alone", () => {
    expect(sizes("anthropic", twice(blockDelta('{"type":"signature_delta","signature":"a"}')))).toEqual([1, 1]);
    expect(sizes("anthropic", twice(blockDelta('{"type":"text_delta","text":"a","more":"b"}')))).toEqual([1, 1]);
    expect(sizes("anthropic", twice(blockDelta('{"type":"new_delta","text":"a"}')))).toEqual([1, 1]);
    expect(sizes("anthropic", twice('{"type":"message_delta","delta":{"text":"a"}}'))).toEqual([1, 1]);
    expect(sizes("anthropic", twice(blockDelta('{"type":"text_delta","text":"a"}')))).toEqual([2]);
  });

  it("ai-sdk: joins deltas of one part alone", () => {
    expect(sizes("ai-sdk", dataFrames(textDelta("1"), textDelta("1"), textDelta("2")))).toEqual([2, 1]);
    expect(sizes("ai-sdk", twice('{"type":"data-progress","delta":"a"}'))).toEqual([1, 1]);
  });

  it("text: nothing that is put together or left over looks like the end", () => {
    const folder = createFolder("text");
    const folded = folder.fold(dataFrames("x", "[DO", "NE]", "y"));
    expect(folded.map(({ text }) => readFrame(text).data)).toEqual(["x[DO", "NE]y"]);
  });
});
