/**
 * `scripts/simulate`: how work, waits and cost grow with streams, part by part, and what gives first.
 *
 * Computed from unit figures and simulated queues (scaling/); docs/scaling.md says what is assumed and what is
 * left out.
 */
import { readFileSync, writeFileSync } from "node:fs";

import { agreements } from "./scaling/agreement.ts";
import { sceneOf, toJson } from "./scaling/computed.ts";
import { withTables } from "./scaling/document.ts";
import { FIGURES } from "./scaling/figures.ts";
import { markdownTable } from "./scaling/numbers-text.ts";
import { helpText, readOptions, UsageError, type Options } from "./scaling/options.ts";
import { figuresTable, reportText } from "./scaling/report.ts";

const INTERRUPTED = 130;
const USAGE = 2;

// Whatever was started is ended by what started it, when this process ends.
process.once("SIGINT", () => process.exit(INTERRUPTED));
try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) console.log(helpText());
  else process.exitCode = await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof UsageError ? USAGE : 1;
}

async function run(options: Options): Promise<number> {
  const { action, figures, isJson, workload } = options;
  switch (action) {
    case "report": {
      const scene = sceneOf(options);
      console.log(isJson ? toJson(scene) : reportText(scene));
      return 0;
    }
    case "list-figures":
      console.log(isJson ? JSON.stringify(FIGURES, null, 2) : figuresTable(figures));
      return 0;
    case "check":
      return check(workload.seed, isJson);
    case "measure": {
      const { measure, measurementText } = await import("./scaling/measure/measure.ts");
      const measurement = await measure((line) => console.error(line));
      console.log(isJson ? JSON.stringify(measurement, null, 2) : measurementText(measurement));
      return 0;
    }
    case "update": {
      const path = options.document ?? "";
      writeFileSync(path, withTables(readFileSync(path, "utf8")));
      return 0;
    }
  }
}

function check(seed: number, isJson: boolean): number {
  const found = agreements(seed);
  const rows = found.map(({ what, exact, simulated, allowed, agrees }) => [
    what,
    exact.toPrecision(4),
    simulated.toPrecision(4),
    `${allowed * 100} %`,
    agrees ? "yes" : "**no**",
  ]);
  const head = ["simulated", "exact", "by simulation", "allowed", "agrees"];
  console.log(isJson ? JSON.stringify(found, null, 2) : markdownTable(head, rows));
  return found.every(({ agrees }) => agrees) ? 0 : 1;
}
