/**
 * Draws what fills a buffer that can give way: deltas of the APIs that folding knows, in runs and out of
 * turn, with events in between that must stay as they are, and events with verbose payloads.
 */
import type { FoldRule } from "../../protocol/fold.ts";
import type { Priority } from "../../protocol/priority.ts";
import { NO_RELIEF, type ReliefPolicy } from "../../protocol/relief.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";
import type { Random } from "./random.ts";
import type { DrawnEvent } from "./workload.ts";

const PATHS: FoldRule = { paths: ["$.delta", "$.parts[*].add"], latest: ["$.n"] };
const FOLD_RULES: readonly FoldRule[] = ["openai", "anthropic", "ai-sdk", "text", PATHS];
const TRIM_PATHS = ["$.detail", "$.steps[*].raw"];
/** What is appended: half a pair at the edge of a delta is carried by JSON's escapes. */
const PIECES = ["a", "Wort ", "é", "水", "🌊", "\ud83c", "\udf0a", '"', "\\", "\n", "e\u0301", "\u2028", ""] as const;

export function drawRelief(random: Random): ReliefPolicy {
  if (random.chance(0.3)) return NO_RELIEF;
  return {
    fold: random.chance(0.85) ? random.pick(FOLD_RULES) : undefined,
    trimPaths: random.chance(0.4) ? TRIM_PATHS : [],
    compresses: random.chance(0.4),
    lowPriorityShare: random.pick([1, 1, 0, 0.25, 0.5, 0.9]),
  };
}

type Kind = "delta" | "transcript" | "verbose" | "plain";

/** Events that only the relief's own workload has; `undefined` where a plain one is to be drawn. */
export class DeltaSource {
  private serial = 0;
  private readonly rule: FoldRule | undefined;
  private readonly isVerbose: boolean;
  /** Deltas of one stream mostly have one name. */
  private readonly name: string | undefined;
  private readonly weights: Record<Kind, number>;
  private readonly lengths: Record<"token" | "sentence" | "page", number>;
  private transcript: readonly DrawnEvent[] = [];
  private readonly random: Random;

  constructor(random: Random, policy: ReliefPolicy) {
    this.random = random;
    this.rule = policy.fold;
    this.isVerbose = policy.trimPaths.length > 0;
    this.name = random.chance(0.4) ? undefined : random.pick(["token", "progress", "result"]);
    this.lengths = random.chance(0.7) ? { token: 50, sentence: 8, page: 4 } : { token: 2, sentence: 50, page: 1 };
    this.weights = {
      delta: policy.fold === undefined ? 0 : 30,
      transcript: policy.fold === undefined || typeof policy.fold !== "string" ? 0 : random.pick([0, 10, 60]),
      verbose: this.isVerbose || policy.compresses ? random.pick([2, 10, 30]) : 0,
      plain: random.pick([0, 1, 4, 10, 30]),
    };
  }

  next(maxBytes: number): DrawnEvent | undefined {
    if (Object.values(this.weights).every((weight) => weight === 0)) return undefined;
    switch (this.random.weighted(this.weights)) {
      case "delta":
        return this.delta(maxBytes);
      case "transcript":
        return this.fromTranscript(maxBytes);
      case "verbose":
        return this.verbose(maxBytes);
      case "plain":
        return undefined;
    }
  }

  /** A delta of about so many bytes; all of a stream's belong together. */
  long(bytes: number): DrawnEvent {
    const event = this.name;
    const text = `${++this.serial} `.padEnd(Math.max(1, bytes - 200), "words ");
    const data = this.rule === undefined ? text : this.longData(this.rule, text);
    return { source: { event, data, retryMs: undefined }, priority: priorityOf(event, data) };
  }

