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
import { resultsOf, seriesCsv, windowedOf, type RunRecord } from "./results.ts";
import { runGate, type GateRun } from "./run-gate.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const CANNOT_RUN = 3;
const beganMs = Date.now();

/** @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const options = readOrSay(args);
  if (typeof options === "number") return options;
  for (const [signal, code] of Object.entries(EXIT_CODES)) process.once(signal, () => process.exit(code));
  try {
    const before = loadAverage();
    const host = await openHost(options);
    say(`${options.streams} streams for ${options.seconds} s, seed ${options.seed}`);
    const run = await runGate(options, { host, say });
    await host.close();
    const record = recordOf(options, run, { args, loadAverage: before });
    writeResults(options, record);
    tell(record);
    return run.failures.length === 0 ? 0 : 1;
  } catch (error) {
    console.error(`the gate could not run: ${error instanceof Error ? error.message : String(error)}`);
    return CANNOT_RUN;
  }
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
): RunRecord {
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
  if (store === undefined) return;
  mkdirSync(store, { recursive: true });
  writeFileSync(join(store, `sse-live-${record.date.replaceAll(":", "-")}.json`), results);
}

function tell({ samples, endMs, failures }: RunRecord): void {
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
  if (failures.length === 0) console.log("passed");
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

function say(line: string): void {
  const seconds = Math.round((Date.now() - beganMs) / 1000);
  process.stderr.write(`${String(seconds).padStart(4)} s  ${line}\n`);
}
