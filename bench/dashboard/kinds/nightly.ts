/** Results of `npm run sim:nightly`. Pure. */
import { listAt, member, numberAt, textAt } from "../json-reading.ts";
import { measure, type KindReading, type Measure, type MeasureSpec } from "../measures.ts";

const HALVES = ["stream", "lake"] as const;
const NONE = {
  group: "Nightly simulation: what must be none",
  unit: "",
  better: "less",
  floor: 0.5,
  share: 0,
} as const;

export function readNightly(json: unknown): KindReading {
  const workers = numberAt(json, "workers");
  const isInterrupted = member(json, "is_complete") === false;
  return {
    verdict: verdictOf(json, isInterrupted),
    conditions: [workers === undefined ? "" : `${workers} threads`, seedsText(json)].filter(Boolean).join(", "),
    // Half a run says nothing of the whole.
    measures: isInterrupted ? [] : [...ratesOf(json), ...cellsOf(json), ...faultsOf(json)],
  };
}

/** Interrupted, it has proved nothing; what it had found by then it has found. */
function verdictOf(json: unknown, isInterrupted: boolean): string {
  if (member(json, "ok") === true) return "passed";
  return isInterrupted && listAt(json, "failures").length === 0 ? "interrupted" : "failed";
}

/** How many there were to run of each half, not which: those may be others each night. */
function seedsText(json: unknown): string {
  const [first, last] = [numberAt(json, "range", "first"), numberAt(json, "range", "last")];
  const wanted = first === undefined || last === undefined ? undefined : last - first + 1;
  const halves = HALVES.flatMap((half) => {
    const run = numberAt(json, "seeds", half) ?? 0;
    return run === 0 ? [] : [`${wanted ?? run} of the ${half}`];
  });
  if (halves.length > 0) return `seeds: ${halves.join(", ")}`;
  const seeds = numberAt(json, "seeds") ?? wanted;
  return seeds === undefined ? "" : `${seeds} seeds`;
}

function ratesOf(json: unknown): Measure[] {
  const group = "Nightly simulation: seeds a second";
  return HALVES.flatMap((half) =>
    measure(
      { id: `sim-rate-${half}`, group, label: half, unit: "seeds/s", better: "more", floor: 0.5, share: 0.3 },
      numberAt(json, "seeds_per_sec", half) || undefined,
    ),
  );
}

/** States that met with a fault. */
function cellsOf(json: unknown): Measure[] {
  const group = "Nightly simulation: states and faults that met";
  return listAt(json, "coverage").flatMap((matrix) => {
    const title = textAt(matrix, "title") ?? "";
    const spec: MeasureSpec = {
      id: `sim-cells-${title}`,
      group,
      label: title,
      unit: "cells",
      better: "more",
      floor: 1,
      share: 0.02,
    };
    return measure(spec, numberAt(matrix, "reached"));
  });
}

function faultsOf(json: unknown): Measure[] {
  const mutants = listAt(json, "mutants");
  const survivors = mutants.filter((mutant) => member(mutant, "caught") !== true);
  return [
    ...measure({ ...NONE, id: "sim-failures", label: "failed seeds" }, listAt(json, "failures").length),
    ...(mutants.length === 0
      ? []
      : measure({ ...NONE, id: "sim-survivors", label: "deliberate faults not found" }, survivors.length)),
  ];
}
