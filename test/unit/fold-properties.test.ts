/**
 * Folding over arbitrary events: any strings, any cuts, any grouping.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createFolder, type Folder, type StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { readFrame } from "../../protocol/sse-frame.ts";
import { framesOf, readWire, replay } from "../fixtures/folded-reading.ts";

interface Delta {
  /** Which of a few skeletons and choices. */
  readonly place: number;
  readonly raw: string;
}

/** What stands between the quotes of a JSON string: plain, escaped, halves of pairs as escapes. */
const rawString = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.string({ unit: "binary", maxLength: 6 }).map((text) => JSON.stringify(text).slice(1, -1)),
      },
      fc.constantFrom(
        "\\ud83d",
        "\\uDE00",
        "\\\\",
        '\\"',
        "\\/",
        "\\n",
        "\\u005c",
        "\\u0022",
        "}",
        "]",
        "[DONE]",
        "\u2028",
        "😀",
      ),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(""));
const deltas = fc.array(fc.record({ place: fc.nat(3), raw: rawString }), { minLength: 1, maxLength: 40 });

/** Skeletons that no parser would write again as they are. */
const SKELETONS = [
  ['{"n":9007199254740993,"f":1.0,"e":-1E+2,"delta":"', '"}'],
  ['{ "n" : 9007199254740993 ,\t"delta" : "', '" , "z":{ "\\u0061":1.50 } }'],
  ['{"delta":"', '","n":9007199254740993,"a":{"delta":"b"},"a":null}'],
  ['{"other":"', '"}'],
] as const;
const RULE = { paths: ["$.delta"], latest: ["$.at"] } satisfies FoldRule;

function skeletonOf(place: number): readonly [string, string] {
  return SKELETONS[place] ?? SKELETONS[3];
}

function eventOf({ place, raw }: Delta) {
  const [before, after] = skeletonOf(place);
  return { event: place === 2 ? "delta" : undefined, data: before + raw + after };
}

function choiceOf({ place, raw }: Delta): string {
  return `{"index":${place},"delta":{"content":"${raw}"},"finish_reason":null}`;
}

function chunksOf(list: readonly (readonly Delta[])[]) {
  return list.map((choices, at) => ({
    event: undefined,
    data: `{"id":"c","choices":[${choices.map(choiceOf).join(",")}],"obfuscation":"${"x".repeat(at % 4)}"}`,
  }));
}

/** What a reader joins, raw: by skeleton, in order of arrival. */
function joined(list: readonly { readonly event: string | undefined; readonly data: string }[]): string[] {
  const lines: string[] = [];
  let open: string | undefined;
  for (const { data } of list) {
    const found = SKELETONS.slice(0, 3).find(([before, after]) => data.startsWith(before) && data.endsWith(after));
    const raw = found === undefined ? data : data.slice(found[0].length, -found[1].length);
    if (found !== undefined && open === found[0]) lines.push((lines.pop() ?? "") + raw);
    else lines.push(raw);
    open = found?.[0];
  }
  return lines;
}

/** Folds in groups, then the groups again, as a buffer does over time. */
function foldInGroups(folder: Folder, frames: readonly StoredFrame[], sizes: readonly number[]): StoredFrame[] {
  let folded: StoredFrame[] = [];
  let from = 0;
  for (const size of sizes) {
    folded = folder.fold([...folded, ...folder.fold(frames.slice(from, from + size))]);
    from += size;
  }
  return folder.fold([...folded, ...frames.slice(from)]);
}

describe("paths", () => {
  const folder = createFolder(RULE);

  it("from every cut the same raw strings are read, and every skeleton stays byte for byte", () => {
    fc.assert(
      fc.property(deltas, (list) => {
        const events = list.map(eventOf);
        const folded = folder.fold(framesOf(events));
        for (let seq = 0; seq <= events.length; seq++) {
          expect(joined([...events.slice(0, seq), ...readWire(replay(folder, folded, seq))])).toEqual(joined(events));
        }
      }),
    );
  });

  it("neighbours of one skeleton never stay apart", () => {
    fc.assert(
      fc.property(deltas, (list) => {
        const folded = folder.fold(framesOf(list.map(eventOf)));
        const runs = list.filter(({ place }, at) => place === 3 || place !== list[at - 1]?.place);
        expect(folded).toHaveLength(runs.length);
      }),
    );
  });

  it("in whatever groups it is done, and done again, the fold is the same", () => {
    fc.assert(
      fc.property(deltas, fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 8 }), (list, sizes) => {
        const frames = framesOf(list.map(eventOf));
        const folded = folder.fold(frames);
        expect(foldInGroups(folder, frames, sizes)).toEqual(folded);
        const again = folder.fold(folded);
        expect(again.every((frame, at) => frame === folded[at])).toBe(true);
        expect(again).toHaveLength(folded.length);
      }),
    );
  });

  it("steps survive being kept as JSON", () => {
    fc.assert(
      fc.property(deltas, fc.nat(), (list, cut) => {
        const folded = folder.fold(framesOf(list.map(eventOf)));
        const kept = folded.map((frame): StoredFrame => JSON.parse(JSON.stringify(frame)));
        const seq = cut % (list.length + 1);
        expect(replay(folder, kept, seq)).toBe(replay(folder, folded, seq));
      }),
    );
  });
});

