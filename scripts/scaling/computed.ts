/**
 * Everything that a run computes, as JSON. Pure.
 */
import { ceilingsOf } from "./ceilings.ts";
import type { Figures } from "./figures.ts";
import { monthlyBill } from "./monthly-bill.ts";
import type { Options } from "./options.ts";
import { loadOf, type ServiceLoad } from "./service-load.ts";
import { stormOf } from "./storms.ts";
import { shardWaits } from "./waits.ts";

/** A service at several numbers of streams. */
export interface Scene {
  readonly figures: Figures;
  /** Whatever their number. */
  readonly workload: ServiceLoad["workload"];
  readonly loads: readonly ServiceLoad[];
}

export function sceneOf({ streams, workload, figures }: Pick<Options, "streams" | "workload" | "figures">): Scene {
  return { figures, workload, loads: streams.map((count) => loadOf({ ...workload, streams: count }, figures)) };
}

/** Waits without end are `null`. */
export function toJson({ figures, workload, loads }: Scene): string {
  const at = loads.map((load) => ({
    ...load,
    shard_waits: shardWaits(load, figures) ?? null,
    storm: stormOf(load, figures),
    dollars_a_month: monthlyBill(load),
  }));
  return JSON.stringify({ figures, at, gives_first: ceilingsOf(workload, figures) }, null, 2);
}
