/**
 * `npm run soak`: docs/perf-gate.md.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { createRandom } from "../../test/fixtures/process-random.ts";
import { figuresOf } from "../gate/figures.ts";
import { loadAverage, machineOf, versionsOf } from "../gate/machine.ts";
import { SampleLog } from "../gate/samples.ts";
import { Churn } from "./churn.ts";
import { readOptions, type SoakOptions } from "./options.ts";
import { soakJson, soakLines, soakPage, soakVerdictOf, type SoakRecord, type SoakVerdict } from "./report.ts";
import { startSoakService, type SoakService } from "./service.ts";
import { findingsOf, findingsSoFar, growthOf, type Leftovers, type MemorySample } from "./verdict.ts";
import { progressSince } from "../lib/progress.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const CANNOT_RUN = 3;
const UNDECIDED = 4;
const SAY_EVERY_SEC = 20;
const LEFTOVER_POLL_MS = 2000;
const LEFTOVER_WAIT_SEC = 90;
/** Of /metrics, without `spillway_` and `_total`. */
const COUNTS = [
  "active_streams",
  "source_events",
  "flushes",
  "flushed_events",
  "flush_failures",
  "commit_failures",
  "dead_letters",
  "table_rows",
];
/** With labels: these have no sample until they have counted. */
const LABELLED_COUNTS = ["streams_started", "streams_ended", "commits", "telemetry_dropped_events", "degraded"];
const VERDICT_CODES: Readonly<Record<Exclude<SoakVerdict, "interrupted">, number>> = {
  passed: 0,
  failed: 1,
  undecided: UNDECIDED,
};

const beganMs = Date.now();
const say = progressSince(beganMs);
const options = readOrExit();
const breaking = new AbortController();
let brokenCode: number = EXIT_CODES.SIGINT;
let isLoaded = false;
for (const [signal, code] of Object.entries(EXIT_CODES)) {
  process.on(signal, () => {
    brokenCode = code;
    // Before there is load there is nothing to write, and nobody waits who asks twice.
    if (!isLoaded || breaking.signal.aborted) process.exit(code);
    say("broken off: writing what there is");
    breaking.abort();
  });
}

try {
  const before = loadAverage();
  say("bundling, and starting the service with its bucket");
  const service = await startSoakService(options.plantedKb);
  isLoaded = true;
  const record = await soak(service, before);
  await service.close();
  write(record);
  for (const line of soakLines(record)) console.log(line);
  const verdict = soakVerdictOf(record);
  process.exit(verdict === "interrupted" ? brokenCode : VERDICT_CODES[verdict]);
} catch (error) {
  console.error(`the soak could not run: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(CANNOT_RUN);
}

async function soak(under: SoakService, loadBefore: number): Promise<SoakRecord> {
  const { minutes, readers, seed, limits, plantedKb } = options;
  say(`${readers} readers at once for ${minutes} min, seed ${seed}`);
  const startMs = performance.now();
  const log = new SampleLog(() => performance.now() - startMs);
  const churn = new Churn({ route: under.route, log, random: createRandom(seed) });
  const samples = await sampled(under, { churn, log }, churn.run(readers, minutes * 60));
  const isInterrupted = breaking.signal.aborted;
  const seconds = isInterrupted ? log.nowMs() / 1000 : minutes * 60;
  // Also what breaks by leaving is none of the service's.
  const recorded = [...log.samples];
  churn.stop();
  say(`${churn.streams} streams${isInterrupted ? "" : "; waiting for their removal"}`);
  const leftovers = await untilNothingIsLeft(under);
  const { counts, problems } = isInterrupted ? { counts: {}, problems: [] } : await countsOf(under);
  const figures = figuresOf(recorded, { fromMs: 0, toMs: log.nowMs() });
  const errors = [
    ...churn.refusals,
    ...problems,
    ...recorded.flatMap((sample) => (sample.kind === "error" ? [sample.error] : [])),
  ];
  const facts = {
    growth: growthOf(samples, seconds),
    limits,
    leftovers,
    incomplete: recorded.flatMap((sample) => (sample.kind === "stream_failed" ? [sample.reason] : [])),
    counts,
  };
  const judged = { ...facts, errors: errors.length, streams: churn.streams - churn.refusals.length };
  return {
    ...facts,
    date: `${new Date(beganMs).toISOString().slice(0, 19)}Z`,
    command: ["npm run soak", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
    options: { minutes: Math.round(seconds / 6) / 10, readers, seed, planted_kb: plantedKb },
    isInterrupted,
    machine: machineOf(loadBefore),
    versions: versionsOf(),
    samples,
    streams: churn.done,
    complete: figures.streamsCompleted,
    resumes: figures.resumesSettled,
    resumeLatencyMs: figures.resumeLatencyMs,
    events: figures.events,
    errors,
    findings: isInterrupted ? findingsSoFar(judged) : findingsOf(judged),
  };
}

/** Of the service's own counting; one that it does not tell is `undefined`, never 0. */
async function countsOf(
  under: SoakService,
): Promise<{ readonly counts: SoakRecord["counts"]; readonly problems: string[] }> {
  try {
    const metrics = await under.metrics();
    const told = (name: string) => metrics.get(`spillway_${name}_total`) ?? metrics.get(`spillway_${name}`);
    const counts = [
      ...COUNTS.map((name) => [name, told(name)] as const),
      ...LABELLED_COUNTS.map((name) => [name, told(name) ?? 0] as const),
    ];
    return { counts: Object.fromEntries(counts), problems: [] };
  } catch (error) {
    return { counts: {}, problems: [error instanceof Error ? error.message : String(error)] };
  }
}

/** Samples each second until the load is over. */
async function sampled(
  under: SoakService,
  { churn, log }: { readonly churn: Churn; readonly log: SampleLog },
  load: Promise<void>,
): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  const { signal } = breaking;
  let isOver = false;
  const end = () => (isOver = true);
  load.then(end, end);
  for (let second = 1; ; second++) {
    await Promise.race([wait(Math.max(0, second * 1000 - log.nowMs())), load]);
    if (isOver || signal.aborted) return samples;
    churn.checkSilence();
    const memory = under.memoryMb();
    if (memory === undefined) continue;
    samples.push({ second, streams: churn.streams, workerdMb: memory.workerd, hostMb: memory.host });
    if (second % SAY_EVERY_SEC === 0) {
      say(`${churn.streams} streams, ${Math.round(memory.workerd)} MB and ${Math.round(memory.host)} MB`);
    }
  }
}

async function untilNothingIsLeft(under: SoakService): Promise<Leftovers> {
  const fromMs = Date.now();
  for (;;) {
    await wait(LEFTOVER_POLL_MS);
    const storage = under.storage();
    const afterSec = Math.round((Date.now() - fromMs) / 1000);
    const isOver = afterSec >= LEFTOVER_WAIT_SEC || breaking.signal.aborted;
    if ((storage.objects === 0 && storage.alarms === 0) || isOver) return { ...storage, afterSec };
  }
}

function write(record: SoakRecord): void {
  const base = join(options.out, `soak-${record.date.replaceAll(":", "-")}`);
  mkdirSync(options.out, { recursive: true });
  writeFileSync(`${base}.json`, `${JSON.stringify(soakJson(record), null, 2)}\n`);
  writeFileSync(`${base}.html`, soakPage(record));
  say(`written to ${base}.json and .html`);
}

function readOrExit(): SoakOptions {
  try {
    const read = readOptions(process.argv.slice(2), () => Math.floor(Math.random() * 2 ** 31));
    if (!("help" in read)) return read;
    console.log(read.help);
    process.exit(0);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(2);
  }
}
