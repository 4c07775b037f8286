/**
 * The process as the program's surroundings: its streams, its environment, SIGINT.
 */
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { COMMANDS } from "./commands.ts";
import { EXIT } from "./exit-codes.ts";
import { runProgram } from "./program.ts";

/** Looks are answered in seconds; an action may write a shard out, and waits for what runs. */
const LOOK_TIMEOUT_MS = 30_000;
const ACTION_TIMEOUT_MS = 300_000;
const ROOT = resolve(import.meta.dirname, "../..");

/** Runs this process's command line, and sets its exit code. */
export async function runProcess(args: readonly string[]): Promise<void> {
  const interrupt = new AbortController();
  // A second one ends the process at once: the listener is gone by then.
  process.once("SIGINT", () => interrupt.abort());
  process.once("SIGTERM", () => interrupt.abort());
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever reads us may have enough, as `head` has; that is not all there was.
    if (error.code === "EPIPE") process.exit(EXIT.unread);
    process.stderr.write(`The output cannot be written: ${error.code ?? error.name}.\n`);
    process.exit(EXIT.failed);
  });
  // Nobody is there to be told; what is under way goes on.
  process.stderr.on("error", () => undefined);
  process.exitCode = await runProgram(args, {
    commands: COMMANDS,
    streams: { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin },
    signal: interrupt.signal,
    host: {
      env: process.env,
      folder: ROOT,
      stdin: process.stdin,
      fetch,
      timeouts: { lookMs: LOOK_TIMEOUT_MS, actionMs: ACTION_TIMEOUT_MS },
      nowMs: () => Date.now(),
      wait: async (ms, signal) => {
        await wait(ms, undefined, { signal });
      },
    },
  });
}
