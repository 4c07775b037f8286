/**
 * What is under the gate: a service of its own on a bare workerd with a source beside it, or one that runs
 * elsewhere. Whoever opens a host closes it; the end of the process does,
 * too.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { anonymousBytes } from "../../test/fixtures/process-memory.ts";
import { startService, type Service } from "../../test/fixtures/workerd-service.ts";
import { killIfThere } from "../lib/ending.ts";
import { bundleEntry, REAL_ENTRY } from "./bundle.ts";
import { benchDialect, demoDialect } from "./dialect.ts";
import type { ReaderPlan } from "./gate-reader.ts";
import type { SampleLog } from "./samples.ts";
import { trimOf } from "./trim-line.ts";
import { startSource, type Source } from "./source.ts";

const ROUTE = "gate";
const BYTES_PER_MB = 1_048_576;
/**
 * Away for a short while only, so that many come back within a window; and streams are removed while the gate
 * runs, so that removal is part of the load.
 */
const VARS = { SSE_RETRY_MS: 250, SSE_SNAPSHOT_TTL_SEC: 5 };

export interface Host {
  readonly connection: Pick<ReaderPlan, "startUrl" | "resumeUrl" | "headers" | "dialect">;
  /** What its looks add; what they should and do not is a fault. */
  readonly measures: { readonly memory: boolean; readonly trims: boolean };
  /** Adds what memory and telemetry say now. */
  look(log: SampleLog): void;
  close(): Promise<void>;
}

export interface OwnHostOptions {
  /** Source text of the Worker's entry, where it is not the real one. */
  readonly entry?: string;
  /** Path of a bundle that is there already. */
  readonly bundle?: string;
  readonly vars?: Readonly<Record<string, unknown>>;
  /** Puts something between readers and service. */
  readonly between?: (origin: string) => Promise<{ readonly origin: string; stop(): Promise<void> }>;
}

export async function startOwnHost(options: OwnHostOptions = {}): Promise<Host> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-gate-"));
  const opened: { source?: Source; service?: Service } = {};
  const endNow = () => {
    opened.source?.stop();
    if (opened.service !== undefined) killIfThere(opened.service.pid);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  // From the beginning: a run may be broken off while it starts.
  process.once("exit", endNow);
  try {
    const [source, path] = await Promise.all([
      startSource().then((started) => (opened.source = started)),
      options.bundle ?? bundleEntry(options.entry ?? REAL_ENTRY, folder),
    ]);
    const service = await startService({
      bundle: { path },
      persistTo: join(folder, "service"),
      vars: { ...VARS, ROUTES: [{ name: ROUTE, upstream: source.origin, method: "GET" }], ...options.vars },
    });
    opened.service = service;
    const between = await options.between?.(service.origin);
    let linesRead = 0;
    return {
      connection: connectionTo(between?.origin ?? service.origin, ROUTE, { dialect: benchDialect }),
      measures: { memory: true, trims: true },
      look(log) {
        addMemory(log, service.pid);
        for (; linesRead < service.lines.length; linesRead++) addTelemetry(log, service.lines[linesRead] ?? "");
      },
      async close() {
        await between?.stop();
        await service.kill();
        process.removeListener("exit", endNow);
        endNow();
      },
    };
  } catch (error) {
    process.removeListener("exit", endNow);
    endNow();
    throw error;
  }
}

export interface RemoteOptions {
  readonly url: string;
  readonly route: string;
  /** Client key, where starting a stream needs one. */
  readonly key: string | undefined;
  /** Its process, where it runs on this machine. */
  readonly pid: number | undefined;
}

/** A service that runs already, on a route with the built-in source: what it tells is not at hand. */
export function remoteHost({ url, route, key, pid }: RemoteOptions): Host {
  const headers: Record<string, string> = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  return {
    connection: connectionTo(url.replace(/\/$/, ""), route, { dialect: demoDialect, headers }),
    measures: { memory: pid !== undefined, trims: false },
    look: (log) => (pid === undefined ? undefined : addMemory(log, pid)),
    close: async () => undefined,
  };
}

function connectionTo(
  origin: string,
  route: string,
  { dialect, headers = {} }: { readonly dialect: ReaderPlan["dialect"]; readonly headers?: ReaderPlan["headers"] },
): Host["connection"] {
  return { startUrl: `${origin}/${route}/stream`, resumeUrl: `${origin}/${route}/resume`, headers, dialect };
}

function addMemory(log: SampleLog, pid: number): void {
  let bytes: number;
  try {
    bytes = anonymousBytes(pid);
  } catch {
    // Not Linux, or the process is gone: the judge misses it.
    return;
  }
  log.add((atMs) => ({ kind: "memory", atMs, megabytes: bytes / BYTES_PER_MB }));
}

function addTelemetry(log: SampleLog, line: string): void {
  const trim = trimOf(line, log.nowMs());
  if (trim !== undefined) log.add(() => trim);
}
