/** What a run ran on. */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, totalmem } from "node:os";

import { WORKERD } from "../../test/fixtures/workerd-service.ts";

const BYTES_PER_GB = 2 ** 30;

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memory_gb: number;
  readonly platform: string;
  readonly load_average: number;
}

export interface Versions {
  readonly node: string;
  readonly workerd: string;
  /** Of the source tree; `null` where it is not a repository. */
  readonly commit: string | null;
}

/** @param loadAverage before the run: what was at work beside it */
export function machineOf(loadAverage: number): Machine {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memory_gb: Math.round(totalmem() / BYTES_PER_GB),
    platform: `${process.platform} ${process.arch}`,
    load_average: loadAverage,
  };
}

export function versionsOf(): Versions {
  return {
    node: process.version,
    workerd: output(WORKERD, ["--version"])?.replace(/^workerd /, "") ?? "unknown",
    commit: output("git", ["rev-parse", "--short", "HEAD"]) ?? null,
  };
}

export function loadAverage(): number {
  return loadavg()[0] ?? 0;
}

function output(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, [...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    // Not installed, or nothing to say.
    return undefined;
  }
}
