/** When the comparison has failed: never by a figure, always where what was asked for is missing. */
import { describe, expect, test } from "vitest";

import { complaintsOf } from "../../bench/peers/outcome.ts";
import type { Figure } from "../../bench/peers/report/shape.ts";
import type { SystemName } from "../../bench/peers/system.ts";

const value = { median: 1, min: 1, max: 1 };

function figureOf(system: SystemName): Figure {
  return { metric: "live-p50", system, value, rounds: [{ round: 0, value: 1 }], flaws: [], remarks: [] };
}

const MISSING = [{ name: "nchan", reason: "no registry" }] as const;
const FAILURES = [{ system: "bare-do", measure: "live", round: 1, detail: "broke" }] as const;
const NOTHING = { figures: [], missing: [], failures: [] };
const ONLY_OURS = { ...NOTHING, figures: [figureOf("spillway")], missing: MISSING };

describe("a run has failed", () => {
  test("where nothing was measured, or Spillway was to be and was not", () => {
    const systems = ["spillway", "nchan"] as const;
    expect(complaintsOf({ systems, required: [] }, NOTHING)).toEqual(["nothing was measured"]);
    expect(complaintsOf({ systems, required: [] }, { ...NOTHING, figures: [figureOf("nchan")] })).toEqual([
      "spillway was not measured",
    ]);
    const { value: _, ...empty } = figureOf("spillway");
    expect(complaintsOf({ systems, required: [] }, { ...NOTHING, figures: [empty] })).toHaveLength(1);
  });

  test("not where Spillway was not asked for, nor where a peer that nobody requires is missing", () => {
    const asked = { systems: ["nchan"], required: ["nchan"] } as const;
    expect(complaintsOf(asked, { ...NOTHING, figures: [figureOf("nchan")] })).toEqual([]);
    expect(complaintsOf({ systems: ["spillway", "nchan"], required: [] }, ONLY_OURS)).toEqual([]);
  });

  test("where a required system is missing, failed, or has no figure", () => {
    const systems = ["spillway", "bare-do", "nchan", "redis-streams"] as const;
    const figures = [figureOf("spillway"), figureOf("bare-do")];
    expect(complaintsOf({ systems, required: systems }, { figures, missing: MISSING, failures: FAILURES })).toEqual([
      "bare-do is required and failed: live, round 2: broke",
      "nchan is required and is missing: no registry",
      "redis-streams is required and was not measured",
    ]);
  });
});
