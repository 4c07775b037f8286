/**
 * `npm run perf:gate:self-test`: makes things go wrong, one after the other, and expects the gate to fail by the
 * right rule and soon. Some six minutes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { table } from "../../lib/markdown.ts";
import { bundleEntry, REAL_ENTRY } from "../bundle.ts";
import { failureLine } from "../judge.ts";
import { play, type Played } from "./play.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { progressSince } from "../../lib/progress.ts";

const HELP = `Shows that the gate fails when it should: a fault for each rule, and one run without any.

  npm run perf:gate:self-test                     all of it, some six minutes
  npm run perf:gate:self-test -- --only repeat    what goes wrong has this in its name, or the rule has
  npm run perf:gate:self-test -- --seed 7         the same streams and cuts again

Exit code: 0 each rule failed for its reason and in time, 1 one did not, 2 an option is at fault.`;
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const DEFAULT_SEED = 6;

const beganMs = Date.now();
const say = progressSince(beganMs);
const { scenarios, seed } = readOrExit();
const folder = mkdtempSync(join(tmpdir(), "spillway-gate-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const [signal, code] of Object.entries(EXIT_CODES)) process.once(signal, () => process.exit(code));

say("bundling");
const bundle = await bundleEntry(REAL_ENTRY, folder);
const played: Played[] = [];
for (const scenario of scenarios) {
  say(`${scenario.name}: expects ${scenario.expects ?? "to pass"}`);
  const one = await play(scenario, { bundle, seed });
  played.push(one);
  say(
    `  ${one.fault ?? "as it should"}${one.run.failures.map((failure) => `\n        ${failureLine(failure)}`).join("")}`,
  );
}
console.log(
  table(["what goes wrong", "from … to, s", "rule due", "failed after, s", "by", "right"], played.map(rowOf)),
);
const wrong = played.filter(({ fault }) => fault !== undefined).length;
console.log(`\n${played.length - wrong} of ${played.length} as they should be, seed ${seed}`);
process.exit(wrong === 0 ? 0 : 1);

function rowOf({ scenario, run, fault }: Played): string[] {
  const { name, expects, faultSec } = scenario;
  const hasFailed = run.failures.length > 0;
  return [
    name,
    expects === undefined ? "–" : `${faultSec.from} … ${faultSec.to}`,
    expects ?? "none",
    hasFailed ? (run.endMs / 1000).toFixed(1) : "passed",
    [...new Set(run.failures.map(({ rule }) => rule))].join(", ") || "–",
    fault === undefined ? "yes" : `NO: ${fault}`,
  ];
}

function readOrExit(): { readonly scenarios: readonly Scenario[]; readonly seed: number } {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: "string" },
        seed: { type: "string", default: String(DEFAULT_SEED) },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    const seed = Number(values.seed);
    if (!Number.isInteger(seed)) throw new TypeError(`--seed: found ${values.seed}, allowed is a whole number`);
    const { only = "" } = values;
    const scenarios = SCENARIOS.filter(({ name, expects = "" }) => name.includes(only) || expects.includes(only));
    if (scenarios.length > 0) return { scenarios, seed };
    throw new TypeError(`--only: nothing that goes wrong has ${JSON.stringify(only)} in its name`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(2);
  }
}
