/**
 * What a route may say about folding: which events only append, and where.
 *
 * Folding is lossless for readers that apply deltas: adjacent events that are equal but for what they
 * append become one, under the id of the last.
 */
import { z } from "zod";

import { JsonPathPattern } from "./json-path.ts";

export const FOLD_PRESETS = ["openai", "anthropic", "ai-sdk", "text"] as const;
export type FoldPreset = (typeof FOLD_PRESETS)[number];

/** `paths`: strings that append. `latest`: values that may differ and of which the last one stands. */
const FoldPaths = z.strictObject({
  paths: z.array(JsonPathPattern).min(1).max(32),
  latest: z.array(JsonPathPattern).max(32).optional(),
});

export const FoldRule = z.union([z.enum(FOLD_PRESETS), FoldPaths], {
  error: `${FOLD_PRESETS.join(", ")}, or {"paths": ["$.delta", …], "latest": [ … ]}`,
});
export type FoldRule = z.infer<typeof FoldRule>;
