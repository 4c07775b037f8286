/**
 * What events append, read from the APIs' documentation with JSON.parse and nothing of the code under
 * test: by this the checker judges whether several events may be one, and whether that one is all of them.
 */
import type { FoldRule } from "../../protocol/fold.ts";

export interface Content {
  readonly event: string | undefined;
  readonly data: string;
  readonly retry: string | undefined;
}

/** One choice of a chunk, or a whole event. */
interface Part {
  /** Everything but the strings that append and the values of which the last one stands. */
  readonly rest: string;
  readonly texts: ReadonlyMap<string, string>;
}

interface Delta {
  readonly outer: Part;
  /** By the index of the choice; a single one named "" where there are no choices. */
  readonly parts: ReadonlyMap<string, Part>;
  /** Values of which the last event's stand. */
  readonly latest: string;
}

interface Roles {
  readonly append: readonly string[];
  readonly latest: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

const CHOICE: Roles = {
  append: [
    "$.text",
    ...["content", "refusal", "reasoning", "reasoning_content", "function_call.arguments"].map((at) => `$.delta.${at}`),
    ...["function.arguments", "custom.input"].map((at) => `$.delta.tool_calls[*].${at}`),
  ],
  latest: [],
};
const CHUNK: Roles = { append: [], latest: ["$.obfuscation"] };
const RESPONSES: Roles = { append: ["$.delta"], latest: ["$.obfuscation", "$.sequence_number"] };
const BLOCK: Roles = { append: ["$.delta.text", "$.delta.thinking", "$.delta.partial_json"], latest: [] };
const BLOCK_DELTAS = ["text_delta", "thinking_delta", "input_json_delta"];
const UI_CHUNK: Roles = { append: ["$.delta", "$.inputTextDelta"], latest: [] };
const UI_DELTAS = ["text-delta", "reasoning-delta", "tool-input-delta"];

/** @returns `undefined` for an event that does more than append */
function readDelta(rule: FoldRule, data: string): Delta | undefined {
  if (data === "[DONE]") return undefined;
  if (rule === "text") {
    const whole = { rest: "", texts: new Map([["$", data]]) };
    return { outer: { rest: "", texts: new Map() }, parts: new Map([["", whole]]), latest: "" };
  }
  const value = parse(data);
  if (value === undefined) return undefined;
  if (typeof rule !== "string") return whole(value, { append: rule.paths, latest: rule.latest ?? [] });
  const { type, delta } = value;
  switch (rule) {
    case "anthropic":
      return type === "content_block_delta" && BLOCK_DELTAS.includes(String(objectOf(delta)["type"]))
        ? whole(value, BLOCK)
        : undefined;
    case "ai-sdk":
      return UI_DELTAS.includes(String(type)) ? whole(value, UI_CHUNK) : undefined;
    case "openai":
      if (typeof type !== "string") return readChunk(value);
      return type.endsWith(".delta") && !type.endsWith("audio.delta") ? whole(value, RESPONSES) : undefined;
  }
}

function readChunk(chunk: Json): Delta | undefined {
  const { choices, usage } = chunk;
  if (!Array.isArray(choices) || choices.length === 0 || (usage !== null && usage !== undefined)) return undefined;
  const parts = new Map<string, Part>();
  for (const choice of choices.map(objectOf)) {
    const part = strip(choice, CHOICE);
    const { logprobs, finish_reason } = choice;
    if (part.texts.size === 0 || (logprobs ?? finish_reason ?? null) !== null) return undefined;
    parts.set(String(choice["index"]), part);
  }
  const outer = strip({ ...chunk, choices: [] }, CHUNK);
  return { outer, parts, latest: latestOf(chunk, CHUNK) };
}

function whole(value: Json, roles: Roles): Delta | undefined {
  const part = strip(value, roles);
  if (part.texts.size === 0) return undefined;
  return { outer: { rest: "", texts: new Map() }, parts: new Map([["", part]]), latest: latestOf(value, roles) };
}

function strip(value: Json, roles: Roles): Part {
  const texts = new Map<string, string>();
  const rest = mapValues(value, "$", (pattern, place, found) => {
    if (roles.latest.includes(pattern)) return null;
    if (!roles.append.includes(pattern) || typeof found !== "string") return found;
    texts.set(place, found);
    return "";
  });
  return { rest: JSON.stringify(rest), texts };
}

function latestOf(value: Json, roles: Roles): string {
  const found: string[] = [];
  mapValues(value, "$", (pattern, place, at) => {
    if (roles.latest.includes(pattern)) found.push(`${place}=${JSON.stringify(at)}`);
    return at;
  });
  return found.join();
}

/** Walks all values within one; `place` has indexes where `pattern` has stars. */
function mapValues(
  value: unknown,
  pattern: string,
  change: (pattern: string, place: string, value: unknown) => unknown,
  place = pattern,
): unknown {
  const changed = change(pattern, place, value);
  if (changed !== value) return changed;
  if (Array.isArray(value)) return value.map((one, at) => mapValues(one, `${pattern}[*]`, change, `${place}[${at}]`));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      name,
      mapValues(one, `${pattern}.${name}`, change, `${place}.${name}`),
    ]),
  );
}

