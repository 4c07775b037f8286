/**
 * The command line of scripts/simulate: which streams, how the service is set, and which unit figures are to be
 * others. No I/O.
 */
import { parseArgs } from "node:util";

import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import { NUMBER_VARIABLES } from "../../workers/config.ts";
import { DEFAULT_FIGURES, FIGURES, type FigureName, type Figures } from "./figures.ts";
import { DEFAULT_WORKLOAD, type Workload } from "./workload.ts";

const DEFAULT_STREAMS: readonly number[] = [1, 1000, 100_000, 1_000_000, 10_000_000];
const MOST_STREAMS = 1_000_000_000;
/** More would not fit an isolate by far. */
const MOST_ON_A_THREAD = 100_000;
const SEC_PER_DAY = 86_400;
const { SSE_MAX_CLIENTS, SSE_MAX_EVENT_BYTES } = NUMBER_VARIABLES;
const { ICEBERG_SHARDS, ICEBERG_BUFFER_SIZE, ICEBERG_BUFFER_TIMEOUT_MS, ICEBERG_COMMIT_INTERVAL_MS } =
  LAKE_NUMBER_VARIABLES;

type Action = "report" | "check" | "measure" | "list-figures" | "update";

export interface Options {
  readonly action: Action;
  readonly streams: readonly number[];
  /** Everything but their number. */
  readonly workload: Workload;
  readonly figures: Figures;
  readonly isJson: boolean;
  /** Whose tables are to be written anew. */
  readonly document: string | undefined;
}

/** A fault of the command line, worded for whoever typed it. */
export class UsageError extends Error {}

interface NumberFlag {
  readonly sets: keyof Workload;
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
  readonly help: string;
}

/** Flags with a number; those that stand for a setting take what it takes. */
const NUMBERS: Readonly<Record<string, NumberFlag>> = {
  "stream-seconds": { sets: "streamSec", min: 0.1, max: 30 * SEC_PER_DAY, help: "length of a stream" },
  "events-per-sec": { sets: "eventsPerSec", min: 0.001, max: 10_000, help: "of each stream" },
  bytes: { sets: "dataBytes", min: 0, max: SSE_MAX_EVENT_BYTES.max, isWhole: true, help: "data of one event" },
  readers: {
    sets: "readers",
    min: 1,
    max: SSE_MAX_CLIENTS.max,
    isWhole: true,
    help: `of each stream, at once; above ${SSE_MAX_CLIENTS.fallback} with SSE_MAX_CLIENTS`,
  },
  resumes: { sets: "resumes", min: 0, max: 1000, help: "of each stream, in its life" },
  shards: { sets: "shards", ...ICEBERG_SHARDS, isWhole: true, help: "ICEBERG_SHARDS" },
  "flush-events": { sets: "flushEvents", ...ICEBERG_BUFFER_SIZE, isWhole: true, help: "ICEBERG_BUFFER_SIZE" },
  "flush-ms": { sets: "flushAgeMs", ...ICEBERG_BUFFER_TIMEOUT_MS, help: "ICEBERG_BUFFER_TIMEOUT_MS" },
  "commit-ms": { sets: "commitIntervalMs", ...ICEBERG_COMMIT_INTERVAL_MS, help: "ICEBERG_COMMIT_INTERVAL_MS" },
  deployments: {
    sets: "deployments",
    min: 1,
    max: 10_000,
    isWhole: true,
    help: "services that share the streams, a table each",
  },
  "storm-share": { sets: "stormShare", min: 0, max: 1, help: "of all readers, that come back together" },
  "storm-spread-ms": { sets: "stormSpreadMs", min: 0, max: 600_000, help: "within which they do" },
  "streams-per-thread": {
    sets: "streamsPerThread",
    min: 1,
    max: MOST_ON_A_THREAD,
    isWhole: true,
    help: "whose objects share an isolate",
  },
  "table-days": { sets: "tableDays", min: 0, max: 36_500, help: "that the table has been filled" },
  seed: { sets: "seed", min: 0, max: 2 ** 32 - 1, isWhole: true, help: "of the simulation" },
};

