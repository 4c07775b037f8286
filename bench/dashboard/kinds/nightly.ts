/** Results of `npm run sim:nightly`. Pure. */
import { listAt, member, numberAt, textAt } from "../json-reading.ts";
import { measure, type KindReading, type Measure, type MeasureSpec } from "../measures.ts";

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
    verdict: member(json, "ok") === true ? "passed" : "failed",
    conditions: workers === undefined ? "" : `${workers} threads`,
    // Half a run says nothing of the whole.
    measures: isInterrupted ? [] : [...ratesOf(json), ...cellsOf(json), ...faultsOf(json)],
  };
}

function ratesOf(json: unknown): Measure[] {
  const group = "Nightly simulation: seeds a second";
  return ["stream", "lake"].flatMap((half) =>
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