describe("choices", () => {
  const folder = createFolder("openai");
  /** Chunks of one to three choices, no two of one index. */
  const chunks = fc.array(
    fc.uniqueArray(fc.record({ place: fc.nat(3), raw: rawString }), {
      selector: ({ place }) => place,
      minLength: 1,
      maxLength: 3,
    }),
    { minLength: 1, maxLength: 30 },
  );
  it("all become one, and each choice's raw string is whole from every cut", () => {
    fc.assert(
      fc.property(chunks, (list) => {
        const events = chunksOf(list);
        const folded = folder.fold(framesOf(events));
        expect(folded).toHaveLength(1);
        for (let seq = 0; seq <= events.length; seq++) {
          const seen = [...events.slice(0, seq), ...readWire(replay(folder, folded, seq))];
          expect(byChoice(seen), `cut after ${seq}`).toEqual(byChoice(events));
        }
      }),
    );
  });

  it("a remainder holds only the choices that came after the cut", () => {
    fc.assert(
      fc.property(chunks, fc.nat(), (list, cut) => {
        const seq = cut % list.length;
        const [rest] = readWire(replay(folder, folder.fold(framesOf(chunksOf(list))), seq));
        const after = new Set(list.slice(seq).flatMap((choices) => choices.map(({ place }) => place)));
        expect(new Set(byChoice(rest === undefined ? [] : [rest]).keys())).toEqual(after);
      }),
    );
  });

  it("folds of folds in any grouping are what one fold is, steps and all", () => {
    fc.assert(
      fc.property(chunks, fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 }), (list, sizes) => {
        const events = chunksOf(list);
        const folded = foldInGroups(folder, framesOf(events), sizes);
        expect(folded).toEqual(folder.fold(framesOf(events)));
        for (let seq = 0; seq < events.length; seq++) {
          const seen = [...events.slice(0, seq), ...readWire(replay(folder, folded, seq))];
          expect(byChoice(seen), `cut after ${seq}`).toEqual(byChoice(events));
        }
      }),
    );
  });
});

/** Raw contents by choice: what the elements hold between their fixed text. */
function byChoice(events: readonly { readonly data: string }[]): Map<number, string> {
  const contents = new Map<number, string>();
  for (const { data } of events) {
    for (const [, index, raw] of data.matchAll(/\{"index":(\d),"delta":\{"content":"((?:[^"\\]|\\.)*)"\}/g)) {
      contents.set(Number(index), (contents.get(Number(index)) ?? "") + (raw ?? ""));
    }
  }
  return contents;
}

describe("limits", () => {
  it("no fold exceeds the limit in UTF-8, and two neighbours would", () => {
    const lines = fc.array(
      fc
        .tuple(fc.constantFrom("a", "é", "漢", "😀", "line\n", "\n"), fc.integer({ min: 0, max: 2_500 }))
        .map(([unit, count]) => unit.repeat(count)),
      { minLength: 1, maxLength: 30 },
    );
    const folder = createFolder("text");
    fc.assert(
      fc.property(lines, (texts) => {
        const frames = framesOf(texts.map((data) => ({ event: undefined, data })));
        const folded = folder.fold(frames);
        expect(folded.map(({ text }) => readFrame(text).data).join("")).toBe(texts.join(""));
        const folds = folded.filter(({ steps }) => steps !== undefined);
        expect(folds.filter(({ text }) => Buffer.byteLength(text) > SEGMENT_MAX_BYTES)).toEqual([]);
        const couldGrow = folded.slice(0, -1).filter(({ text, lastSeq }) => {
          // Of what comes next only its data would come to it, and perhaps a digit of its id.
          const next = frames[lastSeq]?.text ?? "";
          const dataAt = next.indexOf("data: ") + "data: ".length;
          return Buffer.byteLength(text) + Buffer.byteLength(next.slice(dataAt, -2)) + 1 <= SEGMENT_MAX_BYTES;
        });
        expect(couldGrow).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});
