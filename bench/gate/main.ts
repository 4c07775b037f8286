/**
 * `npm run perf:gate`: docs/perf-gate.md.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { figuresOf } from "./figures.ts";
import { remoteHost, startOwnHost, type Host } from "./host.ts";
import { failureLine } from "./judge.ts";
import { loadAverage, machineOf, versionsOf } from "./machine.ts";
import { readOptions, type GateOptions } from "./options.ts";
import { resultsOf, seriesCsv, verdictOf, windowedOf, type RunRecord } from "./results.ts";
import { runGate, type GateRun } from "./run-gate.ts";
import { progressSince } from "../lib/progress.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type Signal = keyof typeof EXIT_CODES;
const CANNOT_RUN = 3;
const beganMs = Date.now();
const say = progressSince(beganMs);

/** @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const options = readOrSay(args);
  if (typeof options === "number") return options;
  const broken = breakOff();
  try {
    const before = loadAverage();
    const host = await openHost(options);
    say(`${options.streams} streams for ${options.seconds} s, seed ${options.seed}`);
    broken.isRunning = true;
    const run = await runGate(options, { host, say, signal: broken.aborting.signal });
    await host.close();
    const record = { ...recordOf(options, run, { args, loadAverage: before }), notMeasured: notMeasuredBy(host) };
    writeResults(options, record);
    tell(record);
    if (run.failures.length > 0) return 1;
    return run.isInterrupted === true ? broken.exitCode : 0;
  } catch (error) {
    console.error(`the gate could not run: ${error instanceof Error ? error.message : String(error)}`);
    return CANNOT_RUN;
  }
}

interface BreakOff {
  readonly aborting: AbortController;
  /** Before there is a run there is nothing to write. */
  isRunning: boolean;
  exitCode: number;
}

/** The first signal ends a run with what there is, the second one ends the process. */
function breakOff(): BreakOff {
  const broken: BreakOff = { aborting: new AbortController(), isRunning: false, exitCode: EXIT_CODES.SIGINT };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] satisfies Signal[]) {
    process.on(signal, () => {
      broken.exitCode = EXIT_CODES[signal];
      if (!broken.isRunning || broken.aborting.signal.aborted) process.exit(broken.exitCode);
      say("broken off: writing what there is");
      broken.aborting.abort();
    });
  }
  return broken;
}

function notMeasuredBy({ measures }: Host): string[] {
  return [
    ...(measures.memory ? [] : ["memory: no --pid"]),
    ...(measures.trims ? [] : ["events trimmed unread: only what readers are told"]),
  ];
}

async function openHost(options: GateOptions): Promise<Host> {
  const { url, route, pid } = options;
  if (url !== undefined) return remoteHost({ url, route, pid, key: process.env["SPILLWAY_CLIENT_KEY"] });
  say("bundling, and starting the service");
  return startOwnHost();
}

function recordOf(
  options: GateOptions,
  run: GateRun,
  { args, loadAverage }: { readonly args: readonly string[]; readonly loadAverage: number },
): Omit<RunRecord, "notMeasured"> {
  const { seconds, streams, cutShare, rate, seed, url, route, limits } = options;
  return {
    ...run,
    date: `${new Date(beganMs).toISOString().slice(0, 19)}Z`,
    command: ["npm run perf:gate", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
    options: {
      seconds,
      streams,
      cut_share: cutShare,
      rate,
      seed,
      url: url ?? null,
      route: url === undefined ? null : route,
    },
    limits,
    machine: machineOf(loadAverage),
    versions: versionsOf(),
  };
}

function writeResults({ out, store }: GateOptions, record: RunRecord): void {
  const results = `${JSON.stringify(resultsOf(record), null, 2)}\n`;
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "perf-sse-live-results.json"), results);
  writeFileSync(join(out, "perf-sse-live-windowed.json"), `${JSON.stringify(windowedOf(record), null, 2)}\n`);
  writeFileSync(join(out, "perf-sse-live-series.csv"), seriesCsv(record.samples, record.endMs));
  // Half a run is no point of a trend.
  if (store === undefined || record.isInterrupted === true) return;
  mkdirSync(store, { recursive: true });
  writeFileSync(join(store, `sse-live-${record.date.replaceAll(":", "-")}.json`), results);
}

function tell(record: RunRecord): void {
  const { samples, endMs, failures, notMeasured } = record;
  const { streamsCompleted, resumesSettled, resumesSucceeded, resumeLatencyMs, lostEvents, errors, events } = figuresOf(
    samples,
    { fromMs: 0, toMs: endMs },
  );
  const ms = ({ p50, p95, max }: typeof resumeLatencyMs) =>
    [p50, p95, max].map((value) => Math.round(value ?? 0)).join(" / ");
  console.log(
    `${streamsCompleted} streams complete, ${resumesSucceeded} of ${resumesSettled} resumes, ` +
      `${ms(resumeLatencyMs)} ms (p50 / p95 / max), ${events} events, ${lostEvents} lost, ${errors} errors`,
  );
  for (const failure of failures) console.log(`FAILED ${failureLine(failure)}`);
  for (const what of notMeasured) console.log(`not measured: ${what}`);
  if (failures.length === 0) console.log(verdictOf(record));
}

function readOrSay(args: readonly string[]): GateOptions | number {
  try {
    const read = readOptions(args, () => Math.floor(Math.random() * 2 ** 31));
    if (!("help" in read)) return read;
    console.log(read.help);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
}
