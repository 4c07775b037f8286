/**
 * The gate's command line. Pure.
 */
import { parseArgs } from "node:util";

import { DEFAULT_LIMITS, WINDOW_SEC, type Limits } from "./limits.ts";

export interface GateOptions {
  readonly seconds: number;
  readonly streams: number;
  readonly cutShare: number;
  readonly rate: number;
  readonly seed: number;
  readonly out: string;
  /** `undefined` where no copy is kept. */
  readonly store: string | undefined;
  /** Of a service that runs already. */
  readonly url: string | undefined;
  readonly route: string;
  readonly pid: number | undefined;
  readonly limits: Limits;
}

const HELP = `Readers of live streams are cut at random and come back; fails as soon as that goes wrong.

  npm run perf:gate                                     60 s, 50 streams at once, half of the readers cut
  npm run perf:gate -- --seconds 20 --streams 20        a short one
  npm run perf:gate -- --url http://127.0.0.1:8787      at a service that runs, by its route with the demo source
  npm run perf:gate:self-test                           shows that each rule fails when it should

What is run:
  --seconds N      how long new streams begin (60), from ${WINDOW_SEC} to 3600
  --streams N      live at once (50); one in five is larger than its buffer
  --cut-share S    of readers that are cut, 0 to 1 (0.5); a quarter of them once more, and so on
  --rate N         events a second of each stream (20), of larger ones more
  --seed N         of lengths and cuts (a new one, printed)
  --url URL        gate this service in place of one of its own; a client key in SPILLWAY_CLIENT_KEY
  --route NAME     its route with the built-in demo source (demo)
  --pid N          its process, whose memory is then judged; without it the results say that memory was not

What is written:
  --out DIR        perf-sse-live-results.json, -windowed.json, -series.csv (.)
  --store DIR      a dated copy of the results, for trends (perf-results); "" for none

What is allowed, in any window of 10 s or altogether:
  --min-resume-success S         of resumes in a window (${DEFAULT_LIMITS.windowResumeSuccess})
  --min-total-resume-success S   of all resumes (${DEFAULT_LIMITS.totalResumeSuccess})
  --min-total-stream-success S   of all streams, cut or not (${DEFAULT_LIMITS.totalStreamSuccess})
  --max-trim-rate S              of source events in a window (${DEFAULT_LIMITS.windowTrimRate})
  --max-total-trim-rate S        of all source events (${DEFAULT_LIMITS.totalTrimRate})
  --max-error-rate S             of requests in a window (${DEFAULT_LIMITS.windowErrorRate})
  --max-total-error-rate S       of all requests (${DEFAULT_LIMITS.totalErrorRate})
  --min-load S                   of the streams asked for that were live, and of their events (${DEFAULT_LIMITS.totalLoad})
  --max-resume-ms N              of any resume from its cut on, answered or not (${DEFAULT_LIMITS.resumeMs})
  --max-resume-p95-ms N          of all resumes (${DEFAULT_LIMITS.resumeP95Ms})
  --max-silence-ms N             of a stream whose reader is connected (${DEFAULT_LIMITS.silenceMs})
  --max-memory-growth-mb N       of the service after warming up (${DEFAULT_LIMITS.memoryGrowthMb})
  --max-memory-kb-per-request N  at the lower end of the slope's 95 % interval (${DEFAULT_LIMITS.memoryKbPerRequest}); judged from
                                 ${DEFAULT_LIMITS.memoryPerRequestFromSec} s on

Broken off (Ctrl-C) it writes what there is. Exit code: 0 passed, 1 a rule is broken, 2 an option is at fault,
3 the gate itself could not run, 130 broken off.`;

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
}

const COUNT: Bounds = { min: 1, max: 10_000, isWhole: true };
/** An hour is what its windows are made for; longer runs are the soak's. */
const SECONDS: Bounds = { min: WINDOW_SEC, max: 3600, isWhole: true };
const SHARE: Bounds = { min: 0, max: 1 };
const AMOUNT: Bounds = { min: 0, max: 1e9 };

/** @returns the text to print instead, where there is nothing to run */
export function readOptions(args: readonly string[], newSeed: () => number): GateOptions | { readonly help: string } {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: text,
      streams: text,
      "cut-share": text,
      rate: text,
      seed: text,
      url: text,
      route: text,
      pid: text,
      out: text,
      store: text,
      "min-resume-success": text,
      "min-total-resume-success": text,
      "max-trim-rate": text,
      "max-total-trim-rate": text,
      "max-error-rate": text,
      "min-total-stream-success": text,
      "max-total-error-rate": text,
      "min-load": text,
      "max-silence-ms": text,
      "max-memory-kb-per-request": text,
      "max-resume-ms": text,
      "max-resume-p95-ms": text,
      "max-memory-growth-mb": text,
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return { help: HELP };
  const number = (name: Exclude<keyof typeof values, "help">, fallback: number, bounds: Bounds) =>
    readNumber(name, values[name], { fallback, ...bounds });
  const limit = (name: Exclude<keyof typeof values, "help">, of: keyof Limits, bounds: Bounds) =>
    number(name, DEFAULT_LIMITS[of], bounds);
  const { store = "perf-results" } = values;
  return {
    seconds: number("seconds", 60, SECONDS),
    streams: number("streams", 50, COUNT),
    cutShare: number("cut-share", 0.5, SHARE),
    rate: number("rate", 20, { min: 1, max: 10_000 }),
    seed: number("seed", newSeed(), { min: 0, max: 2 ** 31, isWhole: true }),
    out: values.out ?? ".",
    store: store === "" ? undefined : store,
    url: values.url === undefined ? undefined : readUrl(values.url),
    route: values.route ?? "demo",
    pid: values.pid === undefined ? undefined : number("pid", 0, { ...COUNT, max: 2 ** 22 }),
    limits: {
      memoryPerRequestFromSec: DEFAULT_LIMITS.memoryPerRequestFromSec,
      windowResumeSuccess: limit("min-resume-success", "windowResumeSuccess", SHARE),
      totalResumeSuccess: limit("min-total-resume-success", "totalResumeSuccess", SHARE),
      totalStreamSuccess: limit("min-total-stream-success", "totalStreamSuccess", SHARE),
      windowTrimRate: limit("max-trim-rate", "windowTrimRate", SHARE),
      totalTrimRate: limit("max-total-trim-rate", "totalTrimRate", SHARE),
      windowErrorRate: limit("max-error-rate", "windowErrorRate", SHARE),
      totalErrorRate: limit("max-total-error-rate", "totalErrorRate", SHARE),
      totalLoad: limit("min-load", "totalLoad", SHARE),
      silenceMs: limit("max-silence-ms", "silenceMs", AMOUNT),
      memoryKbPerRequest: limit("max-memory-kb-per-request", "memoryKbPerRequest", AMOUNT),
      resumeMs: limit("max-resume-ms", "resumeMs", AMOUNT),
      resumeP95Ms: limit("max-resume-p95-ms", "resumeP95Ms", AMOUNT),
      memoryGrowthMb: limit("max-memory-growth-mb", "memoryGrowthMb", AMOUNT),
    },
  };
}

export function readNumber(
  name: string,
  text: string | undefined,
  { fallback, min, max, isWhole = false }: Bounds & { readonly fallback: number },
): number {
  if (text === undefined) return fallback;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  throw new TypeError(
    `--${name}: found ${JSON.stringify(text)}, allowed is a ${isWhole ? "whole " : ""}number from ${min} to ${max}`,
  );
}

function readUrl(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new TypeError(`--url: found ${JSON.stringify(text)}, allowed is an http or https URL`);
}
