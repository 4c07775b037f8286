/**
 * With a preset's rules, what a reader cannot do without outlives content.
 */
import { expect, it } from "vitest";
import { array } from "zod";

import { createClassifier } from "../../durable-objects/stream/classify.ts";
import { FOLD_PRESETS, type FoldPreset } from "../../protocol/fold.ts";
import { presetRules } from "../../protocol/priority-presets.ts";
import { PRIORITIES, PriorityRule } from "../../protocol/priority.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";

function priorityOf(preset: FoldPreset, data: string, event?: string) {
  return PRIORITIES[createClassifier(presetRules(preset))({ event, data, retryMs: undefined })];
}

it.each(FOLD_PRESETS)("%s: its rules are rules that a route could have", (preset) => {
  expect(array(PriorityRule).parse(presetRules(preset))).toEqual(presetRules(preset));
});

it.each([
  ["openai", '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}', "normal"],
  ["openai", '{"choices":[{"index":1,"delta":{"role":"assistant","content":""}}]}', "high"],
  ["openai", '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1"}]}}]}', "high"],
  ["openai", '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}', "normal"],
  ["openai", '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', "high"],
  ["openai", '{"choices":[],"usage":{"total_tokens":3}}', "high"],
  ["openai", '{"error":{"message":"overloaded"}}', "critical"],
  ["openai", "[DONE]", "critical"],
  ["ai-sdk", '{"type":"text-delta","id":"1","delta":"a"}', "normal"],
  ["ai-sdk", '{"type":"reasoning-delta","id":"1","delta":"a"}', "normal"],
  ["ai-sdk", '{"type":"tool-input-delta","toolCallId":"1","inputTextDelta":"a"}', "normal"],
  ["ai-sdk", '{"type":"text-start","id":"1"}', "high"],
  ["ai-sdk", '{"type":"tool-output-available","toolCallId":"1","output":{}}', "high"],
  ["ai-sdk", '{"type":"data-weather","data":{}}', "high"],
  ["ai-sdk", '{"type":"finish"}', "critical"],
  ["ai-sdk", '{"type":"abort"}', "critical"],
  ["ai-sdk", '{"type":"error","errorText":"e"}', "critical"],
  ["text", "token", "normal"],
] as const)("%s: %s is %s", (preset, data, priority) => {
  expect(priorityOf(preset, data)).toBe(priority);
});

it.each([
  ["openai", "response.output_text.delta", "normal"],
  ["openai", "response.output_item.added", "high"],
  ["openai", "response.output_text.done", "high"],
  ["openai", "response.completed", "critical"],
  ["openai", "response.failed", "critical"],
  ["openai", "response.incomplete", "critical"],
  ["openai", "error", "critical"],
  ["anthropic", "content_block_delta", "normal"],
  ["anthropic", "ping", "low"],
  ["anthropic", "message_start", "high"],
  ["anthropic", "content_block_stop", "high"],
  ["anthropic", "message_stop", "critical"],
  ["anthropic", "error", "critical"],
] as const)("%s: events called %s are %s", (preset, event, priority) => {
  expect(priorityOf(preset, "{}", event)).toBe(priority);
});

it("every transcript ends with something critical, and most of it is content", () => {
  for (const { name, preset, events } of API_TRANSCRIPTS) {
    const priorities = events.map(({ data, event }) => priorityOf(preset, data, event));
    expect(priorities.at(-1), name).toBe("critical");
    expect(priorities.filter((priority) => priority === "normal").length, name).toBeGreaterThan(events.length / 2 - 1);
  }
});
