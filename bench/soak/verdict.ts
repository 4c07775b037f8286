/**
 * What a soak has found: slopes after warming up, what was left behind, and whether that is right. Pure.
 */
import { slopeOf, type Slope } from "./slope.ts";

/** Once a second. */
export interface MemorySample {
  readonly second: number;
  /** Streams that readers were done with. */
  readonly streams: number;
  readonly workerdMb: number;
  readonly hostMb: number;
}

export interface Growth {
  readonly mbPerHour: Slope;
  readonly kbPerStream: Slope;
}

/** Each by itself: what one gives back must not hide what the other keeps. */
type Process = "workerd" | "host";
export type GrowthByProcess = Readonly<Record<Process, Growth>>;

export interface Leftovers {
  readonly objects: number;
  readonly alarms: number;
  /** Of whatever objects' files are still there. */
  readonly objectBytes: number;
  readonly bucketBytes: number;
  /** Until nothing was left, or the wait was given up. */
  readonly afterSec: number;
}

export interface Finding {
  readonly rule: "memory" | "streams" | "storage" | "analytics";
  readonly detail: string;
}

export interface Facts {
  readonly growth: GrowthByProcess | undefined;
  readonly limitKbPerStream: number;
  readonly leftovers: Leftovers;
  readonly incomplete: readonly string[];
  readonly errors: number;
  readonly flushes: number;
  readonly flushFailures: number;
}

const WARM_UP_SHARE = 1 / 3;
const WARM_UP_MAX_SEC = 120;
const KB_PER_MB = 1024;
const SECONDS_PER_HOUR = 3600;

/** Up to when a run only warms up. */
export function warmUpSecOf(seconds: number): number {
  return Math.min(WARM_UP_MAX_SEC, seconds * WARM_UP_SHARE);
}

/** From the end of warming up to the end of the load. */
export function growthOf(samples: readonly MemorySample[], seconds: number): GrowthByProcess | undefined {
  const counted = samples.filter(({ second }) => second >= warmUpSecOf(seconds) && second <= seconds);
  const workerd = processGrowth(counted, ({ workerdMb }) => workerdMb);
  const host = processGrowth(counted, ({ hostMb }) => hostMb);
  return workerd === undefined || host === undefined ? undefined : { workerd, host };
}

function processGrowth(
  samples: readonly MemorySample[],
  megabytesOf: (sample: MemorySample) => number,
): Growth | undefined {
  const mbPerHour = slopeOf(samples.map((sample) => [sample.second / SECONDS_PER_HOUR, megabytesOf(sample)]));
  const kbPerStream = slopeOf(samples.map((sample) => [sample.streams, megabytesOf(sample) * KB_PER_MB]));
  return mbPerHour === undefined || kbPerStream === undefined ? undefined : { mbPerHour, kbPerStream };
}

/** Growing is what lies beyond the limit even at the interval's lower end. */
export function findingsOf(facts: Facts): Finding[] {
  const { growth, limitKbPerStream, leftovers, incomplete, errors, flushes, flushFailures } = facts;
  const findings: Finding[] = [];
  const found = (rule: Finding["rule"], detail: string) => findings.push({ rule, detail });
  if (growth === undefined) found("memory", "not measured");
  for (const [name, { kbPerStream }] of Object.entries(growth ?? {})) {
    if (kbPerStream.low <= limitKbPerStream) continue;
    found("memory", `${name} grows by ${intervalText(kbPerStream)} KB a stream, ${limitKbPerStream} are allowed`);
  }
  if (incomplete.length > 0)
    found("streams", `${incomplete.length} not whole: ${[...new Set(incomplete)].slice(0, 3).join("; ")}`);
  if (errors > 0) found("streams", `${errors} errors`);
  if (leftovers.objects > 0 || leftovers.alarms > 0) {
    found(
      "storage",
      `${leftovers.objects} objects and ${leftovers.alarms} alarms are left after ${leftovers.afterSec} s`,
    );
  }
  if (flushes === 0) found("analytics", "nothing was flushed to the bucket");
  if (flushFailures > 0) found("analytics", `${flushFailures} flushes failed`);
  return findings;
}

/** Whether the interval says anything about the limit at all. */
export function isWide({ kbPerStream }: Growth, limitKbPerStream: number): boolean {
  return kbPerStream.low <= limitKbPerStream && kbPerStream.high > limitKbPerStream;
}

export function intervalText({ perX, low, high }: Slope): string {
  return `${short(perX)} (${short(low)} to ${short(high)})`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
