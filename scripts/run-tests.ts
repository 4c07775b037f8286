/**
 * `npm test`: every test project after the other, and one closing line that sums them up.
 *
 *   npm test                     all of them
 *   npm test -- unit workerd     only these
 *   npm test -- --thorough       what is tried over and over is tried more often, and the benchmarks
 *
 * One after the other: some start servers and kill them. Only the last two run side by side: they mostly wait.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const STAGES = [["unit"], ["workerd"], ["blackbox"], ["faults", "slow"], ["bench"]];
/** Whether the benchmarks work is no claim of the service. */
const ONLY_WHEN_THOROUGH = ["bench"];
const PROJECTS = STAGES.flat();
const OF_THE_BUNDLE = ["blackbox", "faults", "slow", "bench"];
const RESULTS = "test-results";
/** What waits for servers most of the time: a file more at once than there are cores to spare. */
const WAITING = ["blackbox", "faults"];
const WAITING_WORKERS = Math.max(3, availableParallelism() - 1);

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const isThorough = process.argv.includes("--thorough");
const args = process.argv.slice(2).filter((arg) => arg !== "--thorough");
const unknown = args.filter((arg) => !PROJECTS.includes(arg));
if (unknown.length > 0) {
  const isHelp = unknown.some((arg) => arg === "--help" || arg === "-h");
  console.log(`Usage: npm test [-- [--thorough] ${PROJECTS.join(" | ")} ...]`);
  process.exit(isHelp ? 0 : 2);
}

rmSync(RESULTS, { recursive: true, force: true });
mkdirSync(RESULTS, { recursive: true });
const standing = PROJECTS.filter((project) => isThorough || !ONLY_WHEN_THOROUGH.includes(project));
const asked = args.length === 0 ? standing : args;
const environment: NodeJS.ProcessEnv = {
  ...process.env,
  WRANGLER_SEND_METRICS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  SPILLWAY_BUNDLE_IS_BUILT: "1",
  ...(isThorough && { SPILLWAY_THOROUGH: "1" }),
};
if (asked.some((project) => OF_THE_BUNDLE.includes(project)))
  execFileSync("npm", ["run", "--silent", "build"], { stdio: ["ignore", "ignore", "inherit"], env: environment });
const all: Counts[] = [];
for (const stage of STAGES) {
  const projects = stage.filter((project) => asked.includes(project));
  all.push(...(await Promise.all(projects.map((project, at) => runProject(project, at === 0)))));
}
const sum = (key: keyof Counts) => all.reduce((total, counts) => total + counts[key], 0);
const summary = `${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped`;
writeFileSync(join(RESULTS, "summary.txt"), `${summary}\n`);
console.log(`\n${summary}`);
process.exit(sum("failed") === 0 ? 0 : 1);

/** @param isShown while it runs; otherwise what it printed is shown once it has ended */
async function runProject(project: string, isShown: boolean): Promise<Counts> {
  if (isShown) console.log(`\n── ${project} ──`);
  const report = join(RESULTS, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const workers = WAITING.includes(project) ? [`--maxWorkers=${WAITING_WORKERS}`] : [];
  const { status, printed } = await runVitest(["run", "--project", project, ...workers, ...reporters], isShown);
  if (!isShown) console.log(`\n── ${project} ──\n${printed}`);
  const counts = readCounts(report);
  // A runner that broke down without a failed test has failed all the same, and so has one without tests.
  const hasBroken = (status !== 0 && counts.failed === 0) || counts.passed + counts.failed === 0;
  return hasBroken ? { ...counts, failed: counts.failed + 1 } : counts;
}

/** @returns what it printed, unless that was shown at once */
function runVitest(args: readonly string[], isShown: boolean): Promise<{ status: number | null; printed: string }> {
  const child = spawn("vitest", [...args], {
    stdio: ["inherit", isShown ? "inherit" : "pipe", isShown ? "inherit" : "pipe"],
    env: environment,
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => (printed += text));
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (status) => done({ status, printed }));
  });
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
