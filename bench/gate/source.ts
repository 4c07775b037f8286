/**
 * The source of streams in a process of its own, which ends with ours.
 */
import { fork } from "node:child_process";
import { join } from "node:path";

import type { SourceReady } from "../lib/messages.ts";

const SOURCE = join(import.meta.dirname, "../source-process.ts");

export interface Source {
  readonly origin: string;
  readonly pid: number;
  stop(): void;
}

export async function startSource(): Promise<Source> {
  const child = fork(SOURCE, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const port = await new Promise<number>((done, fail) => {
    // The child is ours and speaks nothing else.
    child.once("message", (message) => done((message as SourceReady).port));
    child.once("exit", () => fail(new Error("the source's process ended")));
  });
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop: () => void child.kill("SIGKILL") };
}