  private longData(rule: FoldRule, text: string): string {
    if (typeof rule !== "string") return JSON.stringify({ kind: "text", n: this.serial, delta: text });
    switch (rule) {
      case "text":
        return text;
      case "anthropic":
        return JSON.stringify({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
      case "ai-sdk":
        return JSON.stringify({ type: "text-delta", id: "t0", delta: text });
      case "openai":
        return JSON.stringify({ choices: [choice(0, text)] });
    }
  }

  private delta(maxBytes: number): DrawnEvent | undefined {
    const { random, rule } = this;
    const event = random.chance(0.97) ? this.name : "debug";
    const text = this.text(Math.floor(maxBytes / 8));
    const data = rule === undefined ? text : this.deltaData(rule, text);
    if (Buffer.byteLength(data) > maxBytes) return undefined;
    return {
      source: { event, data, retryMs: random.chance(0.01) ? 100 : undefined },
      priority: priorityOf(event, data),
    };
  }

  private deltaData(rule: FoldRule, text: string): string {
    const { random } = this;
    const n = ++this.serial;
    if (typeof rule !== "string") {
      if (random.chance(0.2)) return JSON.stringify({ kind: "two", n, parts: [{ add: text }, { add: `${n} ` }] });
      return JSON.stringify({ kind: random.chance(0.9) ? "text" : "other", n, delta: text });
    }
    switch (rule) {
      case "text":
        // No escapes carry half a pair where there is no JSON.
        return random.chance(0.02) ? "[DO" : text.toWellFormed();
      case "anthropic":
        return JSON.stringify({
          type: "content_block_delta",
          index: random.chance(0.95) ? 0 : 1,
          delta: this.block(text),
        });
      case "ai-sdk":
        return JSON.stringify({ type: "text-delta", id: random.chance(0.95) ? "t0" : "t1", delta: text });
      case "openai":
        return this.openAi(text);
    }
  }

  private block(text: string): object {
    return this.random.chance(0.9) ? { type: "text_delta", text } : { type: "thinking_delta", thinking: text };
  }

  private openAi(text: string): string {
    const { random } = this;
    const choices = random.weighted({ one: 80, other: 10, both: 5, finish: 3, usage: 2 });
    const shared = { id: "chatcmpl-1", object: "chat.completion.chunk", obfuscation: "x".repeat(random.int(0, 3)) };
    switch (choices) {
      case "one":
        return JSON.stringify({ ...shared, choices: [choice(0, text)] });
      case "other":
        return JSON.stringify({ ...shared, choices: [choice(1, text)] });
      case "both":
        return JSON.stringify({ ...shared, choices: [choice(1, text), choice(0, `${this.serial}`)] });
      case "finish":
        return JSON.stringify({ ...shared, choices: [{ ...choice(0, text), finish_reason: "stop" }] });
      case "usage":
        return JSON.stringify({ ...shared, choices: [choice(0, text)], usage: { total_tokens: this.serial } });
    }
  }

  private fromTranscript(maxBytes: number): DrawnEvent | undefined {
    const { random, rule } = this;
    if (this.transcript.length === 0) {
      const { events } = random.pick(API_TRANSCRIPTS.filter(({ preset }) => preset === rule));
      this.transcript = events.map(({ event, data }) => ({
        source: { event, data, retryMs: undefined },
        priority: priorityOf(event, data),
      }));
    }
    const [next, ...rest] = this.transcript;
    this.transcript = rest;
    return next !== undefined && Buffer.byteLength(next.source.data) <= maxBytes ? next : undefined;
  }

  private verbose(maxBytes: number): DrawnEvent | undefined {
    const { random } = this;
    const event = random.chance(0.3) ? undefined : random.pick(["token", "progress", "result"]);
    const filler = random
      .pick(["lorem ipsum ", "x", "水"])
      .repeat(random.magnitude(1, Math.max(1, Math.floor(maxBytes / random.pick([20, 40, 200])))));
    const steps = [{ raw: filler.slice(0, 40), at: 1 }, { raw: null }, { raw: "" }];
    const data = JSON.stringify({ n: ++this.serial, detail: { text: filler, list: [1] }, keep: "kept", steps });
    if (Buffer.byteLength(data) > maxBytes) return undefined;
    return { source: { event, data, retryMs: undefined }, priority: priorityOf(event, data) };
  }

  private text(maxUnits: number): string {
    const { random } = this;
    const units = random.weighted(this.lengths);
    const most = { token: 6, sentence: 60, page: 2000 }[units];
    let text = "";
    for (let left = random.int(0, Math.min(most, maxUnits)); left > 0; left--) text += random.pick(PIECES);
    return text;
  }
}

function choice(index: number, content: string) {
  return { index, delta: { content }, finish_reason: null };
}

const PRIORITY_BY_NAME: ReadonlyMap<string | undefined, Priority> = new Map([
  ["debug", 0],
  ["ping", 0],
  ["progress", 0],
  ["result", 2],
] as const);

/** As the conventions have it (design, 4); the terminal event is known by its data. */
function priorityOf(event: string | undefined, data: string): Priority {
  if (data === "[DONE]") return 3;
  return PRIORITY_BY_NAME.get(event) ?? 1;
}
