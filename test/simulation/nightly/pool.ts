/**
 * Runs tasks on threads, as many at once as there are threads. A thread that takes too long over a task is
 * ended, one that dies is replaced: the task is noted as trouble with what it had found, and the others go on.
 */
import type { EventEmitter } from "node:events";
import { Worker } from "node:worker_threads";

import type { Failure, Outcome, Task, ThreadMessage, Trouble } from "./tasks.ts";

/** What no seed brings about is wrong with all of them: so many, and the rest is not tried. */
const TROUBLES_MAX = 20;

/** As much of a `Worker` as is needed. */
export interface Thread extends EventEmitter {
  postMessage(value: unknown): void;
  terminate(): Promise<number>;
}

export interface PoolOptions {
  readonly workers: number;
  /** Longest that one task may take. */
  readonly taskMaxMs: number;
  readonly onOutcome: (outcome: Outcome) => void;
  /** A failing seed, as soon as it is found. It comes again with the outcome, or with the trouble. */
  readonly onFailure: (failure: Failure) => void;
  readonly onTrouble: (trouble: Trouble, failures: readonly Failure[]) => void;
  readonly newThread?: () => Thread;
}

interface Answer {
  readonly outcome: Outcome | undefined;
  readonly trouble: Trouble | undefined;
  readonly failures: readonly Failure[];
}

export class SeedPool {
  private readonly options: PoolOptions;
  private readonly running = new Set<Thread>();
  private isEnded = false;
  private troubles = 0;

  constructor(options: PoolOptions) {
    this.options = options;
  }

  /** Until all tasks are done, the pool is ended or there is too much trouble. */
  async run(tasks: readonly Task[]): Promise<void> {
    const left = [...tasks];
    const next = () => (this.isEnded || this.troubles >= TROUBLES_MAX ? undefined : left.shift());
    await Promise.all(Array.from({ length: this.options.workers }, () => this.work(next)));
  }

  /** No more tasks; those under way are given up. */
  async end(): Promise<void> {
    this.isEnded = true;
    await Promise.all([...this.running].map((thread) => thread.terminate()));
  }

  private async work(next: () => Task | undefined): Promise<void> {
    let thread: Thread | undefined;
    for (let task = next(); task !== undefined; task = next()) {
      thread ??= this.start();
      const { outcome, trouble, failures } = await this.ask(thread, task);
      if (outcome !== undefined) {
        this.options.onOutcome(outcome);
        continue;
      }
      await this.stop(thread);
      thread = undefined;
      if (this.isEnded || trouble === undefined) break;
      this.troubles++;
      this.options.onTrouble(trouble, failures);
    }
    if (thread !== undefined) await this.stop(thread);
  }

  private start(): Thread {
    const thread = this.options.newThread?.() ?? new Worker(new URL("seed-worker.ts", import.meta.url));
    this.running.add(thread);
    return thread;
  }

  private async stop(thread: Thread): Promise<void> {
    this.running.delete(thread);
    // A thread that comes down late has nothing more to say.
    thread.on("error", () => undefined);
    await thread.terminate();
  }

  private ask(thread: Thread, task: Task): Promise<Answer> {
    return new Promise((resolve) => {
      const failures: Failure[] = [];
      let seed: number | undefined;
      const settle = (outcome: Outcome | undefined, trouble?: Trouble) => {
        clearTimeout(timer);
        thread.off("message", onMessage).off("exit", onExit).off("error", onError);
        resolve({ outcome, trouble, failures });
      };
      const fail = (kind: Trouble["kind"], message: string) => settle(undefined, { kind, task, seed, message });
      const onMessage = (message: ThreadMessage) => {
        if (message.kind === "outcome") return settle(message.outcome);
        if (message.kind === "error") return fail("died", message.error);
        if (message.kind === "seed") {
          ({ seed } = message);
          return;
        }
        failures.push(message.failure);
        this.options.onFailure(message.failure);
      };
      const onExit = (code: number) => fail("died", `the thread ended with ${code}`);
      const onError = (error: Error) => fail("died", error.stack ?? error.message);
      const { taskMaxMs } = this.options;
      const timer = setTimeout(() => fail("hung", `no end within ${taskMaxMs} ms`), taskMaxMs);
      thread.on("message", onMessage).on("exit", onExit).on("error", onError);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, no window
      thread.postMessage(task);
    });
  }
}