const SWITCHES = {
  pipelines: { type: "boolean", default: false },
  "foreign-catalog": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  check: { type: "boolean", default: false },
  measure: { type: "boolean", default: false },
  "list-figures": { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export function helpText(): string {
  const numbers = Object.entries(NUMBERS).map(([flag, { sets, help }]) =>
    `  --${flag} ${String(DEFAULT_WORKLOAD[sets])}`.padEnd(30).concat(help),
  );
  return `What Spillway has to do, to wait for and to pay at many streams at once, and what gives first.
Computed from unit figures that were measured, and from the platform's limits: docs/scaling.md.

  scripts/simulate                                  from 1 to 10 million streams, at default settings
  scripts/simulate --streams 50000 --shards 16      another number, other settings
  scripts/simulate --streams 1000000 --stream-seconds 120 --readers 3 --resumes 1 --json
  scripts/simulate --streams 1000000 --pipelines    events into Cloudflare Pipelines, no table of ours
  scripts/simulate --hand-over-cpu-us 800           another unit figure
  scripts/simulate --list-figures                   all of them, with unit and source
  scripts/simulate --check                          the simulation against exact answers
  scripts/simulate --update docs/scaling.md         its tables, with the figures of now
  scripts/simulate --measure                        the figures on this machine: two minutes, and a quiet machine

Options, each with its default:
  --streams ${DEFAULT_STREAMS.join(",")}
${numbers.join("\n")}
  --pipelines                 ANALYTICS_SINK=pipelines
  --foreign-catalog           ICEBERG_CATALOG=rest, with a catalog that compacts and expires by itself
  --json                      everything computed, as JSON

Exit codes: 0, 1 (--check: the simulation disagrees; --measure: it failed), 2 (the command line is at fault).`;
}

/** @returns `undefined` where help is asked for. @throws {UsageError} */
export function readOptions(args: readonly string[]): Options | undefined {
  const values = parse(args);
  if (values["help"] === true) return undefined;
  const workload: Workload = {
    ...DEFAULT_WORKLOAD,
    ...Object.fromEntries(
      Object.entries(NUMBERS).flatMap(([flag, { sets, ...bounds }]) => {
        const text = values[flag];
        return typeof text === "string" ? [[sets, readNumber(flag, text, bounds)]] : [];
      }),
    ),
    isPiped: values["pipelines"] === true,
    isForeignCatalog: values["foreign-catalog"] === true,
  };
  return {
    action: actionOf(values),
    streams: readStreams(values["streams"]),
    workload,
    figures: readFigures(values),
    isJson: values["json"] === true,
    document: typeof values["update"] === "string" ? values["update"] : undefined,
  };
}

export function flagOf(figure: string): string {
  return figure.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function parse(args: readonly string[]): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({
      args: [...args],
      options: {
        ...SWITCHES,
        ...textFlags(["streams", "update", ...Object.keys(NUMBERS), ...Object.keys(FIGURES).map(flagOf)]),
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function textFlags(flags: readonly string[]) {
  return Object.fromEntries(flags.map((flag) => [flag, { type: "string" } as const]));
}

function actionOf(values: Readonly<Record<string, unknown>>): Action {
  const actions = ["check", "measure", "list-figures", "update"] as const;
  const asked = actions.filter((action) => values[action] !== undefined && values[action] !== false);
  if (asked.length > 1) throw new UsageError(`--${asked.join(" and --")} are asked for one at a time`);
  return asked[0] ?? "report";
}

function readStreams(text: unknown): readonly number[] {
  if (typeof text !== "string") return DEFAULT_STREAMS;
  return text.split(",").map((part) => readNumber("streams", part, { min: 1, max: MOST_STREAMS, isWhole: true }));
}

function readFigures(values: Readonly<Record<string, unknown>>): Figures {
  const names = Object.keys(FIGURES) as FigureName[];
  const given = names.flatMap((name) => {
    const text = values[flagOf(name)];
    return typeof text === "string" ? [[name, readNumber(flagOf(name), text, ABOVE_NOUGHT)] as const] : [];
  });
  return { ...DEFAULT_FIGURES, ...Object.fromEntries(given) };
}

type Bounds = Pick<NumberFlag, "min" | "max" | "isWhole">;

const ABOVE_NOUGHT: Bounds = { min: 1e-6, max: 1e12 };

function readNumber(flag: string, text: string, { min, max, isWhole = false }: Bounds): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const kind = isWhole ? "whole number" : "number";
  throw new UsageError(`--${flag} takes a ${kind} from ${min} to ${max}, not ${JSON.stringify(text)}`);
}
