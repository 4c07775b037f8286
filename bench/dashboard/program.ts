/**
 * `npm run perf:dashboard`: reads stored results, writes the page, says what has become worse. Progress on stderr,
 * findings on stdout.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { readOptions, UsageError, type DashboardOptions } from "./options.ts";
import { dashboardPage, failedRunText, PAGE_TITLE, regressionText, type SkippedFile } from "./page.ts";
import { readResult, type Reading } from "./readings.ts";
import { copyResult, findResults, isFolder, isWithin, type ResultFile, type UnreadFile } from "./result-files.ts";
import { failedRunsOf, regressionsOf, trendsOf, withoutCopies, type Trend } from "./trends.ts";

const RAW_FOLDER = "raw-results";
const EXIT = { regression: 1, usage: 2, failed: 3 } as const;

/** @returns the exit code */
export function runDashboard(args: readonly string[], clock: () => number = Date.now): number {
  try {
    const options = readOptions(args, isFolder);
    if ("help" in options) {
      console.log(options.help);
      return 0;
    }
    return makeDashboard(options, clock());
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

function makeDashboard({ folders, out, failsOnRegression }: DashboardOptions, nowMs: number): number {
  const raw = join(out, RAW_FOLDER);
  refuseHarm(folders, out, raw);
  const { files, unread } = findResults(folders.filter(isFolder), raw);
  const { readings, skipped } = readAll(files, unread);
  const trends = trendsOf(readings);
  // What an earlier page linked to is not this one's.
  rmSync(raw, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const shown = new Set(readings.map(({ file }) => file));
  for (const file of files) if (shown.has(file.name)) copyResult(file, raw);
  const page = dashboardPage({ readings, trends, skipped, folders, madeAtMs: nowMs, rawFolder: RAW_FOLDER });
  const path = join(out, "index.html");
  writeFileSync(path, page);
  console.error(`${path}: ${readings.length} runs, ${trends.length} figures, ${skipped.length} files skipped`);
  const failed = failedRunsOf(readings);
  const worse = regressionsOf(trends);
  console.log(findingsText(readings, failed, worse));
  return failsOnRegression && failed.length + worse.length > 0 ? EXIT.regression : 0;
}

/** Raw results beside the page are written anew: nobody's only copies may lie there. */
function refuseHarm(folders: readonly string[], out: string, raw: string): void {
  const inside = folders.find((folder) => isWithin(folder, raw));
  if (inside !== undefined) throw new UsageError(`--results ${inside} lies in ${raw}, which is written anew`);
  const page = join(out, "index.html");
  const isOurs = existsSync(page) && readFileSync(page, "utf8").includes(PAGE_TITLE);
  if (existsSync(raw) && !isOurs) {
    throw new UsageError(`--out ${out} has a folder ${RAW_FOLDER} that no earlier page made; it would be emptied`);
  }
}

function readAll(files: readonly ResultFile[], unread: readonly UnreadFile[]) {
  const found: Reading[] = [];
  const skipped: SkippedFile[] = [];
  const skip = (name: string, path: string, problem: string) => {
    console.error(`skipped ${path}: ${problem}`);
    skipped.push({ file: name, problem });
  };
  for (const { name, path, problem } of unread) skip(name, path, problem);
  for (const { name, path, text } of files) {
    const outcome = readResult(text, name);
    if (outcome.kind === "read") found.push(outcome.reading);
    if (outcome.kind === "broken") skip(name, path, outcome.problem);
  }
  return { readings: withoutCopies(found), skipped };
}

function findingsText(readings: readonly Reading[], failed: readonly Reading[], worse: readonly Trend[]): string {
  if (readings.length === 0) return "No stored result was found.";
  const lists = [
    ["Latest runs that failed:", failed.map(failedRunText)],
    ["Regressions:", worse.map(regressionText)],
  ] as const;
  const told = lists.filter(([, items]) => items.length > 0);
  if (told.length === 0) return "No regression.";
  return told.map(([heading, items]) => [heading, "", ...items.map((item) => `- ${item}`)].join("\n")).join("\n\n");
}
