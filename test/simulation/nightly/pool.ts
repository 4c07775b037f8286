/**
 * Runs tasks on threads, as many at once as there are threads. A thread that takes too long over a task is
 * ended, and the task counts as hung.
 */
import { Worker } from "node:worker_threads";

import type { Outcome, Task } from "./tasks.ts";

export interface PoolOptions {
  readonly workers: number;
  /** Longest that one task may take. */
  readonly taskMaxMs: number;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onHang: (task: Task) => void;
}

type Message = { readonly outcome: Outcome } | { readonly error: string };

export class SeedPool {
  private readonly options: PoolOptions;
  private readonly running = new Set<Worker>();
  private isEnded = false;

  constructor(options: PoolOptions) {
    this.options = options;
  }

  /** Until all tasks are done, or the pool is ended. */
  async run(tasks: readonly Task[]): Promise<void> {
    const left = [...tasks];
    const next = () => (this.isEnded ? undefined : left.shift());
    await Promise.all(Array.from({ length: this.options.workers }, () => this.work(next)));
  }

  /** No more tasks; those under way are given up. */
  async end(): Promise<void> {
    this.isEnded = true;
    await Promise.all([...this.running].map((worker) => worker.terminate()));
  }

  private async work(next: () => Task | undefined): Promise<void> {
    let worker: Worker | undefined;
    for (let task = next(); task !== undefined; task = next()) {
      worker ??= this.start();
      const message = await this.ask(worker, task);
      if (this.isEnded) break;
      if (message === undefined) {
        this.options.onHang(task);
        await this.stop(worker);
        worker = undefined;
      } else if ("error" in message) {
        throw new Error(`a thread failed at ${JSON.stringify(task)}: ${message.error}`);
      } else {
        this.options.onOutcome(message.outcome);
      }
    }
    if (worker !== undefined) await this.stop(worker);
  }

  private start(): Worker {
    const worker = new Worker(new URL("seed-worker.ts", import.meta.url));
    this.running.add(worker);
    return worker;
  }

  private async stop(worker: Worker): Promise<void> {
    this.running.delete(worker);
    await worker.terminate();
  }

  /** @returns `undefined` where the thread took too long, or has ended */
  private ask(worker: Worker, task: Task): Promise<Message | undefined> {
    return new Promise((resolve, reject) => {
      const settle = (message: Message | undefined) => {
        clearTimeout(timer);
        worker.off("message", onMessage).off("exit", onExit).off("error", onError);
        resolve(message);
      };
      const onMessage = (message: Message) => settle(message);
      const onExit = () => settle(undefined);
      const onError = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      const timer = setTimeout(() => settle(undefined), this.options.taskMaxMs);
      worker.on("message", onMessage).on("exit", onExit).on("error", onError);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, no window
      worker.postMessage(task);
    });
  }
}
