/**
 * The service's own word of what left a buffer, as a sample. Pure. A line that speaks of it and cannot be read
 * is one, too: the rule on trims must not fall silent with it.
 */
import type { Sample } from "./samples.ts";

const NAME = "SseBufferTrimmed";

/** @returns `undefined` where the line speaks of something else */
export function trimOf(line: string, atMs: number): Sample | undefined {
  if (!line.includes(NAME)) return undefined;
  const members = parsed(line);
  const { event, events, unread_events: unread } = members;
  if (event !== undefined && event !== NAME) return undefined;
  if (event === NAME && isCount(events) && isCount(unread) && unread <= events) {
    return { kind: "trim", atMs, events, unread };
  }
  return { kind: "unreadable", atMs, what: `a line of ${NAME}` };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function parsed(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    // The caller finds nothing in it.
    return {};
  }
}
