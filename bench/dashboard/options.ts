/** The dashboard's command line. Pure. */
import { parseArgs } from "node:util";

export interface DashboardOptions {
  readonly folders: readonly string[];
  readonly out: string;
  readonly failsOnRegression: boolean;
}

/** A fault of the command line, worded for whoever typed it. */
export class UsageError extends Error {}

const DEFAULT_FOLDERS = ["perf-results", "bench/results"];

const HELP = `Makes a static page of trends over stored results, with what has become worse marked.

  npm run perf:dashboard                                     of perf-results/ and bench/results/
  npm run perf:dashboard -- --results history --out public   of another folder, into another one
  npm run --silent perf:dashboard -- --fail                  ends with 1 where a latest run failed or is a regression

  --results DIR    searched for results, with all folders in it; may be given several times
  --out DIR        index.html, and the raw results beside it (perf-dashboard)
  --fail           exit code 1 where a latest run failed, or a figure of one is a regression

Results are those of npm run perf:gate, bench:peers, bench, soak and sim:nightly. What it has found is printed as Markdown.

Exit code: 0, 1 a failed run or a regression (with --fail), 2 an option is at fault, 3 the page could not be made.`;

/** @returns the text to print instead, where there is nothing to make. @throws {UsageError} */
export function readOptions(
  args: readonly string[],
  isFolder: (path: string) => boolean,
): DashboardOptions | { readonly help: string } {
  const values = parse(args);
  if (values.help) return { help: HELP };
  const folders = values.results ?? DEFAULT_FOLDERS;
  // One of those that are looked into by default may be missing: nothing was run yet.
  const missing = values.results?.find((folder) => !isFolder(folder));
  if (missing !== undefined)
    throw new UsageError(`--results takes a folder that is there, not ${JSON.stringify(missing)}`);
  if (values.out === "") throw new UsageError("--out takes a folder");
  return { folders, out: values.out, failsOnRegression: values.fail };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        results: { type: "string", multiple: true },
        out: { type: "string", default: "perf-dashboard" },
        fail: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
