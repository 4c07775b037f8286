/**
 * What the nightly run is asked for on its command line.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

import { readCount, readRange, UsageError, type SeedRange } from "../many-seeds.ts";
import { HALVES, type Half } from "./tasks.ts";

export const HELP = `Runs both simulators over many seeds on all cores, says which faults struck in which states,
and puts deliberate faults into the code to see that each is found.

  --seeds A..B       seeds of each half (default 1..20000)
  --from-date DATE   other seeds for each day: these, moved on by their number for every day to DATE
                     (YYYY-MM-DD, or today)
  --offset N         these, moved on by N
  --steps N          steps of each seed (default 300 of streams, 120 of the lake)
  --only HALF        stream or lake
  --workers N        threads (default: one for each core)
  --mutant-seeds N   seeds in which a deliberate fault has to be found (default 400)
  --no-mutants       seeds alone
  --mutants-only     deliberate faults alone
  --out FILE         where the result is written as JSON (default sim-nightly-results.json)
  --help             this

Examples:
  npm run sim:nightly
  npm run sim:nightly -- --seeds 1..2000 --only lake
  npm run sim:nightly -- --from-date today
  npm run sim:nightly -- --mutants-only

Ends with 0 where all holds, 1 where a seed fails, a thread hangs or dies, a deliberate fault is not caught by
a broken promise, or a cell that has to be reached by so many seeds was not (of most: 10,000), 2 for a mistaken call, 130 when interrupted.`;

const DEFAULT_RANGE = { first: 1, last: 20_000 };
const DAY_MS = 86_400_000;
/** What the generator of random numbers tells apart. */
const SEED_MAX = 2 ** 32 - 1;
const DEFAULT_MUTANT_SEEDS = 400;
const DEFAULT_STEPS: Readonly<Record<Half, number>> = { stream: 300, lake: 120 };

export interface NightlyOptions {
  readonly isHelp: boolean;
  readonly range: SeedRange;
  readonly steps: Readonly<Record<Half, number>>;
  readonly halves: readonly Half[];
  readonly workers: number;
  readonly mutantSeeds: number;
  readonly hasSeeds: boolean;
  readonly hasMutants: boolean;
  readonly out: string;
}

/** @throws {UsageError} and TypeError where the call is mistaken */
export function readOptions(args: readonly string[], nowMs = Date.now()): NightlyOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string" },
      "from-date": { type: "string" },
      offset: { type: "string" },
      steps: { type: "string" },
      only: { type: "string" },
      workers: { type: "string" },
      "mutant-seeds": { type: "string" },
      "no-mutants": { type: "boolean", default: false },
      "mutants-only": { type: "boolean", default: false },
      out: { type: "string", default: "sim-nightly-results.json" },
      help: { type: "boolean", default: false },
    },
  });
  if (values["no-mutants"] && values["mutants-only"]) throw new UsageError("--no-mutants or --mutants-only, not both");
  const steps = values.steps === undefined ? undefined : positive(values.steps, "steps");
  return {
    isHelp: values.help,
    range: readMovedRange(values, nowMs),
    steps: steps === undefined ? DEFAULT_STEPS : { stream: steps, lake: steps },
    halves: values.only === undefined ? HALVES : [readHalf(values.only)],
    workers: values.workers === undefined ? availableParallelism() : positive(values.workers, "workers"),
    mutantSeeds:
      values["mutant-seeds"] === undefined ? DEFAULT_MUTANT_SEEDS : positive(values["mutant-seeds"], "mutant-seeds"),
    hasSeeds: !values["mutants-only"],
    hasMutants: !values["no-mutants"],
    out: values.out,
  };
}

interface RangeTexts {
  readonly seeds?: string | undefined;
  readonly "from-date"?: string | undefined;
  readonly offset?: string | undefined;
}

function readMovedRange({ seeds, "from-date": date, offset }: RangeTexts, nowMs: number): SeedRange {
  const { first, last } = seeds === undefined ? DEFAULT_RANGE : readRange(seeds);
  if (date !== undefined && offset !== undefined) throw new UsageError("--from-date or --offset, not both");
  let by = offset === undefined ? 0 : readCount(offset, "offset");
  if (date !== undefined) by = Math.floor(readDateMs(date, nowMs) / DAY_MS) * (last - first + 1);
  if (last + by > SEED_MAX) throw new UsageError(`--seeds: ${last + by} is the last, allowed is ${SEED_MAX} at most`);
  return { first: first + by, last: last + by };
}

function readDateMs(text: string, nowMs: number): number {
  const timeMs = text === "today" ? nowMs : Date.parse(`${text}T00:00:00Z`);
  const isDate = text === "today" || /^\d{4}-\d{2}-\d{2}$/.test(text);
  if (!isDate || Number.isNaN(timeMs) || timeMs < 0)
    throw new UsageError(`--from-date: found ${text}, allowed are YYYY-MM-DD and today`);
  return timeMs;
}

function positive(text: string, option: string): number {
  const count = readCount(text, option);
  if (count === 0) throw new UsageError(`--${option}: found 0, allowed is 1 or more`);
  return count;
}

function readHalf(text: string): Half {
  const half = HALVES.find((candidate) => candidate === text);
  if (half === undefined) throw new UsageError(`--only: found ${text}, allowed are ${HALVES.join(", ")}`);
  return half;
}
