/**
 * The cost model's command line: which streams, and what is to be different about them.
 */
import { parseArgs } from "node:util";

import { DEFAULT_SHAPE, type StreamShape } from "./stream-shape.ts";

const LENGTHS_SEC = [10, 30, 120, 600];
const RATES = [5, 20, 50, 200];

/** Flags with a number, each with the least it takes. */
const NUMBERS = {
  bytes: { sets: "dataBytes", least: 0 },
  readers: { sets: "readers", least: 1 },
  resumes: { sets: "resumes", least: 0 },
  "late-resumes": { sets: "lateResumes", least: 0 },
  "commit-interval-ms": { sets: "commitIntervalMs", least: 1 },
  "buffer-events": { sets: "bufferMaxEvents", least: 1 },
  "buffer-bytes": { sets: "bufferMaxBytes", least: 1024 },
  "ttl-sec": { sets: "snapshotTtlSec", least: 1 },
  "archive-days": { sets: "archiveDays", least: 0 },
  "archive-ratio": { sets: "archiveRatio", least: 0 },
  "idle-sec": { sets: "idleSec", least: 0 },
  "worker-cpu-ms": { sets: "workerCpuMs", least: 0 },
} as const satisfies Record<string, { readonly sets: keyof StreamShape; readonly least: number }>;

const HELP = `What a million streams cost, from the platform's published prices and from what the code does.

  npm run cost-model                             by length and rate of the stream
  npm run cost-model -- --duration-sec 60,300    lengths, seconds
  npm run cost-model -- --rate 8,80              events a second
  npm run cost-model -- --json                   with every count, price and input

What else can be changed, each with its default:
  --bytes ${DEFAULT_SHAPE.dataBytes}                 data of one event
  --readers ${DEFAULT_SHAPE.readers}                 at once, the one who started the stream included
  --resumes ${DEFAULT_SHAPE.resumes}                 reconnections while the stream runs
  --late-resumes ${DEFAULT_SHAPE.lateResumes}            reconnections after its end
  --commit-interval-ms ${DEFAULT_SHAPE.commitIntervalMs}   SSE_COMMIT_INTERVAL_MS
  --buffer-events ${DEFAULT_SHAPE.bufferMaxEvents}         SSE_BUFFER_MAX_EVENTS
  --buffer-bytes ${DEFAULT_SHAPE.bufferMaxBytes}      SSE_BUFFER_MAX_SIZE_MB, in bytes
  --ttl-sec ${DEFAULT_SHAPE.snapshotTtlSec}               SSE_SNAPSHOT_TTL_SEC
  --fold                      the route folds
  --archive                   finished streams go to R2; --archive-days ${DEFAULT_SHAPE.archiveDays}, --archive-ratio ${DEFAULT_SHAPE.archiveRatio}
  --idle-sec ${DEFAULT_SHAPE.idleSec}                billed for an idle object each time before it leaves memory
  --worker-cpu-ms ${DEFAULT_SHAPE.workerCpuMs}           CPU of the Worker for one request`;

export interface Options {
  readonly lengthsSec: readonly number[];
  readonly rates: readonly number[];
  /** Everything but length and rate. */
  readonly shape: StreamShape;
  readonly isJson: boolean;
}

/**
 * @returns the text to print instead, where nothing is to be reckoned
 * @throws where a flag is unknown or its value makes no sense
 */
export function readOptions(args: readonly string[]): Options | { readonly help: string } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      "duration-sec": { type: "string" },
      rate: { type: "string" },
      fold: { type: "boolean", default: false },
      archive: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      ...Object.fromEntries(Object.keys(NUMBERS).map((flag) => [flag, { type: "string" } as const])),
    },
  });
  if (values.help) return { help: HELP };
  const given: Readonly<Record<string, unknown>> = values;
  const changes = Object.entries(NUMBERS).flatMap(([flag, { sets, least }]) => {
    const text = given[flag];
    return typeof text === "string" ? [[sets, readNumber(flag, text, least)] as const] : [];
  });
  return {
    lengthsSec: readList("duration-sec", values["duration-sec"]) ?? LENGTHS_SEC,
    rates: readList("rate", values.rate) ?? RATES,
    shape: { ...DEFAULT_SHAPE, ...Object.fromEntries(changes), isFolded: values.fold, isArchived: values.archive },
    isJson: values.json,
  };
}

function readList(flag: string, text: string | undefined): number[] | undefined {
  return text?.split(",").map((part) => readNumber(flag, part, 0.001));
}

function readNumber(flag: string, text: string, least: number): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value) || value < least) throw new Error(`--${flag} takes a number from ${least} on`);
  return value;
}
