/**
 * Many readers on one stream, at several steady rates: what is delivered, at what cost, to whom.
 * Each run has a service of its own, so that memory is told from the same beginning.
 */
import type { Lab } from "../lib/lab.ts";
import { LatencyHistogram } from "../lib/latency-histogram.ts";
import { measureStream } from "../lib/measured-stream.ts";
import type { ManyReadersLoad, Plan } from "../lib/options.ts";
import { peakResidentMbOf, residentMbOf } from "../lib/process-meter.ts";
import { compareLatencies, type LatencyResult } from "./latency.ts";

export interface ManyReadersResult
  extends ManyReadersLoad, Pick<LatencyResult, "spillwayMs" | "bareMs" | "addedMs" | "ratio"> {
  readonly readers: number;
  readonly bytes: number;
  /** What would be delivered each second if nothing stood in the way. */
  readonly offeredPerSec: number;
  readonly spillway: FanOut;
  readonly bare: FanOut;
  /** Spillway's delivered events a second over the bare one's. */
  readonly deliveredRatio: number;
  /** Spillway's CPU time for a delivered event over the bare one's. */
  readonly cpuRatio: number | undefined;
  /** Gaps that Spillway told its readers of. */
  readonly gaps: number;
}

/** The same of Spillway and of the bare object; over several passes, of all of them together. */
interface FanOut {
  readonly deliveredPerSec: number;
  /** Readers that got every event, over the passes. */
  readonly completeReaders: number;
  readonly allReaders: number;
  readonly workerdCpuUsPerEvent: number | undefined;
  /** Cores that workerd and the readers' process kept busy. */
  readonly workerdCores: number | undefined;
  readonly readerCores: number;
  /** Resident memory of workerd: before, with all readers attached, after, and at its highest. */
  readonly memoryMb: Readonly<Record<"before" | "attached" | "after" | "peak", number | undefined>>;
}

interface Tally {
  readonly latencies: LatencyHistogram;
  events: number;
  streamingSec: number;
  completeReaders: number;
  allReaders: number;
  workerdCpuSec: number | undefined;
  readerCpuSec: number;
  memoryMb: FanOut["memoryMb"];
  gaps: number;
}

const BYTES = 200;
const US_PER_SEC = 1_000_000;
const WARM_UP = { events: 2000, bytes: BYTES, rate: 0, batch: 1, isHeld: false };

export async function measureManyReaders(
  lab: Lab,
  plan: Plan["manyReaders"],
  note: (line: string) => void,
): Promise<ManyReadersResult[]> {
  const results: ManyReadersResult[] = [];
  for (const load of plan.loads) {
    note(`${load.rate} events a second, ${load.batch} a chunk, to ${plan.readers} readers`);
    const tallies = { spillway: newTally(), bare: newTally() };
    for (let pass = 0; pass < plan.passes; pass++) {
      for (const system of ["spillway", "bare"] as const)
        await measurePass(lab, { plan, load, system }, tallies[system]);
    }
    const spillway = fanOutOf(tallies.spillway);
    const bare = fanOutOf(tallies.bare);
    const { workerdCpuUsPerEvent: spillwayUs } = spillway;
    const { workerdCpuUsPerEvent: bareUs } = bare;
    results.push({
      ...load,
      readers: plan.readers,
      bytes: BYTES,
      offeredPerSec: load.rate * plan.readers,
      spillway,
      bare,
      deliveredRatio: spillway.deliveredPerSec / bare.deliveredPerSec,
      cpuRatio: spillwayUs === undefined || bareUs === undefined ? undefined : spillwayUs / bareUs,
      ...compareLatencies(tallies.spillway.latencies, tallies.bare.latencies),
      gaps: tallies.spillway.gaps,
    });
  }
  return results;
}

interface Pass {
  readonly plan: Plan["manyReaders"];
  readonly load: ManyReadersLoad;
  readonly system: "spillway" | "bare";
}

async function measurePass(lab: Lab, { plan, load, system }: Pass, tally: Tally): Promise<void> {
  const { readers, seconds } = plan;
  const service = await lab.startSystem(system, { SSE_MAX_CLIENTS: readers });
  const way = system === "bare" ? "bare-fan" : "spillway";
  await measureStream(lab, { service, way, readers: 1, script: WARM_UP });
  const before = residentMbOf(service.pid);
  const script = { ...load, events: load.rate * seconds, bytes: BYTES, isHeld: true };
  const run = await measureStream(lab, { service, way, readers, script });
  tally.events += run.events;
  tally.streamingSec += run.streamingSec;
  tally.completeReaders += run.completeReaders;
  tally.allReaders += readers;
  tally.workerdCpuSec = run.workerdCpuSec === undefined ? undefined : (tally.workerdCpuSec ?? 0) + run.workerdCpuSec;
  tally.readerCpuSec += run.readerCpuSec;
  tally.memoryMb = {
    before,
    attached: run.attachedMb,
    after: residentMbOf(service.pid),
    peak: peakResidentMbOf(service.pid),
  };
  tally.gaps += service.telemetry("SsePartialRecovery").length;
  tally.latencies.merge(run.latencyCounts);
  await lab.stopSystem(service);
}

function newTally(): Tally {
  return {
    latencies: new LatencyHistogram(),
    events: 0,
    streamingSec: 0,
    completeReaders: 0,
    allReaders: 0,
    workerdCpuSec: undefined,
    readerCpuSec: 0,
    memoryMb: { before: undefined, attached: undefined, after: undefined, peak: undefined },
    gaps: 0,
  };
}

function fanOutOf({ events, streamingSec, workerdCpuSec, readerCpuSec, ...rest }: Tally): FanOut {
  return {
    deliveredPerSec: events / streamingSec,
    completeReaders: rest.completeReaders,
    allReaders: rest.allReaders,
    workerdCpuUsPerEvent: workerdCpuSec === undefined ? undefined : (workerdCpuSec / events) * US_PER_SEC,
    workerdCores: workerdCpuSec === undefined ? undefined : workerdCpuSec / streamingSec,
    readerCores: readerCpuSec / streamingSec,
    memoryMb: rest.memoryMb,
  };
}
