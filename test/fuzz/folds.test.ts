/**
 * Folds of what APIs send, whole and damaged: from wherever a reader comes in, it ends with the same text.
 */
import * as fc from "fast-check";

import { createFolder, type Folder } from "../../durable-objects/stream/fold/folding.ts";
import { createTrimmer } from "../../durable-objects/stream/fold/payload-trim.ts";
import { readSteps, writeSteps } from "../../durable-objects/stream/fold/steps-text.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { eventFrame, readFrame } from "../../protocol/sse-frame.ts";
import { foldFault } from "../simulation/appends.ts";
import { framesOf, readWire, replay } from "../fixtures/folded-reading.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { mutatedText } from "./mutations.ts";

const PATHS = { paths: ["$.delta", "$.parts[*].add"], latest: ["$.n"] } satisfies FoldRule;
const RULES: readonly FoldRule[] = ["openai", "anthropic", "ai-sdk", "text", PATHS];

interface Said {
  readonly event: string | undefined;
  readonly data: string;
}
interface Case {
  readonly rule: FoldRule;
  readonly events: readonly Said[];
}

const piece = fc.oneof(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom("\ud83c", "\udf0a", '"', "\\", "\n", "水🌊", "", "[DONE]"),
);

function saying(rule: FoldRule, text: string): string {
  if (typeof rule !== "string") return JSON.stringify({ n: 1, delta: text });
  switch (rule) {
    case "text":
      return text.toWellFormed().replaceAll("\r", "");
    case "anthropic":
      return JSON.stringify({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
    case "ai-sdk":
      return JSON.stringify({ type: "text-delta", id: "t0", delta: text });
    case "openai":
      return JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
  }
}

const said = (rule: FoldRule): fc.Arbitrary<Said> =>
  fc.oneof(
    { weight: 5, arbitrary: piece.map((text) => ({ event: undefined, data: saying(rule, text) })) },
    {
      weight: 1,
      arbitrary: mutatedText(piece.map((text) => saying(rule, text))).map(({ text }) => ({
        event: undefined,
        data: text.replaceAll("\r", "").toWellFormed().slice(0, 3000),
      })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom({ event: "other", data: saying(rule, "o") }, { event: undefined, data: "[DONE]" }),
    },
  );
const transcripts = fc.constantFrom(...API_TRANSCRIPTS).chain(({ preset, events }) =>
  fc.tuple(fc.nat(events.length), fc.integer({ min: 1, max: 20 })).map(([from, count]): Case => ({
    rule: preset as FoldRule,
    events: events.slice(from, from + count).map(({ event, data }) => ({ event, data })),
  })),
);
const cases = fc.oneof(
  transcripts,
  fc
    .constantFrom(...RULES)
    .chain((rule) => fc.array(said(rule), { minLength: 1, maxLength: 14 }).map((events) => ({ rule, events }))),
);

type Make = (rule: FoldRule) => Folder;

fuzz<Case, Make>({
  name: "folds",
  inputs: cases,
  subject: createFolder,
  holds: ({ rule, events }, make) => {
    const folder = make(rule);
    const frames = framesOf(events);
    const folded = folder.fold(frames);
    let nextSeq = 1;
    for (const { firstSeq, lastSeq, text, steps } of folded) {
      claim(firstSeq).toBe(nextSeq);
      nextSeq = lastSeq + 1;
      const sources = events.slice(firstSeq - 1, lastSeq).map((one) => ({ ...one, retry: undefined }));
      const { event, data } = readFrame(text);
      if (firstSeq === lastSeq) claim({ event, data }).toEqual(events[firstSeq - 1]);
      else claim(foldFault(rule, sources, { event, data, retry: undefined })).toBe(undefined);
      if (steps !== undefined) claim(readSteps(writeSteps(steps))).toEqual(steps);
    }
    claim(nextSeq).toBe(events.length + 1);
    for (let seq = 0; seq < events.length; seq++) {
      const [first] = readWire(replay(folder, folded, seq));
      const frame = folded.find(({ lastSeq }) => lastSeq > seq);
      if (first === undefined || frame === undefined || frame.firstSeq === frame.lastSeq) continue;
      const rest = events.slice(seq, frame.lastSeq).map((one) => ({ ...one, retry: undefined }));
      claim(first.id).toBe(`1-${frame.lastSeq}`);
      claim(foldFault(rule, rest, { event: first.event, data: first.data, retry: undefined })).toBe(undefined);
    }
  },
  faults: {
    "a fold loses its last event": (rule) => {
      const folder = createFolder(rule);
      return { ...folder, fold: (frames) => folder.fold(frames.slice(0, -1)) };
    },
    "the rest begins an event too early": (rule) => {
      const folder = createFolder(rule);
      return {
        ...folder,
        remainder: (frame, seq) => (seq > frame.firstSeq ? folder.remainder(frame, seq - 1) : frame.text),
      };
    },
  },
});

type Trim = (data: string) => string | undefined;
const PATHS_TRIMMED = ["$.detail", "$.steps[*].raw"];
const trimmer = createTrimmer(PATHS_TRIMMED);
/** The trimmer takes frames, and gives frames. */
const trim: Trim = (data) => {
  const trimmed = trimmer(eventFrame({ epoch: 1, seq: 1 }, { event: undefined, data, retryMs: undefined }));
  return trimmed === undefined ? undefined : readFrame(trimmed).data;
};

fuzz<string, Trim>({
  name: "trimmed payloads",
  inputs: mutatedText(
    fc
      .record({
        n: fc.jsonValue(),
        detail: fc.jsonValue(),
        keep: fc.jsonValue(),
        steps: fc.array(fc.record({ raw: fc.jsonValue(), at: fc.nat() })),
      })
      .map((value) => JSON.stringify(value)),
  )
    .chain(({ valid, text }) => fc.constantFrom(valid, text))
    .map((text) => text.replaceAll("\r", "").toWellFormed()),
  subject: trim,
  holds: (data, trimIt) => {
    const trimmed = trimIt(data);
    if (trimmed === undefined) return;
    claim(trimmed.length).toBeLessThan(data.length);
    // Short values stay: what may go is cleared on both sides.
    claim(without(JSON.parse(trimmed))).toEqual(without(JSON.parse(data)));
  },
  faults: {
    "what is kept goes as well": (data) => trim(data)?.replace(/"keep":"[^"]*"/, '"keep":null'),
    "what is cut is no JSON": (data) => trim(data)?.slice(0, -1),
  },
});

function without(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { detail, steps, ...rest } = value as Record<string, unknown>;
  const cleared = Array.isArray(steps)
    ? steps.map((step: unknown) =>
        typeof step === "object" && step !== null && !Array.isArray(step) && "raw" in step
          ? { ...step, raw: null }
          : step,
      )
    : steps;
  return {
    ...rest,
    ...("detail" in value ? { detail: detail === undefined ? undefined : null } : {}),
    ...("steps" in value ? { steps: cleared } : {}),
  };
}
