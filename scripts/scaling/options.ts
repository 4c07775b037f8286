/**
 * The command line of scripts/simulate: which streams, how the service is set, and which unit figures are to be
 * others. No I/O.
 */
import { parseArgs } from "node:util";

import { DEFAULT_FIGURES, FIGURES, type FigureName, type Figures } from "./figures.ts";
import { DEFAULT_WORKLOAD, type Workload } from "./workload.ts";

const DEFAULT_STREAMS: readonly number[] = [1, 1000, 100_000, 1_000_000, 10_000_000];
const MOST_STREAMS = 1_000_000_000;

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

/** Flags with a number, each with the least it takes. */
const NUMBERS = {
  "stream-seconds": { sets: "streamSec", least: 0.001, help: "length of a stream" },
  "events-per-sec": { sets: "eventsPerSec", least: 0.001, help: "of each stream" },
  bytes: { sets: "dataBytes", least: 0, help: "data of one event" },
  readers: { sets: "readers", least: 1, help: "of each stream, at once" },
  resumes: { sets: "resumes", least: 0, help: "of each stream, in its life" },
  shards: { sets: "shards", least: 1, help: "ICEBERG_SHARDS" },
  "flush-events": { sets: "flushEvents", least: 1, help: "ICEBERG_BUFFER_SIZE" },
  "flush-ms": { sets: "flushAgeMs", least: 100, help: "ICEBERG_BUFFER_TIMEOUT_MS" },
  "commit-ms": { sets: "commitIntervalMs", least: 0, help: "ICEBERG_COMMIT_INTERVAL_MS" },
  deployments: { sets: "deployments", least: 1, help: "services that share the streams, a table each" },
  "storm-share": { sets: "stormShare", least: 0, help: "of all readers, that come back together" },
  "storm-spread-ms": { sets: "stormSpreadMs", least: 0, help: "within which they do" },
  "streams-per-thread": { sets: "streamsPerThread", least: 1, help: "whose objects share an isolate" },
  "table-days": { sets: "tableDays", least: 0, help: "that the table has been filled" },
  seed: { sets: "seed", least: 0, help: "of the simulation" },
} as const satisfies Record<string, { readonly sets: keyof Workload; readonly least: number; readonly help: string }>;

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
      Object.entries(NUMBERS).flatMap(([flag, { sets, least }]) => {
        const text = values[flag];
        return typeof text === "string" ? [[sets, readNumber(flag, text, { least, isWhole: false })]] : [];
      }),
    ),
    isPiped: values["pipelines"] === true,
    isForeignCatalog: values["foreign-catalog"] === true,
  };
  if (workload.stormShare > 1) throw new UsageError("--storm-share takes a number from 0 to 1");
  for (const flag of ["shards", "readers", "deployments", "seed"] as const) {
    if (!Number.isInteger(workload[flag])) throw new UsageError(`--${flag} takes a whole number`);
  }
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
  return text.split(",").map((part) => {
    const streams = readNumber("streams", part, { least: 1, isWhole: true });
    if (streams > MOST_STREAMS) throw new UsageError(`--streams takes whole numbers up to ${MOST_STREAMS}`);
    return streams;
  });
}

function readFigures(values: Readonly<Record<string, unknown>>): Figures {
  const names = Object.keys(FIGURES) as FigureName[];
  const given = names.flatMap((name) => {
    const text = values[flagOf(name)];
    return typeof text === "string"
      ? [[name, readNumber(flagOf(name), text, { least: Number.MIN_VALUE, isWhole: false })] as const]
      : [];
  });
  return { ...DEFAULT_FIGURES, ...Object.fromEntries(given) };
}

function readNumber(flag: string, text: string, { least, isWhole }: { least: number; isWhole: boolean }): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= least && (!isWhole || Number.isInteger(value))) return value;
  const from = least === Number.MIN_VALUE ? "above 0" : `from ${least} on`;
  throw new UsageError(`--${flag} takes a ${isWhole ? "whole " : ""}number ${from}, not ${JSON.stringify(text)}`);
}
