/**
 * Whether the gate did what a scenario wants: failed by its rule, by no other without a reason, and in time. Pure.
 */
import { failureLine, type Failure } from "../judge.ts";
import type { GateRun } from "../run-gate.ts";
import type { Scenario } from "./scenarios.ts";

/** @returns why it did not; `undefined` where it did */
export function faultOf(
  scenario: Scenario,
  { failures, endMs }: Pick<GateRun, "failures" | "endMs">,
): string | undefined {
  const { expects, mayAlso = {}, byDeadlineSec, faultSec } = scenario;
  const endSec = endMs / 1000;
  if (expects === undefined) {
    return failures.length === 0 ? undefined : `fails without a fault: ${failures.map(failureLine).join("; ")}`;
  }
  if (failures.length === 0) return "passes in spite of the fault";
  const others = failures.filter(({ rule }) => rule !== expects && !(rule in mayAlso));
  if (!failures.some(({ rule }) => rule === expects)) return `fails by ${namesOf(failures)} instead`;
  if (others.length > 0) return `fails by ${namesOf(others)} as well`;
  if (endSec < faultSec.from) return `fails after ${endSec.toFixed(1)} s, before there was a fault`;
  if (endSec > byDeadlineSec) return `fails after ${endSec.toFixed(1)} s, too late: ${byDeadlineSec} s are allowed`;
  return undefined;
}

function namesOf(failures: readonly Failure[]): string {
  return failures.map(({ rule }) => rule).join(" and ");
}
