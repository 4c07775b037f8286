/**
 * `npm run check`: everything about the code that is not a test. Runs all checks, then says which failed.
 */
import { execFile } from "node:child_process";

const BUNDLE_MAX_GZIP_KIB = 1024;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;

interface Finding {
  readonly isWell: boolean;
  readonly text: string;
}

interface Check {
  readonly name: string;
  readonly run: () => Promise<Finding>;
}

const OF_SOURCES: readonly Check[] = [
  { name: "format", run: () => npmRun("format:check") },
  { name: "lint, layers, cycles", run: () => npmRun("lint") },
  { name: "types", run: () => npmRun("typecheck") },
  { name: "unused code", run: () => npmRun("knip") },
];
/** One after the other: wrangler writes where its other runs read. */
const OF_THE_WORKER: readonly Check[] = [
  { name: "binding types", run: () => npmRun("types:check") },
  { name: "deployable bundle", run: checkBundle },
  { name: "deployable in staging", run: () => checkEnvironment("staging") },
  { name: "deployable in production", run: () => checkEnvironment("production") },
];

const failed = (await Promise.all([OF_SOURCES, OF_THE_WORKER].map(runInTurn))).flat();
console.log(failed.length === 0 ? "\nAll checks hold." : `\nFailed: ${failed.join("; ")}`);
process.exit(failed.length === 0 ? 0 : 1);

/** @returns names of those that failed */
async function runInTurn(checks: readonly Check[]): Promise<string[]> {
  const names: string[] = [];
  for (const { name, run } of checks) {
    const { isWell, text } = await run();
    console.log(`\n── ${name} ──\n${text.trim()}`);
    if (!isWell) names.push(name);
  }
  return names;
}

function npmRun(script: string): Promise<Finding> {
  return run("npm", ["run", "--silent", script]);
}

/** wrangler's own judgement of an environment, with all that it inherits. */
async function checkEnvironment(environment: string): Promise<Finding> {
  const { isWell, text } = await run("wrangler", ["deploy", "--dry-run", "--env", environment]);
  return { isWell, text: isWell ? "passes a dry run" : text };
}

async function checkBundle(): Promise<Finding> {
  const { isWell, text } = await npmRun("build");
  const [line, kib] = /Total Upload: .* gzip: ([\d.]+) KiB/.exec(text) ?? [];
  if (!isWell || kib === undefined) return { isWell: false, text };
  const isSmallEnough = Number(kib) <= BUNDLE_MAX_GZIP_KIB;
  return { isWell: isSmallEnough, text: `${line}\n${kib} KiB gzipped, at most ${BUNDLE_MAX_GZIP_KIB} KiB allowed` };
}

function run(command: string, args: readonly string[]): Promise<Finding> {
  return new Promise((done) => {
    execFile(command, [...args], { maxBuffer: OUTPUT_MAX_BYTES }, (error, stdout, stderr) =>
      done({ isWell: error === null, text: `${stdout}${stderr}` }),
    );
  });
}
