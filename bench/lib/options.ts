/**
 * The command line, and what a full and a quick run consist of.
 */
import { parseArgs } from "node:util";

const CASES = [
  "one-reader",
  "latency",
  "many-readers",
  "resumes",
  "rows",
  "memory",
  "trim-rate",
  "eviction",
  "relief",
  "lake-encode",
  "lake-ingest",
  "lake-commits",
] as const;
export type Case = (typeof CASES)[number];

const HELP = `Measures Spillway against a bare pass-through: Worker, Durable Object, body.

  npm run bench                          everything, about twenty minutes
  npm run bench -- --quick               a smoke run, under a minute
  npm run bench -- --only one-reader     one case, or several by several --only:
                                         ${CASES.slice(0, 6).join(", ")},
                                         ${CASES.slice(6).join(", ")}
  npm run bench -- --rounds 15           pairs of the one-reader case
  npm run bench -- --out FOLDER          where the results go (bench/results)

Progress goes to stderr, the table to stdout; both it and JSON into the folder.`;

export interface Options {
  readonly cases: readonly Case[];
  readonly out: string;
  readonly plan: Plan;
}

/** How much is measured. */
export interface Plan {
  readonly isQuick: boolean;
  readonly oneReader: { readonly rounds: number; readonly loads: readonly OneReaderLoad[] };
  readonly latency: { readonly passes: number; readonly seconds: number; readonly rates: readonly number[] };
  readonly manyReaders: {
    readonly readers: number;
    readonly passes: number;
    readonly seconds: number;
    readonly loads: readonly ManyReadersLoad[];
  };
  readonly resumes: { readonly resumes: number; readonly readers: number; readonly seed: number };
  readonly rows: { readonly events: number; readonly rates: readonly number[] };
  readonly memory: { readonly streams: readonly number[]; readonly loads: readonly MemoryLoad[] };
  readonly trimRate: { readonly tokens: number; readonly loads: readonly TrimRateLoad[] };
  readonly eviction: { readonly limits: readonly number[]; readonly events: number; readonly rounds: number };
  readonly relief: {
    /** Fresh services for each kind: each gives one first step. */
    readonly starts: number;
    readonly steps: number;
    readonly turns: number;
    /** Segments deflated in one call, and how often. */
    readonly deflates: number;
    readonly rounds: number;
  };
  readonly lakeEncode: { readonly rows: readonly number[]; readonly rounds: number };
  readonly lakeIngest: { readonly rounds: number; readonly loads: readonly LakeLoad[] };
  readonly lakeCommits: {
    /** Where commit times are taken, in growing order. */
    readonly snapshots: readonly number[];
    /** Values of `ICEBERG_SNAPSHOTS_KEPT`. */
    readonly kept: readonly number[];
  };
}

/** Of an unthrottled source. */
export interface OneReaderLoad {
  readonly events: number;
  readonly bytes: number;
  /** Events in each HTTP chunk of the source. */
  readonly batch: number;
}

export interface ManyReadersLoad {
  readonly rate: number;
  readonly batch: number;
}

/** What fills a stream's buffer. */
export interface MemoryLoad {
  readonly events: number;
  readonly bytes: number;
  readonly compresses: boolean;
  /** Not with more streams than this: filling them would take too long. */
  readonly maxStreams: number;
}

interface TrimRateLoad {
  /** Tokens a second; 0 is as fast as they are taken. */
  readonly rate: number;
  readonly rounds: number;
}

export interface LakeLoad {
  readonly events: number;
  /** Events in each request. */
  readonly batch: number;
  readonly connections: number;
}

const FULL: Plan = {
  isQuick: false,
  oneReader: {
    rounds: 5,
    loads: [
      { events: 30_000, bytes: 200, batch: 1 },
      { events: 200_000, bytes: 50, batch: 1000 },
      { events: 100_000, bytes: 200, batch: 300 },
      { events: 40_000, bytes: 1024, batch: 60 },
    ],
  },
  latency: { passes: 2, seconds: 8, rates: [50, 500] },
  manyReaders: {
    readers: 200,
    passes: 2,
    seconds: 6,
    loads: [
      { rate: 110, batch: 1 },
      { rate: 200, batch: 1 },
      { rate: 500, batch: 1 },
      { rate: 500, batch: 4 },
      { rate: 1000, batch: 4 },
    ],
  },
  resumes: { resumes: 100_000, readers: 32, seed: 1 },
  rows: { events: 1000, rates: [50, 500] },
  memory: {
    streams: [100, 1000],
    loads: [
      { events: 1700, bytes: 1024, compresses: false, maxStreams: 1000 },
      { events: 4500, bytes: 1024, compresses: true, maxStreams: 100 },
    ],
  },
  trimRate: {
    tokens: 20_000,
    loads: [
      { rate: 0, rounds: 5 },
      { rate: 1000, rounds: 1 },
    ],
  },
  eviction: { limits: [256, 2560, 25_600], events: 20_000, rounds: 9 },
  relief: { starts: 3, steps: 300, turns: 1500, deflates: 128, rounds: 9 },
  lakeEncode: { rows: [2000, 20_000], rounds: 15 },
  lakeIngest: {
    rounds: 5,
    loads: [
      { events: 60_000, batch: 1000, connections: 4 },
      { events: 60_000, batch: 5000, connections: 4 },
      { events: 60_000, batch: 10_000, connections: 2 },
    ],
  },
  lakeCommits: { snapshots: [1, 100, 1000], kept: [100, 1000] },
};

const QUICK: Plan = {
  isQuick: true,
  oneReader: { rounds: 2, loads: [{ events: 10_000, bytes: 200, batch: 300 }] },
  latency: { passes: 1, seconds: 1, rates: [500] },
  manyReaders: { readers: 50, passes: 1, seconds: 1, loads: [{ rate: 100, batch: 1 }] },
  resumes: { resumes: 600, readers: 12, seed: 1 },
  rows: { events: 1000, rates: [250, 500] },
  memory: { streams: [8], loads: [{ events: 1600, bytes: 1024, compresses: false, maxStreams: 8 }] },
  trimRate: { tokens: 2000, loads: [{ rate: 0, rounds: 1 }] },
  eviction: { limits: [256, 2560], events: 2000, rounds: 1 },
  relief: { starts: 1, steps: 20, turns: 60, deflates: 16, rounds: 1 },
  lakeEncode: { rows: [20_000], rounds: 2 },
  lakeIngest: { rounds: 1, loads: [{ events: 10_000, batch: 2000, connections: 2 }] },
  lakeCommits: { snapshots: [1, 50], kept: [100] },
};

/** @returns the text to print instead, where there is nothing to measure */
export function readOptions(args: readonly string[], defaultOut: string): Options | { readonly help: string } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      only: { type: "string", multiple: true },
      out: { type: "string", default: defaultOut },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return { help: HELP };
  const plan = values.quick ? QUICK : FULL;
  const only = CASES.filter((name) => values.only === undefined || values.only.includes(name));
  if (only.length < new Set(values.only ?? CASES).size) throw new Error(`--only takes one of ${CASES.join(", ")}`);
  const rounds = values.rounds === undefined ? plan.oneReader.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new Error("--rounds takes a number from 1 to 100");
  return { cases: only, out: values.out, plan: { ...plan, oneReader: { ...plan.oneReader, rounds } } };
}
