/**
 * Whose turn it is: rounds of all systems, each round begun by another. Pure.
 */
import type { Plan } from "./measures/plan.ts";
import { NEEDED, type MeasureName } from "./measures/samples.ts";
import type { SystemFacts, SystemName } from "./system.ts";

/** One fresh instance of a system, and what is measured of it. */
export interface Turn {
  readonly round: number;
  readonly system: SystemName;
  readonly measures: readonly MeasureName[];
}

/**
 * Memory has an instance to itself, that has done nothing before.
 *
 * @returns all turns of a run, in order
 */
export function turnsOf(
  systems: readonly SystemName[],
  measures: readonly MeasureName[],
  { rounds, memoryRounds }: Pick<Plan, "rounds" | "memoryRounds">,
): Turn[] {
  const others = measures.filter((name) => name !== "memory");
  return Array.from({ length: rounds }, (_, round) => round).flatMap((round) =>
    rotated(systems, round).flatMap((system) => {
      const ofMemory: Turn[] =
        measures.includes("memory") && round < memoryRounds ? [{ round, system, measures: ["memory"] }] : [];
      return others.length === 0 ? ofMemory : [...ofMemory, { round, system, measures: others }];
    }),
  );
}

/** What a system is able to be measured at. */
export function possible(measures: readonly MeasureName[], { cannot }: Pick<SystemFacts, "cannot">): MeasureName[] {
  return measures.filter((name) => {
    const needed = NEEDED[name];
    return needed === undefined || !cannot.includes(needed);
  });
}

export function rotated<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

/** @returns seconds that the rest will take if it goes on as it did */
export function secondsLeft(done: number, total: number, elapsedSec: number): number | undefined {
  return done === 0 ? undefined : Math.round((elapsedSec / done) * (total - done));
}
