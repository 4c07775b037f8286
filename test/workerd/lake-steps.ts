/**
 * Every step at which the lake's objects wait for something outside themselves: calls to the bucket,
 * calls to each other, alarms being set. Between two of them nothing can be lost that is not lost at one
 * of them, so that a crash before and after each is a crash at every step.
 */
import { abortAllDurableObjects } from "cloudflare:test";
import { vi } from "vitest";

import { Alarms } from "../../durable-objects/alarms.ts";
import { EventBuffer } from "../../durable-objects/event-buffer.ts";
import { IcebergTable } from "../../durable-objects/iceberg-table.ts";
import { R2ObjectStore } from "../../durable-objects/r2-object-store.ts";
import { TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";

export interface CrashPoint {
  readonly step: string;
  /** Which of the steps of this name, from 1. */
  readonly occurrence: number;
  readonly side: "before" | "after";
}

type AsyncMethod = (this: object, ...args: unknown[]) => Promise<unknown>;

/** What may be looked at by any name: a prototype whose methods are replaced while a test runs. */
type Methods = Record<string, AsyncMethod>;

export class StepWatch {
  /** Steps in the order they were begun. */
  readonly steps: string[] = [];
  private readonly crash: CrashPoint | undefined;
  private readonly counts = new Map<string, number>();
  private readonly spies: { mockRestore(): void }[] = [];
  private hasCrashed = false;

  constructor(crash?: CrashPoint) {
    this.crash = crash;
    // The lake's own telemetry would come between the steps when it likes: it stays in its queue.
    this.watchNothing(TelemetryOutlet.prototype, "run");
    for (const name of ["putIfAbsent", "put", "get", "head", "list", "delete"]) {
      this.watch(R2ObjectStore.prototype, name, (args) => `${name} ${kindOf(String(args[0]))}`);
    }
    for (const name of ["append", "flush", "reset"]) this.watch(EventBuffer.prototype, name, () => `shard.${name}`);
    for (const name of ["register", "stage", "withdraw", "location", "commitNow", "compact"]) {
      this.watch(IcebergTable.prototype, name, () => `table.${name}`);
    }
    this.watch(Alarms.prototype, "arm", ([deadlines]) => `arm ${Object.keys(deadlines as object).join("+")}`);
  }

  get isOver(): boolean {
    return this.hasCrashed;
  }

  /** Ends the crashed objects: whatever they were at never comes back. */
  async endObjects(): Promise<void> {
    for (const spy of this.spies) spy.mockRestore();
    await abortAllDurableObjects();
  }

  private watchNothing(prototype: object, method: string): void {
    this.spies.push(vi.spyOn(prototype as Methods, method).mockImplementation(async () => {}));
  }

  private watch(prototype: object, method: string, nameOf: (args: unknown[]) => string): void {
    const methods = prototype as Methods;
    const real = methods[method];
    if (real === undefined) throw new Error(`there is no ${method} to watch`);
    // A regular function: `this` is the object whose method it is.
    const watched = this.wrap(real, nameOf);
    this.spies.push(vi.spyOn(methods, method).mockImplementation(watched));
  }

  private wrap(real: AsyncMethod, nameOf: (args: unknown[]) => string): AsyncMethod {
    const begin = (args: unknown[]) => this.begin(nameOf(args));
    const stand = () => this.standStill();
    return async function (...args) {
      const side = begin(args);
      if (side === "before") await stand();
      const result = await real.apply(this, args);
      if (side === "after") await stand();
      return result;
    };
  }

  private begin(step: string): CrashPoint["side"] | undefined {
    const occurrence = (this.counts.get(step) ?? 0) + 1;
    this.counts.set(step, occurrence);
    this.steps.push(step);
    const isHere = step === this.crash?.step && occurrence === this.crash.occurrence;
    return isHere ? this.crash?.side : undefined;
  }

  private async standStill(): Promise<never> {
    this.hasCrashed = true;
    return new Promise<never>(() => {});
  }
}

function kindOf(key: string): string {
  if (key.startsWith("exports/")) return "export";
  if (key.endsWith("version-hint.text")) return "hint";
  if (key.endsWith(".metadata.json")) return "metadata";
  if (/\/data\/.*compact-/.test(key)) return "compacted file";
  if (key.endsWith(".parquet")) return "data file";
  if (/\/snap-[^/]*\.avro$/.test(key)) return "manifest list";
  if (key.endsWith(".avro")) return "manifest";
  return "listing";
}

const READ = /^(get|head|list) /;

/** Both sides of every step of a run without a crash; of one that only reads, one is as good as the other. */
export function crashPointsOf(steps: readonly string[]): CrashPoint[] {
  const counts = new Map<string, number>();
  return steps.flatMap((step) => {
    const occurrence = (counts.get(step) ?? 0) + 1;
    counts.set(step, occurrence);
    const before = { step, occurrence, side: "before" } as const;
    return READ.test(step) ? [before] : [before, { step, occurrence, side: "after" } as const];
  });
}
