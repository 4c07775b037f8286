/**
 * `npm run perf:dashboard`: reads stored results, writes the page, says what has become worse. Progress on stderr,
 * findings on stdout.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

import { readOptions, UsageError, type DashboardOptions } from "./options.ts";
import { dashboardPage, regressionText, type SkippedFile } from "./page.ts";
import { readResult, type Reading } from "./readings.ts";
import { copyResult, findResults } from "./result-files.ts";
import { regressionsOf, trendsOf, withoutCopies } from "./trends.ts";

const RAW_FOLDER = "raw-results";
const EXIT = { regression: 1, usage: 2, failed: 3 } as const;

/** @returns the exit code */
export function runDashboard(args: readonly string[], clock: () => number = Date.now): number {
  try {
    const options = readOptions(args);
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
  const found: Reading[] = [];
  const skipped: SkippedFile[] = [];
  const raw = join(out, RAW_FOLDER);
  // It is emptied below.
  const inside = folders.find((folder) => !relative(raw, folder).startsWith(".."));
  if (inside !== undefined) throw new UsageError(`--results ${inside} lies in ${raw}, which is written anew`);
  const files = findResults(folders);
  for (const { name, path, text } of files) {
    const outcome = readResult(text, name);
    if (outcome.kind === "read") found.push(outcome.reading);
    if (outcome.kind === "broken") {
      console.error(`skipped ${path}: ${outcome.problem}`);
      skipped.push({ file: name, problem: outcome.problem });
    }
  }
  const readings = withoutCopies(found);
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
  const worse = regressionsOf(trends);
  if (readings.length === 0) console.log("No stored result was found.");
  else if (worse.length === 0) console.log("No regression.");
  else console.log(["Regressions:", "", ...worse.map((trend) => `- ${regressionText(trend)}`)].join("\n"));
  return failsOnRegression && worse.length > 0 ? EXIT.regression : 0;
}
