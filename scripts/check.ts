/**
 * `npm run check`: everything about the code that is not a test. Runs all checks, then says which failed.
 */
import { spawnSync } from "node:child_process";

const BUNDLE_MAX_GZIP_KIB = 1024;

const CHECKS: readonly { readonly name: string; readonly run: () => boolean }[] = [
  { name: "format", run: () => npmRun("format:check") },
  { name: "lint, layers, cycles", run: () => npmRun("lint") },
  { name: "types", run: () => npmRun("typecheck") },
  { name: "unused code", run: () => npmRun("knip") },
  { name: "binding types", run: () => npmRun("types:check") },
  { name: "deployable bundle", run: checkBundle },
  { name: "deployable environments", run: () => ["staging", "production"].every(checkEnvironment) },
];

const failed = CHECKS.filter(({ name, run }) => {
  console.log(`\n── ${name} ──`);
  return !run();
});
console.log(failed.length === 0 ? "\nAll checks hold." : `\nFailed: ${failed.map(({ name }) => name).join("; ")}`);
process.exit(failed.length === 0 ? 0 : 1);

function npmRun(script: string): boolean {
  return spawnSync("npm", ["run", "--silent", script], { stdio: "inherit" }).status === 0;
}

/** wrangler's own judgement of an environment, with all that it inherits. */
function checkEnvironment(environment: string): boolean {
  const args = ["deploy", "--dry-run", "--env", environment];
  const { status, stdout, stderr } = spawnSync("wrangler", args, { encoding: "utf8" });
  console.log(status === 0 ? `${environment}: passes a dry run` : `${stdout}${stderr}`);
  return status === 0;
}

function checkBundle(): boolean {
  const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", "build"], { encoding: "utf8" });
  const [line, kib] = /Total Upload: .* gzip: ([\d.]+) KiB/.exec(stdout) ?? [];
  console.log(line ?? `${stdout}${stderr}`);
  if (status !== 0 || kib === undefined) return false;
  const isSmallEnough = Number(kib) <= BUNDLE_MAX_GZIP_KIB;
  console.log(`${kib} KiB gzipped, at most ${BUNDLE_MAX_GZIP_KIB} KiB allowed`);
  return isSmallEnough;
}
