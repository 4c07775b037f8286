/**
 * What a route and the service's switches together let a stream's buffer give up, and in which order of
 * priority. Pure.
 */
import { FOLD_PRESETS, type FoldPreset } from "../protocol/fold.ts";
import { presetRules } from "../protocol/priority-presets.ts";
import type { PriorityRule } from "../protocol/priority.ts";
import type { ReliefPolicy } from "../protocol/relief.ts";
import type { RouteConfig } from "./route-config.ts";

/** `SSE_BUFFER_FOLD`, `SSE_BUFFER_TRIM_PAYLOADS`, `SSE_BUFFER_COMPRESS`. */
export interface ReliefSwitches {
  readonly folds: boolean;
  readonly trimsPayloads: boolean;
  readonly compresses: boolean;
}

export function reliefOf(route: RouteConfig, switches: ReliefSwitches): ReliefPolicy {
  return {
    fold: switches.folds ? route.fold : undefined,
    trimPaths: switches.trimsPayloads ? route.trim : [],
    compresses: switches.compresses,
    lowPriorityShare: route.sample,
  };
}

/** The route's own rules first; those of a preset for what they leave open. */
export function priorityRulesOf({ priority, fold }: RouteConfig): readonly PriorityRule[] {
  if (typeof priority === "string") return presetRules(priority);
  return isPreset(fold) ? [...priority, ...presetRules(fold)] : priority;
}

function isPreset(fold: RouteConfig["fold"]): fold is FoldPreset {
  return FOLD_PRESETS.some((preset) => preset === fold);
}
