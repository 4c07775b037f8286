/**
 * Everything a run starts, and the one place that ends it again: bundles, the source's process, the
 * readers' process, services, and the folder they live in.
 */
import { fork, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { killIfThere } from "./ending.ts";
import { startLakeService, type LakeService } from "../../test/fixtures/lake-service.ts";
import { startService, type Service } from "../../test/fixtures/workerd-service.ts";
import { makeBundles, type Bundle, type System } from "./bundles.ts";
import { restartInspected, type InspectedService } from "./inspected-workerd.ts";
import type { ReaderMessage, ReadJob, ReadResult, SourceGo, SourceReady } from "./messages.ts";

const BENCH = resolve(import.meta.dirname, "..");
const LONG_SILENCE_MS = 900_000;
/** Linux's file system in memory. */
const SHARED_MEMORY = "/dev/shm";

/** Readers that all have their response heads; the source may begin. */
export interface AttachedReaders {
  readonly requestId: string | undefined;
  readonly resumeToken: string | undefined;
  readonly result: Promise<ReadResult>;
}

export class Lab {
  private readonly folder = mkdtempSync(join(tmpdir(), "spillway-bench-"));
  /** For storage whose speed is not the question. */
  private readonly fastFolder = mkdtempSync(
    join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), "spillway-bench-"),
  );
  private readonly children = new Set<ChildProcess>();
  private readonly services = new Set<Service>();
  private readonly lakes = new Set<LakeService>();
  private readonly inspected = new Set<InspectedService>();
  /** A service on its way up has a process already, which only it can end. */
  private readonly starting = new Set<Promise<unknown>>();
  private bundles: Readonly<Record<System, Bundle>> | undefined;
  private source: ChildProcess | undefined;
  private sourceOrigin = "";
  private serviceCount = 0;

  async open(): Promise<void> {
    const [bundles] = await Promise.all([makeBundles(this.folder), this.startSource()]);
    this.bundles = bundles;
  }

  /**
   * A fresh service with empty storage. Spillway's only route is `b`, to the source.
   *
   * @param route members of the route's that differ from the defaults
   */
  async startSystem(
    system: System,
    vars: Readonly<Record<string, unknown>> = {},
    route: Readonly<Record<string, unknown>> = {},
  ): Promise<Service> {
    // Of relief the turns are timed, not the disk.
    const folder = system === "relief" ? this.fastFolder : this.folder;
    return this.startIn(join(folder, `service-${++this.serviceCount}`), system, { vars, route });
  }

  /** Spillway with V8's inspector open, its storage in memory where the system has such a folder. */
  async startInspected(vars: Readonly<Record<string, unknown>>): Promise<InspectedService> {
    const folder = join(this.fastFolder, `service-${++this.serviceCount}`);
    // Sources of streams filled first are silent while the others are filled.
    const service = await this.startIn(folder, "spillway", { vars, route: { idleTimeoutMs: LONG_SILENCE_MS } });
    await this.stopSystem(service);
    const inspected = await this.untilStarted(restartInspected(service, folder));
    this.inspected.add(inspected);
    return inspected;
  }

  stopInspected(service: InspectedService): void {
    service.endNow();
    this.inspected.delete(service);
  }

  /** A fresh service with an empty bucket, on a host that both systems share the kind of. */
  async startLake(
    system: "spillway" | "bare-ingest",
    vars: Readonly<Record<string, unknown>> = {},
  ): Promise<LakeService> {
    if (this.bundles === undefined) throw new Error("the lab is not open");
    const persistTo = join(this.folder, `lake-${++this.serviceCount}`);
    const service = await this.untilStarted(startLakeService({ bundle: this.bundles[system].path, persistTo, vars }));
    this.lakes.add(service);
    return service;
  }

  async stopLake(service: LakeService): Promise<void> {
    await service.kill();
    this.lakes.delete(service);
  }

  async stopSystem(service: Service): Promise<void> {
    await service.kill();
    this.services.delete(service);
  }

  /** Lets the streams begin that the source holds. */
  go(): void {
    const word: SourceGo = { kind: "go" };
    this.source?.send(word);
  }

  /** Opens a stream and all its readers, in a process of their own. */
  async attachReaders(job: ReadJob): Promise<AttachedReaders> {
    const child = this.spawn("reader-process.ts");
    const attached = Promise.withResolvers<Omit<AttachedReaders, "result">>();
    const done = Promise.withResolvers<ReadResult>();
    const fail = (detail: string) => {
      attached.reject(new Error(`readers: ${detail}`));
      done.reject(new Error(`readers: ${detail}`));
    };
    // Where attaching fails, nobody is left to hear of the rest.
    done.promise.catch(() => undefined);
    child.on("exit", () => fail("their process ended"));
    child.on("message", (raw) => {
      // The child is ours and speaks nothing else.
      const message = raw as ReaderMessage;
      if (message.kind === "attached") attached.resolve(message);
      else if (message.kind === "done") done.resolve(message.result);
      else fail(message.detail);
      if (message.kind !== "attached") child.kill();
    });
    child.send(job);
    return { ...(await attached.promise), result: done.promise };
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.starting);
    this.endNow();
  }

  /** Synchronous, for the exit of the process. */
  endNow(): void {
    for (const child of this.children) child.kill("SIGKILL");
    for (const { pid } of this.services) killIfThere(pid);
    for (const { hostPid, workerdPid } of this.lakes) {
      // The host first: it would start another workerd.
      killIfThere(hostPid);
      killIfThere(workerdPid);
    }
    for (const service of this.inspected) service.endNow();
    for (const folder of [this.folder, this.fastFolder]) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  private async startIn(
    persistTo: string,
    system: System,
    { vars, route }: Readonly<Record<"vars" | "route", Readonly<Record<string, unknown>>>>,
  ): Promise<Service> {
    if (this.bundles === undefined) throw new Error("the lab is not open");
    const routes = [{ name: "b", upstream: this.sourceOrigin, method: "GET", ...route }];
    const start = startService({
      bundle: this.bundles[system],
      persistTo,
      vars: system === "bare" ? { SOURCE: this.sourceOrigin } : { ROUTES: routes, ...vars },
    });
    const service = await this.untilStarted(start);
    this.services.add(service);
    return service;
  }

  private async untilStarted<T>(start: Promise<T>): Promise<T> {
    this.starting.add(start);
    try {
      return await start;
    } finally {
      this.starting.delete(start);
    }
  }

  private async startSource(): Promise<void> {
    const child = this.spawn("source-process.ts");
    this.source = child;
    const port = await new Promise<number>((done, fail) => {
      // The child is ours and speaks nothing else.
      child.once("message", (message) => done((message as SourceReady).port));
      child.once("exit", () => fail(new Error("the source's process ended")));
    });
    this.sourceOrigin = `http://127.0.0.1:${port}`;
  }

  private spawn(file: string): ChildProcess {
    const child = fork(join(BENCH, file), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.children.add(child);
    child.once("exit", () => this.children.delete(child));
    return child;
  }
}
