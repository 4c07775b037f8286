/**
 * Whether a run measured what it was to measure. Pure: not for how good the figures are.
 */
import type { PeersOptions } from "./options.ts";
import type { PeersReport } from "./report/shape.ts";

/** @returns why the run has failed, a line each; nothing, if it has not */
export function complaintsOf(
  { systems, required }: Pick<PeersOptions, "systems" | "required">,
  { figures, missing, failures }: Pick<PeersReport, "figures" | "missing" | "failures">,
): string[] {
  const measured = new Set(figures.filter(({ value }) => value !== undefined).map(({ system }) => system));
  const nothing = measured.size === 0 ? ["nothing was measured"] : [];
  const isWithoutOurs = systems.includes("spillway") && !measured.has("spillway");
  const ours = isWithoutOurs && measured.size > 0 ? ["spillway was not measured"] : [];
  const lacking = required.flatMap((name) => {
    const reasons = [
      ...missing.filter((one) => one.name === name).map(({ reason }) => `is missing: ${reason}`),
      ...failures
        .filter(({ system }) => system === name)
        .map(({ measure, round, detail }) => `failed: ${measure}, round ${round + 1}: ${detail}`),
    ];
    if (reasons.length === 0 && !measured.has(name)) return [`${name} is required and was not measured`];
    return reasons.map((reason) => `${name} is required and ${reason}`);
  });
  return [...nothing, ...ours, ...lacking];
}
