/**
 * `npm run bench`: Spillway against a bare pass-through, on this machine, with nothing in between.
 *
 * Reports what it sees, also when it is bad; nothing here passes or fails by time. README.md beside
 * it explains the method.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { measureEviction } from "./cases/eviction.ts";
import { measureLakeCommits } from "./cases/lake-commits.ts";
import { measureLakeEncode } from "./cases/lake-encode.ts";
import { measureLakeIngest } from "./cases/lake-ingest.ts";
import { measureLatency } from "./cases/latency.ts";
import { measureManyReaders } from "./cases/many-readers.ts";
import { measureMemory } from "./cases/memory.ts";
import { measureOneReader } from "./cases/one-reader.ts";
import { measureDeflate, measureRelief } from "./cases/relief.ts";
import { measureResumes } from "./cases/resumes.ts";
import { measureRows } from "./cases/rows.ts";
import { measureTrimRate } from "./cases/trim-rate.ts";
import { Lab } from "./lib/lab.ts";
import { describeMachine, loadNow } from "./lib/machine.ts";
import { readOptions, type Case, type Options } from "./lib/options.ts";
import { toMarkdown, type Report } from "./lib/report.ts";
import { progressSince } from "./lib/progress.ts";

const ROOT = resolve(import.meta.dirname, "..");
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const beganMs = Date.now();
const note = progressSince(beganMs);
const options = optionsOrExit();
const lab = new Lab();
// The last resort, synchronous: whatever ends this process ends what it started.
process.on("exit", () => lab.endNow());
for (const [signal, code] of Object.entries(EXIT_CODES)) {
  process.once(signal, () => void lab.close().finally(() => process.exit(code)));
}

let exitCode = 0;
try {
  const report = await run(options);
  const base = join(options.out, report.date.replaceAll(":", "-"));
  mkdirSync(options.out, { recursive: true });
  const markdown = toMarkdown(report);
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${base}.md`, markdown);
  console.log(markdown);
  note(`written to ${base}.md and .json`);
  // No matter of speed: what is not so is broken.
  if (report.resumes.some(({ incorrect }) => incorrect > 0)) exitCode = 1;
} finally {
  await lab.close();
}
process.exit(exitCode);

async function run({ cases, plan }: Options): Promise<Report> {
  const loadBefore = loadNow();
  note("bundling");
  await lab.open();
  const ifAsked = async <T>(name: Case, measure: (say: (line: string) => void) => T[] | Promise<T[]>): Promise<T[]> =>
    cases.includes(name) ? measure((line) => note(`${name}: ${line}`)) : [];
  // One after the other: they would only measure each other.
  const oneReader = await ifAsked("one-reader", (say) => measureOneReader(lab, plan.oneReader, say));
  const latency = await ifAsked("latency", (say) => measureLatency(lab, plan.latency, say));
  const manyReaders = await ifAsked("many-readers", (say) => measureManyReaders(lab, plan.manyReaders, say));
  const resumes = await ifAsked("resumes", (say) => measureResumes(lab, plan.resumes, say));
  const rows = await ifAsked("rows", (say) => measureRows(lab, plan.rows, say));
  const memory = await ifAsked("memory", (say) => measureMemory(lab, plan.memory, say));
  const trimRate = await ifAsked("trim-rate", (say) => measureTrimRate(lab, plan.trimRate, say));
  const eviction = await ifAsked("eviction", (say) => measureEviction(plan.eviction, say));
  const relief = await ifAsked("relief", (say) => measureRelief(lab, plan.relief, say));
  const deflate = await ifAsked("relief", (say) => measureDeflate(lab, plan.relief, say));
  const lakeEncode = await ifAsked("lake-encode", (say) => measureLakeEncode(plan.lakeEncode, say));
  const lakeIngest = await ifAsked("lake-ingest", (say) => measureLakeIngest(lab, plan.lakeIngest, say));
  const lakeCommits = await ifAsked("lake-commits", (say) => measureLakeCommits(lab, plan.lakeCommits, say));
  return {
    date: new Date(beganMs).toISOString().slice(0, 19),
    command: ["npm run bench", ...(process.argv.length > 2 ? ["--"] : []), ...process.argv.slice(2)].join(" "),
    isQuick: plan.isQuick,
    machine: describeMachine(loadBefore),
    oneReader,
    latency,
    manyReaders,
    resumes,
    rows,
    memory,
    trimRate,
    eviction,
    relief,
    deflate,
    lakeEncode,
    lakeIngest,
    lakeCommits,
  };
}

function optionsOrExit(): Options {
  try {
    const read = readOptions(process.argv.slice(2), join(ROOT, "bench/results"));
    if (!("help" in read)) return read;
    console.log(read.help);
    process.exit(0);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(2);
  }
}
