/**
 * Priorities of events: what a full buffer gives up first.
 */
import { z } from "zod";

import { JsonPath } from "./json-path.ts";

export const PRIORITIES = ["low", "normal", "high", "critical"] as const;
export type PriorityName = (typeof PRIORITIES)[number];
/** Index into {@link PRIORITIES}: 0 gives way first, 3 last. Stored in segment rows. */
export type Priority = 0 | 1 | 2 | 3;

export function priorityFromName(name: PriorityName): Priority {
  switch (name) {
    case "low":
      return 0;
    case "normal":
      return 1;
    case "high":
      return 2;
    case "critical":
      return 3;
  }
}

/**
 * One rule: by event name, by a value in the event's JSON data, or both (then both must hold).
 * The first rule that matches decides; without a match the built-in rules do.
 */
export const PriorityRule = z
  .strictObject({
    event: z.string().min(1).optional(),
    path: JsonPath.optional(),
    equals: z.union([z.string(), z.number(), z.boolean()]).optional(),
    priority: z.enum(PRIORITIES),
  })
  .refine((rule) => rule.event !== undefined || rule.path !== undefined, "needs event, path or both")
  .refine((rule) => rule.equals === undefined || rule.path !== undefined, "equals needs path");
export type PriorityRule = z.infer<typeof PriorityRule>;
