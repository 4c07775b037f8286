/**
 * The raw scan: what it takes for JSON is JSON, and what it remembers is what it would have found.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { grammarOf } from "../../durable-objects/stream/fold/grammar.ts";
import { endOfValue, MALFORMED, skipSpace } from "../../durable-objects/stream/fold/json-scan.ts";
import { rememberingShapes } from "../../durable-objects/stream/fold/known-shapes.ts";

const DEPTH_MAX = 64;

function isJson(text: string): boolean {
  const end = endOfValue(text, skipSpace(text, 0), 0);
  return end !== MALFORMED && skipSpace(text, end) === text.length;
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // That is the answer.
    return false;
  }
}

function nested(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}

describe("json-scan", () => {
  it.each([
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "+1",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "-0",
    "-0.0E-0",
    "1 2",
    '"',
    '"\\"',
    '"\\x"',
    '"\\u12g4"',
    '"\\u123"',
    '"\\u12345"',
    '"a\tb"',
    '"a\u0000"',
    '"\u2028"',
    '"\\/"',
    '"\ud800"',
    "[",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[]]",
    "[ ]",
    "[1 ,\n2\t]",
    "{",
    "{}",
    "{ }",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1',
    '{"a":1,}',
    "{a:1}",
    "{'a':1}",
    '{"a" : 1 , "a" : 2}',
    '{"a":1 "b":2}',
    "[1\u00a02]",
    "\ufeff1",
    "// 1",
    "[}",
    "{]",
  ])("judges %j as JSON.parse does", (text) => {
    expect(isJson(text)).toBe(isParsed(text));
  });

  it("judges what JSON.parse judges, whatever was changed in it", () => {
    const mutation = fc.record({
      at: fc.nat(),
      cut: fc.integer({ min: 0, max: 2 }),
      put: fc.constantFrom(
        "",
        '"',
        "\\",
        ",",
        ":",
        "{",
        "}",
        "[",
        "]",
        "0",
        "-",
        ".",
        "e",
        "u",
        " ",
        "\n",
        "t",
        "\u0001",
      ),
    });
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.array(mutation, { maxLength: 2 }), (json, mutations) => {
        let text = json;
        for (const { at, cut, put } of mutations) {
          const from = at % (text.length + 1);
          text = text.slice(0, from) + put + text.slice(from + cut);
        }
        expect(isJson(text), text).toBe(isParsed(text));
      }),
      { numRuns: 1_000 },
    );
  });

  it("takes nesting up to a bound and no further, however deep it goes", () => {
    expect(isJson(nested(DEPTH_MAX))).toBe(true);
    expect(isJson(nested(DEPTH_MAX + 1))).toBe(false);
    expect(isJson(nested(1_000_000))).toBe(false);
    expect(isJson('{"a":'.repeat(1_000_000))).toBe(false);
  });
});

describe("known-shapes", () => {
  const rule = { paths: ["$.delta", "$.list[*].text", "$.more.delta"], latest: ["$.at", "$.more"] };
  const content = fc
    .array(
      fc.oneof(
        fc.string({ unit: "binary" }).map((text) => JSON.stringify(text).slice(1, -1)),
        fc.constantFrom('"', "\\", "}", ","),
      ),
    )
    .map((parts) => parts.join(""));
  const latest = fc.constantFrom(
    "1",
    "1.50",
    "null",
    '"\\u0041"',
    '"',
    "{}",
    '{"delta":"x"}',
    '{"delta":',
    "[1]",
    "01",
    "",
  );
  const data = fc.tuple(content, content, latest, latest, fc.nat(3)).map(([first, second, at, more, form]) => {
    const parts = [
      `"delta":"${first}"`,
      `"at":${at}`,
      `"list":[{"text":"${second}","n":${form % 2}.0}]`,
      `"more":${more}`,
    ];
    return `{${(form < 2 ? parts : parts.toReversed()).join(", ")}}`;
  });

  it("answers what walking answers", () => {
    const walking = grammarOf(rule);
    fc.assert(
      fc.property(fc.array(data, { maxLength: 12 }), (list) => {
        const remembering = rememberingShapes(walking);
        for (const text of list) {
          const shape = remembering.shapeOf(text);
          const { skeleton: _, ...found } = shape ?? {};
          expect(shape === undefined ? undefined : found).toEqual(walking.shapeOf(text));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("answers what walking answers for choices, in one chunk or in turns", () => {
    const walking = grammarOf("openai");
    const choice = fc
      .tuple(fc.nat(2), content)
      .map(([index, text]) => `{"index":${index},"delta":{"content":"${text}"}}`);
    const chunk = fc
      .tuple(fc.array(choice, { maxLength: 3 }), latest)
      .map(
        ([choices, at]) => `{"sequence_number":${at},"choices":[${choices.join(",")}],"obfuscation":"${at.length}"}`,
      );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 12 }), (list) => {
        const remembering = rememberingShapes(walking);
        for (const text of list) {
          const shape = remembering.shapeOf(text);
          const { skeleton: _, ...found } = shape ?? {};
          expect(shape === undefined ? undefined : found).toEqual(walking.shapeOf(text));
        }
      }),
      { numRuns: 500 },
    );
  });
});
