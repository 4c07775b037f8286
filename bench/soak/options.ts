/** The soak's command line. Pure. */
import { parseArgs } from "node:util";

import { readNumber } from "../gate/options.ts";
import type { SoakLimits } from "./verdict.ts";

export interface SoakOptions {
  readonly minutes: number;
  readonly readers: number;
  readonly seed: number;
  readonly out: string;
  readonly limits: SoakLimits;
  /** Kept of each start call by the service, on purpose; 0 is the service as it is. */
  readonly plantedKb: number;
}

/**
 * A local workerd keeps something of every object that it ever had, of a bare one with two tables too: docs/perf-gate.md has
 * the figures. Beyond that is the service's own.
 */
const LIMIT_KB_PER_STREAM = 64;
const RULED_OUT_KB_PER_STREAM = 128;

const HELP = `Thousands of short streams with readers that come, are cut, come back and leave; memory has to stay flat.

  npm run soak                       ten minutes
  npm run soak -- --minutes 60       an hour, for a narrow interval

  --minutes N             of load (10), from 1 to 1440
  --readers N             at once (20)
  --seed N                of what they do (a new one, printed)
  --max-kb-per-stream N   growth that is allowed for each stream (${LIMIT_KB_PER_STREAM})
  --rule-out-kb N         growth that a run must rule out to call memory flat (${RULED_OUT_KB_PER_STREAM})
  --plant-kb N            lets the service keep so much of each start call, to see that it is found (0)
  --out DIR               soak-<date>.json and .html (perf-results)

Growing is what lies beyond the limit at the lower end of the slope's 95 % confidence interval, flat what lies within
--rule-out-kb at its upper end; anything else is undecided. Broken off (Ctrl-C) it writes what there is.
Exit code: 0 flat and clean, 1 not, 2 an option is at fault, 3 it could not run, 4 undecided, 130 broken off.`;

/** @returns the text to print instead, where there is nothing to run */
export function readOptions(args: readonly string[], newSeed: () => number): SoakOptions | { readonly help: string } {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: text,
      readers: text,
      seed: text,
      out: { ...text, default: "perf-results" },
      "max-kb-per-stream": text,
      "rule-out-kb": text,
      "plant-kb": text,
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return { help: HELP };
  const { minutes, readers, seed, out } = values;
  const amount = (name: "max-kb-per-stream" | "rule-out-kb" | "plant-kb", fallback: number) =>
    readNumber(name, values[name], { fallback, min: 0, max: 1e6 });
  return {
    minutes: readNumber("minutes", minutes, { fallback: 10, min: 1, max: 1440 }),
    readers: readNumber("readers", readers, { fallback: 20, min: 1, max: 1000, isWhole: true }),
    seed: readNumber("seed", seed, { fallback: newSeed(), min: 0, max: 2 ** 31, isWhole: true }),
    out,
    limits: {
      kbPerStream: amount("max-kb-per-stream", LIMIT_KB_PER_STREAM),
      ruledOutKbPerStream: amount("rule-out-kb", RULED_OUT_KB_PER_STREAM),
    },
    plantedKb: amount("plant-kb", 0),
  };
}