/** Whether the second event does nothing but append to what the first one appends to. */
export function areAdjoining(rule: FoldRule, first: Content, second: Content): boolean {
  const deltas = [first, second].map(({ data }) => readDelta(rule, data));
  const [one, other] = deltas;
  if (one === undefined || other === undefined || first.event !== second.event) return false;
  if (first.retry !== undefined || second.retry !== undefined || one.outer.rest !== other.outer.rest) return false;
  for (const [key, part] of other.parts) if ((one.parts.get(key)?.rest ?? part.rest) !== part.rest) return false;
  return true;
}

/** @returns what is wrong with one event that is to stand for several; `undefined` where nothing is */
export function foldFault(rule: FoldRule, sources: readonly Content[], fold: Content): string | undefined {
  const whole = readDelta(rule, fold.data);
  if (whole === undefined) return "it does more than append";
  const joined = new Map<string, Map<string, string>>();
  let latest = "";
  for (const source of sources) {
    const delta = readDelta(rule, source.data);
    if (delta === undefined) return `${source.data.slice(0, 200)} does more than append`;
    if (source.event !== fold.event || source.retry !== undefined || fold.retry !== undefined) {
      return "fields other than data differ";
    }
    if (delta.outer.rest !== whole.outer.rest) return "what is around the choices differs";
    for (const [key, part] of delta.parts) {
      if (part.rest !== whole.parts.get(key)?.rest) return `it is another than ${source.data.slice(0, 200)}`;
      const texts = joined.get(key) ?? new Map<string, string>();
      joined.set(key, texts);
      for (const [place, text] of part.texts) texts.set(place, (texts.get(place) ?? "") + text);
    }
    ({ latest } = delta);
  }
  if (latest !== whole.latest) return `the latest values are ${whole.latest}, not ${latest}`;
  if (joined.size !== whole.parts.size) return `it has ${whole.parts.size} choices, not ${joined.size}`;
  for (const [key, texts] of joined) {
    for (const [place, text] of texts) {
      const found = whole.parts.get(key)?.texts.get(place);
      if (found !== text) return `${key}${place} is ${textEnds(found)}, not ${textEnds(text)}`;
    }
  }
  return undefined;
}

function textEnds(text: string | undefined): string {
  if (text === undefined || text.length <= 80) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, 40))}…${JSON.stringify(text.slice(-40))} (${text.length})`;
}

/** What an event's data is without its verbose values; `undefined` where it has none. */
/** `: payload trimmed` and its line's end: what is not shorter with it stays. */
const TRIMMED_LINE_CHARS = 18;

export function trimmedData(data: string, paths: readonly string[]): string | undefined {
  const value = parse(data);
  if (value === undefined) return undefined;
  let isTrimmed = false;
  const trimmed = mapValues(value, "$", (pattern, _, found) => {
    if (!paths.includes(pattern) || JSON.stringify(found).length <= "null".length) return found;
    isTrimmed = true;
    return null;
  });
  const text = JSON.stringify(trimmed);
  return isTrimmed && text.length + TRIMMED_LINE_CHARS < data.length ? text : undefined;
}

function parse(data: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    // Data need not be JSON.
    return undefined;
  }
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
