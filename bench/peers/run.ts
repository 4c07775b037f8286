/**
 * `npm run bench:peers`: Spillway beside what a user would pick instead, on this machine, by turns.
 *
 * Reports what it sees, also when it is bad; nothing here passes or fails by a figure, but a run in which what was
 * asked for is missing does fail. README.md beside it explains the method.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { describeMachine, loadNow } from "../lib/machine.ts";
import { ComparisonRun } from "./comparison.ts";
import { METRICS } from "./measures/samples.ts";
import { readPeersOptions, type PeersOptions } from "./options.ts";
import { complaintsOf } from "./outcome.ts";
import { judge } from "./report/expectations.ts";
import { figuresOf, ratiosOf } from "./report/figures.ts";
import { toMarkdown } from "./report/markdown.ts";
import { toPage } from "./report/page.ts";
import type { PeersReport } from "./report/shape.ts";
import { Session } from "./session.ts";
import { checkSystem } from "./systems/check.ts";
import { install } from "./systems/index.ts";
import type { Installed, MissingSystem, StartSystem, SystemName } from "./system.ts";
import { progressSince } from "../lib/progress.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const NOT_AS_ASKED = 1;
const BAD_COMMAND_LINE = 2;

const beganMs = Date.now();
const note = progressSince(beganMs);
const options = optionsOrExit();
const session = new Session();
let isEnding = false;
// The last resort, synchronous: whatever ends this process ends what it started.
process.on("exit", () => session.endNow());
for (const [signal, code] of Object.entries(EXIT_CODES)) {
  process.on(signal, () => {
    // A second one does not wait.
    if (isEnding) process.exit(code);
    isEnding = true;
    note(`${signal}: ending what runs`);
    void session.close().finally(() => process.exit(code));
  });
}

const report = await compare(options);
const base = join(options.out, `peers-${report.date.replaceAll(":", "-")}`);
mkdirSync(options.out, { recursive: true });
const markdown = toMarkdown(report);
writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(`${base}.md`, markdown);
writeFileSync(`${base}.html`, toPage(report));
console.log(markdown);
note(`written to ${base}.md, .json and .html`);
await session.close();
const complaints = complaintsOf(options, report);
for (const complaint of complaints) note(complaint);
process.exit(complaints.length === 0 ? 0 : NOT_AS_ASKED);

async function compare({ systems: only, measures, plan }: PeersOptions): Promise<PeersReport> {
  const loadBefore = loadNow();
  note(`installing what is needed for ${only.join(", ")}`);
  const { systems, missing } = await usable(await install({ note, only }));
  const run = new ComparisonRun({ systems, measures, plan }, session, note);
  const { facts, samples, failures } = await run.run();
  const figures = figuresOf(
    samples,
    facts.map(({ name }) => name),
  );
  const ratios = ratiosOf(figures);
  return {
    kind: "peers",
    version: 2,
    date: new Date(beganMs).toISOString().slice(0, 19),
    command: ["npm run bench:peers", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
    isQuick: plan.isQuick,
    rounds: plan.rounds,
    durationSec: (Date.now() - beganMs) / 1000,
    machine: describeMachine(loadBefore),
    systems: facts,
    missing,
    failures,
    metrics: METRICS,
    figures,
    ratios,
    expectations: judge({ figures, ratios, systems: facts }),
  };
}

/** Those that start and pass events on: what does not is told before anything is measured. */
async function usable({ systems, missing }: Installed): Promise<Installed> {
  const working = new Map<SystemName, StartSystem>();
  const failing: MissingSystem[] = [...missing];
  for (const [name, start] of systems) {
    note(`checking ${name}`);
    const check = await checkSystem((home) => session.start(start, home), session.folderForOne());
    if (check.isRight) working.set(name, start);
    else failing.push({ name, reason: `is installed and does not work: ${check.reason}` });
  }
  for (const { name, reason } of failing) note(`without ${name}: ${reason}`);
  return { systems: working, missing: failing };
}

function optionsOrExit(): PeersOptions {
  try {
    const read = readPeersOptions(process.argv.slice(2), join(ROOT, "bench/results"));
    if (!("help" in read)) return read;
    console.log(read.help);
    process.exit(0);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(BAD_COMMAND_LINE);
  }
}
