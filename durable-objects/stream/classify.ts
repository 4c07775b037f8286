/**
 * Which priority an event has: the route's rules first, then what the field's conventions tell.
 * Pure. JSON is parsed only where a rule asks for a path.
 */
import { pathSteps } from "../../protocol/json-path.ts";
import { priorityFromName, type Priority, type PriorityRule } from "../../protocol/priority.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";

const BY_EVENT_NAME: ReadonlyMap<string, Priority> = new Map<string, Priority>([
  ["error", 3],
  ["stage", 3],
  ["done", 3],
  ["end", 3],
  ["complete", 3],
  ["result", 2],
  ["final", 2],
  ["debug", 0],
  ["trace", 0],
  ["progress", 0],
  ["ping", 0],
]);

/** The terminal event of OpenAI's streams and of all who copied it. */
const DONE_DATA = "[DONE]";
const NORMAL: Priority = 1;
const CRITICAL: Priority = 3;

interface CompiledRule {
  readonly event: string | undefined;
  readonly path: readonly (string | number)[] | undefined;
  readonly equals: string | number | boolean | undefined;
  readonly priority: Priority;
}

export type Classify = (event: SourceEvent) => Priority;

export function createClassifier(rules: readonly PriorityRule[]): Classify {
  const compiled = rules.map(compile);
  return (event) => {
    let parsed: { readonly value: unknown } | undefined;
    for (const rule of compiled) {
      if (rule.event !== undefined && rule.event !== (event.event ?? "message")) continue;
      if (rule.path === undefined) return rule.priority;
      parsed ??= { value: parseJson(event.data) };
      const found = valueAt(parsed.value, rule.path);
      if (rule.equals === undefined ? found !== undefined && found !== null : found === rule.equals) {
        return rule.priority;
      }
    }
    if (event.data === DONE_DATA) return CRITICAL;
    return event.event === undefined ? NORMAL : (BY_EVENT_NAME.get(event.event) ?? NORMAL);
  };
}

function compile(rule: PriorityRule): CompiledRule {
  return {
    event: rule.event,
    path: rule.path === undefined ? undefined : pathSteps(rule.path),
    equals: rule.equals,
    priority: priorityFromName(rule.priority),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Data need not be JSON; a path rule then simply does not match.
    return undefined;
  }
}

function valueAt(value: unknown, steps: readonly (string | number)[]): unknown {
  let current = value;
  for (const step of steps) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, step)) return undefined;
    current = Reflect.get(current, step);
  }
  return current;
}
