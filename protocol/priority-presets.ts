/**
 * Priorities that go with a fold preset: structure that a reader cannot do without outlives content.
 *
 * Rules by event name come first, for they cost nothing; a rule by path has each event's JSON parsed, so
 * it is asked only of events that the API sends without a name.
 */
import type { FoldPreset } from "./fold.ts";
import type { PriorityName, PriorityRule } from "./priority.ts";

/** Events without a name, as chat completions and the AI SDK send them. */
const UNNAMED = "message";

export function presetRules(preset: FoldPreset): readonly PriorityRule[] {
  switch (preset) {
    case "openai":
      return OPENAI;
    case "anthropic":
      return ANTHROPIC;
    case "ai-sdk":
      return AI_SDK;
    case "text":
      return [];
  }
}

const OPENAI: readonly PriorityRule[] = [
  ...named("critical", ["error", "response.failed", "response.incomplete", "response.completed"]),
  ...named("high", ["response.created", "response.queued", "response.in_progress"]),
  ...named("high", ["response.output_item.added", "response.output_item.done"]),
  ...named("high", ["response.content_part.added", "response.content_part.done"]),
  ...named("high", ["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"]),
  ...named("high", ["response.reasoning_summary_text.done", "response.reasoning_text.done"]),
  ...named("high", ["response.output_text.done", "response.output_text.annotation.added", "response.refusal.done"]),
  ...named("high", ["response.function_call_arguments.done", "response.custom_tool_call_input.done"]),
  ...named("high", ["response.mcp_call_arguments.done", "response.code_interpreter_call_code.done"]),
  ...named("high", ["response.shell_call_command.added", "response.shell_call_command.done"]),
  ...named("high", ["response.shell_call_output_content.done"]),
  ...named("high", ["response.audio.done", "response.audio.transcript.done"]),
  { event: UNNAMED, path: "$.error", priority: "critical" },
  { event: UNNAMED, path: "$.choices[0].finish_reason", priority: "high" },
  { event: UNNAMED, path: "$.usage", priority: "high" },
  // Without these a reader has content that belongs to nobody: OpenAI's own refuses a message without a role.
  { event: UNNAMED, path: "$.choices[0].delta.role", priority: "high" },
  { event: UNNAMED, path: "$.choices[0].delta.tool_calls[0].id", priority: "high" },
  { event: UNNAMED, path: "$.choices[0].delta.function_call.name", priority: "high" },
];

const ANTHROPIC: readonly PriorityRule[] = [
  ...named("critical", ["message_stop", "error"]),
  ...named("high", ["message_start", "message_delta", "content_block_start", "content_block_stop"]),
  ...named("low", ["ping"]),
];

const AI_SDK: readonly PriorityRule[] = [
  ...typed("critical", ["finish", "abort", "error"]),
  ...typed("normal", ["text-delta", "reasoning-delta", "tool-input-delta"]),
  // Every other chunk opens, closes or completes a part, and its kinds are not a closed list (`data-…`).
  { event: UNNAMED, path: "$.type", priority: "high" },
];

function named(priority: PriorityName, events: readonly string[]): PriorityRule[] {
  return events.map((event) => ({ event, priority }));
}

function typed(priority: PriorityName, types: readonly string[]): PriorityRule[] {
  return types.map((equals) => ({ event: UNNAMED, path: "$.type", equals, priority }));
}
