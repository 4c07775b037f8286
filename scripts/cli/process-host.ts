/**
 * The process as the program's surroundings: its streams, its environment, SIGINT.
 */
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { COMMANDS } from "./commands.ts";
import { runProgram } from "./program.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/** Runs this process's command line, and sets its exit code. */
export async function runProcess(args: readonly string[]): Promise<void> {
  const interrupt = new AbortController();
  // A second one ends the process at once: the listener is gone by then.
  process.once("SIGINT", () => interrupt.abort());
  process.once("SIGTERM", () => interrupt.abort());
  // Whoever reads us may have enough, as `head` has.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  process.exitCode = await runProgram(args, {
    commands: COMMANDS,
    streams: { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin },
    signal: interrupt.signal,
    host: {
      env: process.env,
      folder: ROOT,
      stdin: process.stdin,
      fetch,
      nowMs: () => Date.now(),
      wait: async (ms, signal) => {
        await wait(ms, undefined, { signal });
      },
    },
  });
}
