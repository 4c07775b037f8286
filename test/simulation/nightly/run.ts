/**
 * Both simulators at scale: many seeds on all cores, the coverage of states by faults, and deliberate faults
 * that have to be found. For one seed by hand: `npm run sim`, `npm run sim:lake`.
 */
import { accessSync, constants, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

import { endWith, print, UsageError } from "../many-seeds.ts";
import { mutantsOf } from "./halves.ts";
import { runNightly, tasksOf } from "./nightly.ts";
import { HELP, readOptions } from "./options.ts";
import { SeedPool } from "./pool.ts";

/** By far more than a task takes on a busy machine. */
const TASK_MAX_MS = 600_000;

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    print(HELP);
    return 0;
  }
  prepareOut(options.out);
  let isInterrupted = false;
  return runNightly(options, tasksOf(options, mutantsOf), {
    async runTasks(tasks, listener) {
      const pool = new SeedPool({ workers: options.workers, taskMaxMs: TASK_MAX_MS, ...listener });
      const interrupt = () => {
        isInterrupted = true;
        void pool.end();
      };
      process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
      await pool.run(tasks);
    },
    isInterrupted: () => isInterrupted,
    print,
    tell: (text) => process.stderr.write(`${text}\n`),
    write(result) {
      // In one go: whoever reads it meanwhile finds it whole.
      writeFileSync(`${options.out}.part`, `${JSON.stringify(result, undefined, 2)}\n`);
      renameSync(`${options.out}.part`, options.out);
    },
    nowMs: () => Date.now(),
  });
}

/** Not after hours. */
function prepareOut(out: string): void {
  try {
    mkdirSync(dirname(out), { recursive: true });
    accessSync(dirname(out), constants.W_OK);
  } catch (error) {
    throw new UsageError(`--out: found ${out}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

await endWith(main, HELP);
