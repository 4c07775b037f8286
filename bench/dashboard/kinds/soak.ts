/** Results of `npm run soak`. Pure. */
import { numberAt, textAt } from "../json-reading.ts";
import { measure, type KindReading } from "../measures.ts";

const PERCENT = 100;

export function readSoak(json: unknown): KindReading {
  const at = (...path: string[]) => numberAt(json, "summary", ...path);
  const streams = at("streams");
  const complete = at("streams_complete");
  const minutes = numberAt(json, "options", "minutes");
  const readers = numberAt(json, "options", "readers");
  const slope = { group: "Soak: growth of memory", better: "less" as const, share: 0 };
  return {
    verdict: textAt(json, "verdict"),
    conditions: [minutes === undefined ? "" : `${minutes} min`, readers === undefined ? "" : `${readers} readers`]
      .filter((part) => part !== "")
      .join(", "),
    measures: [
      ...measure(
        { ...slope, id: "soak-kb-per-stream", label: "a stream", unit: "KB", floor: 1 },
        // The slope that a few outliers do not move.
        at("memory_kb_per_stream", "theil_sen"),
      ),
      ...measure(
        {
          id: "soak-complete",
          group: "Soak: streams read to the end whole",
          label: "whole",
          unit: "%",
          better: "more",
          floor: 0.1,
          share: 0,
        },
        streams === undefined || streams === 0 || complete === undefined ? undefined : (complete / streams) * PERCENT,
      ),
      ...measure(
        {
          id: "soak-memory-max",
          group: "Soak: memory",
          label: "most",
          unit: "MB",
          better: "less",
          floor: 20,
          share: 0.15,
        },
        at("memory_mb", "max"),
      ),
      ...measure(
        {
          id: "soak-left-objects",
          group: "Soak: objects left behind",
          label: "objects",
          unit: "objects",
          better: "less",
          floor: 1,
          share: 0,
        },
        at("leftovers", "objects"),
      ),
    ],
  };
}
