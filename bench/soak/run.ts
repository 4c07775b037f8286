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
import { soakJson, soakLines, soakPage, type SoakRecord } from "./report.ts";
import { startSoakService, type SoakService } from "./service.ts";
import { findingsOf, growthOf, type Leftovers, type MemorySample } from "./verdict.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const CANNOT_RUN = 3;
const SAY_EVERY_SEC = 20;
const LEFTOVER_POLL_MS = 2000;
const LEFTOVER_WAIT_SEC = 90;
/** Of /metrics, without `spillway_` and `_total`. */
const COUNTS = [
  "streams_started",
  "streams_ended",
  "active_streams",
  "source_events",
  "flushes",
  "flushed_events",
  "flush_failures",
  "commits",
  "commit_failures",
  "telemetry_dropped_events",
  "dead_letters",
  "degraded",
  "table_rows",
];

const beganMs = Date.now();
const options = readOrExit();
for (const [signal, code] of Object.entries(EXIT_CODES)) process.once(signal, () => process.exit(code));

try {
  const before = loadAverage();
  say("bundling, and starting the service with its bucket");
  const service = await startSoakService();
  const record = await soak(service, before);
  await service.close();
  write(record);
  for (const line of soakLines(record)) console.log(line);
  process.exit(record.findings.length === 0 ? 0 : 1);
} catch (error) {
  console.error(`the soak could not run: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(CANNOT_RUN);
}

async function soak(under: SoakService, loadBefore: number): Promise<SoakRecord> {
  const { minutes, readers, seed, limitKbPerStream } = options;
  const seconds = minutes * 60;
  say(`${readers} readers at once for ${minutes} min, seed ${seed}`);
  const startMs = performance.now();
  const log = new SampleLog(() => performance.now() - startMs);
  const churn = new Churn({ route: under.route, log, random: createRandom(seed) });
  const samples = await sampled(under, { churn, log }, churn.run(readers, seconds));
  const figures = figuresOf(log.samples, { fromMs: 0, toMs: log.nowMs() });
  const incomplete = log.samples.flatMap((sample) => (sample.kind === "stream_failed" ? [sample.reason] : []));
  const errors = [
    ...churn.refusals,
    ...log.samples.flatMap((sample) => (sample.kind === "error" ? [sample.error] : [])),
  ];
  say(`${churn.streams} streams; waiting for their removal`);
  const leftovers = await untilNothingIsLeft(under);
  const metrics = await under.metrics();
  const count = (name: string) => metrics.get(`spillway_${name}_total`) ?? metrics.get(`spillway_${name}`) ?? 0;
  const growth = growthOf(samples, seconds);
  return {
    date: `${new Date(beganMs).toISOString().slice(0, 19)}Z`,
    command: ["npm run soak", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
    options: { minutes, readers, seed },
    limitKbPerStream,
    machine: machineOf(loadBefore),
    versions: versionsOf(),
    samples,
    growth,
    streams: churn.done,
    complete: figures.streamsCompleted,
    incomplete,
    resumes: figures.resumesSettled,
    resumeLatencyMs: figures.resumeLatencyMs,
    events: figures.events,
    errors,
    leftovers,
    counts: Object.fromEntries(COUNTS.map((name) => [name, count(name)])),
    findings: findingsOf({
      growth,
      limitKbPerStream,
      leftovers,
      incomplete,
      errors: errors.length,
      flushes: count("flushes"),
      flushFailures: count("flush_failures"),
    }),
  };
}

/** Samples each second until the load is over. */
async function sampled(
  under: SoakService,
  { churn, log }: { readonly churn: Churn; readonly log: SampleLog },
  load: Promise<void>,
): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  let isOver = false;
  const end = () => (isOver = true);
  load.then(end, end);
  for (let second = 1; ; second++) {
    await Promise.race([wait(Math.max(0, second * 1000 - log.nowMs())), load]);
    if (isOver) return samples;
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
    if ((storage.objects === 0 && storage.alarms === 0) || afterSec >= LEFTOVER_WAIT_SEC)
      return { ...storage, afterSec };
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

function say(line: string): void {
  const seconds = Math.round((Date.now() - beganMs) / 1000);
  process.stderr.write(`${String(seconds).padStart(4)} s  ${line}\n`);
}
