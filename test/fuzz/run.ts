/**
 * Runs the fuzz targets: each over many inputs, and each with faults put in that it has to find.
 *
 * `npm run fuzz -- --runs 100000`
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";

import { endWith, print, readCount, UsageError } from "../simulation/many-seeds.ts";

const FOLDER = new URL(".", import.meta.url).pathname;
const DEFAULT_RUNS = 100_000;
const SEED_RANGE = 2 ** 31;
const INTERRUPTED = 130;

const TARGETS = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => file.slice(0, -".test.ts".length))
  .toSorted();

const HELP = `Feeds the service's parsers valid inputs, damaged ones and nonsense, and checks what comes of each.

  --runs N     inputs for each target (default ${DEFAULT_RUNS})
  --only NAME  one file of targets, or several, separated by commas: ${TARGETS.join(", ")}
  --seed N     the inputs of an earlier run again (its seed is in its output)
  --help       this

Examples:
  npm run fuzz
  npm run fuzz -- --runs 2000 --only ingest,avro
  npm run fuzz -- --only folds --seed 5300518

Ends with 0 where all holds, 1 where something was found (with the input, made as small as can be),
2 for a mistaken call, 130 when interrupted.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: "string" },
      only: { type: "string" },
      seed: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    print(HELP);
    return 0;
  }
  const runs = values.runs === undefined ? DEFAULT_RUNS : readCount(values.runs, "runs");
  if (runs === 0) throw new UsageError("--runs: found 0, allowed is 1 or more");
  const seed = values.seed === undefined ? Date.now() % SEED_RANGE : readCount(values.seed, "seed");
  if (seed >= SEED_RANGE) throw new UsageError(`--seed: found ${seed}, allowed is a whole number below ${SEED_RANGE}`);
  const files = readOnly(values.only).map((name) => `test/fuzz/${name}.test.ts`);
  const startedAtMs = performance.now();
  const code = await runTargets(files, { FUZZ_RUNS: String(runs), FUZZ_SEED: String(seed) });
  const minutes = ((performance.now() - startedAtMs) / 60_000).toFixed(1);
  print(
    `fuzz: ${runs} inputs for each target, seed ${seed}, ${minutes} minutes: ${code === 0 ? "all held" : "see above"}`,
  );
  return code;
}

function readOnly(text: string | undefined): readonly string[] {
  if (text === undefined) return TARGETS;
  const names = text.split(",");
  const unknown = names.find((name) => !TARGETS.includes(name));
  if (unknown !== undefined) throw new UsageError(`--only: found ${unknown}, allowed are ${TARGETS.join(", ")}`);
  return names;
}

function runTargets(files: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const args = ["node_modules/vitest/vitest.mjs", "run", "--project", "fuzz", "--reporter", "verbose", ...files];
  const child = spawn(process.execPath, args, { stdio: "inherit", env: { ...process.env, ...env } });
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
    child.kill("SIGTERM");
  };
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(isInterrupted ? INTERRUPTED : code === 0 ? 0 : 1));
  });
}

await endWith(main, HELP);
