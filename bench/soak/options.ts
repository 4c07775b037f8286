/** The soak's command line. Pure. */
import { parseArgs } from "node:util";

import { readNumber } from "../gate/options.ts";

export interface SoakOptions {
  readonly minutes: number;
  readonly readers: number;
  readonly seed: number;
  readonly out: string;
  readonly limitKbPerStream: number;
}

/** A stream's identity, token and settings are about a kilobyte: whoever keeps those of each one is beyond it. */
const LIMIT_KB_PER_STREAM = 2;

const HELP = `Thousands of short streams with readers that come, are cut, come back and leave; memory has to stay flat.

  npm run soak                       ten minutes
  npm run soak -- --minutes 60       an hour, for a narrow interval

  --minutes N             of load (10)
  --readers N             at once (20)
  --seed N                of what they do (a new one, printed)
  --max-kb-per-stream N   growth that is allowed for each stream (${LIMIT_KB_PER_STREAM})
  --out DIR               soak-<date>.json and .html (perf-results)

Growing is what lies beyond the limit at the lower end of the slope's 95 % confidence interval.
Exit code: 0 flat and clean, 1 not, 2 an option is at fault, 3 it could not run.`;

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
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return { help: HELP };
  const { minutes, readers, seed, out } = values;
  return {
    minutes: readNumber("minutes", minutes, { fallback: 10, min: 0.1, max: 10_080 }),
    readers: readNumber("readers", readers, { fallback: 20, min: 1, max: 10_000, isWhole: true }),
    seed: readNumber("seed", seed, { fallback: newSeed(), min: 0, max: 2 ** 31, isWhole: true }),
    out,
    limitKbPerStream: readNumber("max-kb-per-stream", values["max-kb-per-stream"], {
      fallback: LIMIT_KB_PER_STREAM,
      min: 0,
      max: 1e6,
    }),
  };
}
