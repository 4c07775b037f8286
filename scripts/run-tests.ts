/**
 * `npm test`: every test project after the other, and one closing line that sums them up.
 *
 *   npm test                     all of them
 *   npm test -- unit workerd     only these
 *
 * One after the other: some start servers, kill them and measure their memory.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const PROJECTS = ["unit", "workerd", "blackbox", "faults", "slow"];
const RESULTS = "test-results";
/** What waits for servers most of the time: a file more at once than there are cores to spare. */
const WAITING = ["faults"];
const WAITING_WORKERS = Math.max(3, availableParallelism() - 1);

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const args = process.argv.slice(2);
const unknown = args.filter((arg) => !PROJECTS.includes(arg));
if (unknown.length > 0) {
  const isHelp = unknown.some((arg) => arg === "--help" || arg === "-h");
  console.log(`Usage: npm test [-- ${PROJECTS.join(" | ")} ...]`);
  process.exit(isHelp ? 0 : 2);
}

rmSync(RESULTS, { recursive: true, force: true });
mkdirSync(RESULTS, { recursive: true });
const projects = args.length === 0 ? PROJECTS : args;
const all = projects.map(runProject);
const sum = (key: keyof Counts) => all.reduce((total, counts) => total + counts[key], 0);
const summary = `${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped`;
writeFileSync(join(RESULTS, "summary.txt"), `${summary}\n`);
console.log(`\n${summary}`);
process.exit(sum("failed") === 0 ? 0 : 1);

function runProject(project: string): Counts {
  console.log(`\n── ${project} ──`);
  const report = join(RESULTS, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const workers = WAITING.includes(project) ? [`--maxWorkers=${WAITING_WORKERS}`] : [];
  const { status } = spawnSync("vitest", ["run", "--project", project, ...workers, ...reporters], {
    stdio: "inherit",
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" },
  });
  const counts = readCounts(report);
  // A runner that broke down without a failed test has failed all the same, and so has one without tests.
  const hasBroken = (status !== 0 && counts.failed === 0) || counts.passed + counts.failed === 0;
  return hasBroken ? { ...counts, failed: counts.failed + 1 } : counts;
}

function readCounts(report: string): Counts {
  if (!existsSync(report)) return { passed: 0, failed: 0, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(report, "utf8"),
  ) as Record<string, number>;
  return {
    passed: numPassedTests ?? 0,
    failed: numFailedTests ?? 0,
    skipped: (numPendingTests ?? 0) + (numTodoTests ?? 0),
  };
}
