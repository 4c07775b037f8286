/**
 * What another process has used, as Linux tells it. Elsewhere there is no /proc: then `undefined`.
 */
import { readFileSync } from "node:fs";

/** `USER_HZ`, the unit of times in /proc: 100 on every Linux that Node runs on. */
const TICKS_PER_SEC = 100;
/** Places of utime and stime behind the command's name, which may itself hold spaces (proc(5)). */
const UTIME = 11;
const STIME = 12;
const KB_PER_MB = 1024;
const NS_PER_MS = 1_000_000;

/** CPU seconds of a process so far, all threads, user and system. */
export function cpuSecondsOf(pid: number): number | undefined {
  const stat = readProc(pid, "stat");
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SEC;
}

/**
 * CPU time of a process's first thread so far, in ms, to the nanosecond while it sleeps. Of workerd that is
 * the one that runs all JavaScript.
 */
export function mainThreadCpuMsOf(pid: number): number | undefined {
  const [runNs] = readProc(pid, `task/${pid}/schedstat`)?.split(" ") ?? [];
  return runNs === undefined ? undefined : Number(runNs) / NS_PER_MS;
}

/** Resident memory in MB, now. */
export function residentMbOf(pid: number): number | undefined {
  return statusMb(pid, "VmRSS");
}

/** The most resident memory a process ever had, in MB. */
export function peakResidentMbOf(pid: number): number | undefined {
  return statusMb(pid, "VmHWM");
}

function statusMb(pid: number, field: string): number | undefined {
  const line = readProc(pid, "status")
    ?.split("\n")
    .find((candidate) => candidate.startsWith(`${field}:`));
  return line === undefined ? undefined : Number.parseInt(line.slice(field.length + 1), 10) / KB_PER_MB;
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    // Not Linux, or the process is gone: nothing to tell either way.
    return undefined;
  }
}
