/**
 * One stream through one service, with what it cost: the same for Spillway and for the bare
 * pass-through but for the paths.
 */
import type { Service } from "../../test/fixtures/workerd-service.ts";
import type { Lab } from "./lab.ts";
import type { ReadJob, ReadResult } from "./messages.ts";
import { cpuSecondsOf, residentMbOf } from "./process-meter.ts";
import { scriptQuery, type SourceScript } from "./source-script.ts";

export interface StreamRun {
  readonly service: Service;
  /**
   * `spillway`; `bare`, where the object hands the source's body on and no byte passes through
   * JavaScript; `bare-fan`, where it enqueues each chunk for each reader.
   */
  readonly way: "spillway" | "bare" | "bare-fan";
  readonly readers: number;
  readonly script: SourceScript;
}

export interface MeasuredStream extends ReadResult {
  /** CPU time of workerd to the last event: from the source's first, or from the first request where it does not wait. */
  readonly workerdCpuSec: number | undefined;
  /** Resident memory of workerd, MB, with every reader attached and, of a held source, nothing sent. */
  readonly attachedMb: number | undefined;
  readonly requestId: string | undefined;
}

export async function measureStream(lab: Lab, run: StreamRun): Promise<MeasuredStream> {
  const { service, readers, script } = run;
  let cpuBefore = cpuSecondsOf(service.pid);
  const { result, requestId } = await lab.attachReaders({
    origin: service.origin,
    ...pathsOf(run),
    readers,
    expectedEvents: script.events,
  });
  const attachedMb = residentMbOf(service.pid);
  if (script.isHeld) {
    cpuBefore = cpuSecondsOf(service.pid);
    lab.go();
  }
  const read = await result;
  const cpuAfter = cpuSecondsOf(service.pid);
  const workerdCpuSec = cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore;
  return { ...read, workerdCpuSec, attachedMb, requestId };
}

function pathsOf({ way, script }: StreamRun): Pick<ReadJob, "start" | "joinPath"> {
  const query = scriptQuery(script);
  if (way === "spillway") return { start: { method: "POST", path: `/b/stream?${query}` }, joinPath: "/b/resume" };
  const path = way === "bare" ? `/one?${query}` : `/fan/${crypto.randomUUID()}?${query}`;
  return { start: { method: "GET", path }, joinPath: path };
}
