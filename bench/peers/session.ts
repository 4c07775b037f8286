/**
 * Everything a comparison starts, and the one place that ends it: load processes, the system under
 * measurement, and their folder.
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { killIfThere } from "../lib/ending.ts";
import { LoadGenerators } from "./load/generators.ts";
import type { RunningSystem, StartSystem, SystemHome } from "./system.ts";

/** A system that has not started by then will not. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 15_000;

export class Session {
  private readonly folder = mkdtempSync(join(tmpdir(), "spillway-peers-run-"));
  private readonly children = new Set<ChildProcess>();
  private readonly running = new Set<RunningSystem>();
  /** A system on its way up has processes already, which only it can end. */
  private readonly starting = new Set<Promise<RunningSystem>>();
  private generators: LoadGenerators | undefined;
  private homes = 0;
  private isClosing = false;

  /** Load processes, the same ones until they are dropped. */
  async load(): Promise<LoadGenerators> {
    this.generators ??= await LoadGenerators.start((child) => {
      this.children.add(child);
      child.once("exit", () => this.children.delete(child));
    });
    return this.generators;
  }

  /** After a measure that failed: what its jobs still do would disturb the next. */
  dropLoad(): void {
    this.generators?.stop();
    this.generators = undefined;
  }

  /** An empty folder for one instance. */
  folderForOne(): string {
    const folder = join(this.folder, `home-${++this.homes}`);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Starts a system that is ended with the session, if it is not stopped before. */
  async start(start: StartSystem, home: SystemHome): Promise<RunningSystem> {
    // The run goes on by itself for a moment; nobody would end what it starts.
    if (this.isClosing) throw new Error("the run is being ended");
    const starting = start(home).then((system) => this.known(system));
    this.starting.add(starting);
    try {
      return await withLimit(START_LIMIT_MS, starting, "did not start");
    } finally {
      this.starting.delete(starting);
    }
  }

  /** Whatever happens, its processes are gone afterwards. */
  async stop(system: RunningSystem, home: SystemHome): Promise<void> {
    const pids = system.pids();
    try {
      await withLimit(STOP_LIMIT_MS, system.stop(), "did not stop");
    } finally {
      for (const pid of pids) killIfThere(pid);
      this.running.delete(system);
      removeFolder(home.folder);
    }
  }

  private known(system: RunningSystem): RunningSystem {
    const known: RunningSystem = {
      facts: system.facts,
      pids: () => system.pids(),
      createStream: (plan) => system.createStream(plan),
      stop: async () => {
        await system.stop();
        this.running.delete(known);
      },
    };
    this.running.add(known);
    return known;
  }

  async close(): Promise<void> {
    this.isClosing = true;
    // What has started by then is known.
    await Promise.race([Promise.allSettled(this.starting), wait(STOP_LIMIT_MS)]);
    const stops = [...this.running].map((system) => withLimit(STOP_LIMIT_MS, system.stop(), "did not stop"));
    await Promise.allSettled(stops);
    this.endNow();
  }

  /** Synchronous, for the exit of the process. */
  endNow(): void {
    for (const child of this.children) child.kill("SIGKILL");
    for (const system of this.running) for (const pid of system.pids()) killIfThere(pid);
    removeFolder(this.folder);
  }
}

/** @throws where the work takes longer; what it does then is its own matter */
export async function withLimit<T>(limitMs: number, work: Promise<T>, what: string): Promise<T> {
  const limit = new AbortController();
  const late = wait(limitMs, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`${what} within ${limitMs / 1000} s`);
  });
  // Whichever comes second is heard by nobody.
  late.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    limit.abort();
  }
}

function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
