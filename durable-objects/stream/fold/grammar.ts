/**
 * Which events of an API only append, and where: the presets, and what a route names itself.
 *
 * Sources: the APIs' references for streamed chat completions and completions, the Responses API's
 * streaming events, Anthropic's "Streaming messages", and the AI SDK's UI message stream protocol.
 *
 * Invariant: when in doubt an event is not folded. Where an API's deltas may carry more than what is
 * listed, everything unknown is a barrier, for it might append as well and be equal by chance.
 */
import type { FoldPreset, FoldRule } from "../../../protocol/fold.ts";
import { pathSteps } from "../../../protocol/json-path.ts";
import { pathTree, type Role } from "./path-tree.ts";
import { plainShape, readShape, type Shape } from "./shape.ts";

export interface Grammar {
  /** Whether data is JSON, of which strings append; else it appends as it is. */
  readonly isJson: boolean;
  /** @returns where the event appends; `undefined` for one that must stay as it is */
  shapeOf(data: string): Shape | undefined;
}

type ShapeOf = Grammar["shapeOf"];

/** The end of OpenAI's streams and of all who copied it. */
export const DONE_DATA = "[DONE]";

export function grammarOf(rule: FoldRule): Grammar {
  if (rule === "text") return { isJson: false, shapeOf: (data) => (data === DONE_DATA ? undefined : plainShape(data)) };
  if (typeof rule === "string") return { isJson: true, shapeOf: PRESETS[rule]() };
  const tree = pathTree([...roles("append", rule.paths), ...roles("latest", rule.latest ?? [])]);
  return { isJson: true, shapeOf: (data) => appending(readShape(data, tree)) };
}

const PRESETS: Readonly<Record<Exclude<FoldPreset, "text">, () => ShapeOf>> = {
  openai,
  anthropic,
  "ai-sdk": aiSdk,
};

/** Chat completions, legacy completions and the Responses API, told apart by what the event holds. */
function openai(): ShapeOf {
  const choice = "$.choices[*]";
  const delta = `${choice}.delta`;
  // One call to an event, as the API sends them: several are told apart by their `index`, which may come twice.
  const call = `${delta}.tool_calls[0]`;
  const strict = [choice, delta, call, `${call}.function`, `${call}.custom`, `${delta}.function_call`];
  const tree = pathTree(
    [
      ...roles("append", [`${choice}.text`, `${delta}.content`, `${delta}.refusal`]),
      ...roles("append", [`${delta}.reasoning_content`, `${delta}.reasoning`]),
      ...roles("append", [`${call}.function.arguments`, `${call}.custom.input`, `${delta}.function_call.arguments`]),
      ...roles("key", [`${choice}.index`]),
      ...roles("plain", [`${choice}.content_filter_results`, `${delta}.role`]),
      ...roles("plain", [`${call}.index`, `${call}.id`, `${call}.type`]),
      ...roles("barrier", ["$.usage", "$.logprobs", `${delta}.tool_calls[1]`]),
      ...roles("tag", ["$.type"]),
      ...roles("append", ["$.delta"]),
      ...roles("latest", ["$.obfuscation", "$.sequence_number"]),
    ],
    { keyed: pathSteps("$.choices"), strict: strict.map(pathSteps) },
  );
  return (data) => {
    const shape = appending(readShape(data, tree));
    if (shape === undefined) return undefined;
    const [type] = shape.tags;
    if (shape.isKeyed)
      return type === undefined && !shape.outer.cuts.some(({ appends }) => appends) ? shape : undefined;
    return type !== undefined && isResponsesDelta(type) ? shape : undefined;
  };
}

/** Audio is base64, and two pieces of base64 do not join into one. */
function isResponsesDelta(rawType: string): boolean {
  return rawType.endsWith('.delta"') && !rawType.endsWith('audio.delta"');
}

function anthropic(): ShapeOf {
  const tree = pathTree(
    [
      ...roles("tag", ["$.type", "$.delta.type"]),
      ...roles("append", ["$.delta.text", "$.delta.thinking", "$.delta.partial_json"]),
    ],
    { strict: [pathSteps("$.delta")] },
  );
  const kinds = new Set(['"text_delta"', '"thinking_delta"', '"input_json_delta"']);
  return (data) => {
    const shape = appending(readShape(data, tree));
    const isDelta = shape?.tags.includes('"content_block_delta"') === true && shape.tags.some((tag) => kinds.has(tag));
    return isDelta ? shape : undefined;
  };
}

function aiSdk(): ShapeOf {
  const tree = pathTree([...roles("tag", ["$.type"]), ...roles("append", ["$.delta", "$.inputTextDelta"])]);
  const kinds = new Set(['"text-delta"', '"reasoning-delta"', '"tool-input-delta"']);
  return (data) => {
    const shape = appending(readShape(data, tree));
    return shape?.tags.some((tag) => kinds.has(tag)) === true ? shape : undefined;
  };
}

function roles(role: Role, paths: readonly string[]): { steps: (string | number)[]; role: Role }[] {
  return paths.map((path) => ({ steps: pathSteps(path), role }));
}

/** Every element must append: the remainder tells by their strings which of them an event touches. */
function appending(shape: Shape | undefined): Shape | undefined {
  return shape?.elements.every(({ cuts }) => cuts.some(({ appends }) => appends)) === true ? shape : undefined;
}

/** For readers that look out for the end: no fold and no remainder may come to look like it. */
export function endsLikeDone(data: string): boolean {
  return data.endsWith(DONE_DATA);
}
