/**
 * What a report says of the machine it was made on.
 */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, totalmem } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const BYTES_PER_GB = 2 ** 30;

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
  readonly workerd: string;
  /** Of the source tree, with `+` where it was changed since; `null` where it is no repository. */
  readonly commit: string | null;
  /** Running processes over the minute before the run: above 0.5, others were at work too. */
  readonly loadBefore: number;
  readonly loadAfter: number;
}

/** Called when all is done: what it asks the system for now is the load after. */
export function describeMachine(loadBefore: number): Machine {
  const [first] = cpus();
  const workerd = execFileSync(join(ROOT, "node_modules/workerd/bin/workerd"), ["--version"], { encoding: "utf8" });
  return {
    cores: cpus().length,
    cpu: first?.model.trim() ?? "unknown",
    memoryGb: Math.round(totalmem() / BYTES_PER_GB),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    workerd: workerd.trim().replace(/^workerd /, ""),
    commit: describeCommit(),
    loadBefore,
    loadAfter: loadNow(),
  };
}

function describeCommit(): string | null {
  try {
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : "+");
  } catch {
    // Not a checkout, or no git.
    return null;
  }
}

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

export function loadNow(): number {
  return loadavg()[0] ?? 0;
}
