/**
 * What a soak has found: slopes after warming up, what was left behind, and whether that is right. Pure.
 */
import { detectableSlope, slopeOf, type Slope } from "./slope.ts";

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
  readonly rule: "memory" | "streams" | "storage" | "analytics" | "service";
  readonly detail: string;
}

export interface Facts {
  readonly growth: GrowthByProcess | undefined;
  readonly limits: SoakLimits;
  readonly leftovers: Leftovers;
  readonly incomplete: readonly string[];
  readonly errors: number;
  /** That readers started, and were answered. */
  readonly streams: number;
  /** Of /metrics by name; `undefined` where it told no number. */
  readonly counts: Readonly<Record<string, number | undefined>>;
}

export interface SoakLimits {
  /** Growing is what lies beyond it at the interval's lower end. */
  readonly kbPerStream: number;
  /** Flat is only what lies within it at the interval's upper end. */
  readonly ruledOutKbPerStream: number;
}

export type MemoryVerdict = "flat" | "growing" | "undecided" | "not measured";

/** With fewer there is hardly a slope by stream. */
export const LEAST_STREAMS = 1000;
const WARM_UP_SHARE = 1 / 3;
const WARM_UP_MAX_SEC = 300;
/** A heap swings between collections: its floor in each stretch is what is kept. */
const FLOOR_SEC = 5;
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
  const floors = floorsOf(samples, megabytesOf);
  const mbPerHour = slopeOf(floors.map((sample) => [sample.second / SECONDS_PER_HOUR, megabytesOf(sample)]));
  const kbPerStream = slopeOf(floors.map((sample) => [sample.streams, megabytesOf(sample) * KB_PER_MB]));
  return mbPerHour === undefined || kbPerStream === undefined ? undefined : { mbPerHour, kbPerStream };
}

/** The least sample of each stretch, where it was. */
function floorsOf(
  samples: readonly MemorySample[],
  megabytesOf: (sample: MemorySample) => number,
): readonly MemorySample[] {
  const stretches = Map.groupBy(samples, ({ second }) => Math.floor(second / FLOOR_SEC));
  return [...stretches.values()].map((stretch) =>
    stretch.reduce((least, sample) => (megabytesOf(sample) < megabytesOf(least) ? sample : least)),
  );
}

/** Whether memory is flat, and not merely not seen to grow. */
export function memoryVerdictOf({
  growth,
  limits,
  streams,
}: Pick<Facts, "growth" | "limits" | "streams">): MemoryVerdict {
  if (growth === undefined) return "not measured";
  const slopes = Object.values(growth).map(({ kbPerStream }) => kbPerStream);
  if (slopes.some(({ low, high }) => Number.isNaN(low) || Number.isNaN(high))) return "not measured";
  if (slopes.some(({ low }) => low > limits.kbPerStream)) return "growing";
  if (streams < LEAST_STREAMS) return "undecided";
  return slopes.every(({ high }) => high <= limits.ruledOutKbPerStream) ? "flat" : "undecided";
}

export function detectableKbOf({ kbPerStream }: Growth, limits: SoakLimits): number {
  return detectableSlope(kbPerStream, limits.kbPerStream);
}

/** What a run that was broken off has found: nothing of what is only known at the end. */
export function findingsSoFar(facts: Facts): Finding[] {
  const { growth, limits, incomplete, errors } = facts;
  const findings: Finding[] = [];
  const found = (rule: Finding["rule"], detail: string) => findings.push({ rule, detail });
  for (const [name, { kbPerStream }] of Object.entries(growth ?? {})) {
    if (kbPerStream.low <= limits.kbPerStream) continue;
    found("memory", `${name} grows by ${intervalText(kbPerStream)} KB a stream, ${limits.kbPerStream} are allowed`);
  }
  if (incomplete.length > 0)
    found("streams", `${incomplete.length} not whole: ${[...new Set(incomplete)].slice(0, 3).join("; ")}`);
  if (errors > 0) found("streams", `${errors} errors`);
  return findings;
}

export function findingsOf(facts: Facts): Finding[] {
  const findings = findingsSoFar(facts);
  const found = (rule: Finding["rule"], detail: string) => findings.push({ rule, detail });
  if (memoryVerdictOf(facts) === "not measured") found("memory", "not measured");
  const { leftovers } = facts;
  if (leftovers.objects > 0 || leftovers.alarms > 0) {
    found(
      "storage",
      `${leftovers.objects} objects and ${leftovers.alarms} alarms are left after ${leftovers.afterSec} s`,
    );
  }
  findings.push(...countFindings(facts));
  return findings;
}

/** Of what the service counted: that it did its work, and all of it. A count that is not told is a finding, too. */
function countFindings({ counts, streams }: Facts): Finding[] {
  const findings: Finding[] = [];
  const judge = (rule: Finding["rule"], name: string, isRight: (count: number) => boolean, wanted: string) => {
    const count = counts[name];
    if (count === undefined || !Number.isFinite(count)) findings.push({ rule, detail: `${name} is not told` });
    else if (!isRight(count)) findings.push({ rule, detail: `${name} ${count}, ${wanted}` });
  };
  judge("analytics", "flushes", isSome, "nothing was flushed to the bucket");
  judge("analytics", "flush_failures", isNone, "none may fail");
  judge("analytics", "commits", isSome, "the table got nothing");
  judge("analytics", "commit_failures", isNone, "none may fail");
  judge("analytics", "dead_letters", isNone, "none may be left");
  judge("analytics", "telemetry_dropped_events", isNone, "none may be lost");
  judge("service", "degraded", isNone, "no stream may go on without resume");
  judge("service", "streams_started", (count) => count === streams, `readers started ${streams}`);
  return findings;
}

function isNone(count: number): boolean {
  return count === 0;
}

function isSome(count: number): boolean {
  return count > 0;
}

export function intervalText({ perX, low, high }: Slope): string {
  return `${short(perX)} (${short(low)} to ${short(high)})`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
