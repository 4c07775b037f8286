/**
 * How much the service's memory grew: altogether, and for each request it was asked. Pure.
 */
import { spreadOf } from "../lib/statistics.ts";
import { slopeOf, type Slope } from "../soak/slope.ts";
import type { Sample } from "./samples.ts";

export interface MemoryGrowth {
  readonly beforeMb: number;
  readonly afterMb: number;
  readonly growthMb: number;
  readonly perHourMb: number;
  /** After warming up; `undefined` where there was too little to tell. */
  readonly kbPerRequest: Slope | undefined;
}

/** Of a run; what comes up in it is not growth. */
const WARM_UP_SHARE = 1 / 2;
/** Of what follows: its first and its last part are compared. */
const COMPARED_SHARE = 1 / 4;
const KB_PER_MB = 1024;
const MS_PER_HOUR = 3_600_000;

/** Medians of the first and the last quarter after warming up: one sample says little of a collected heap. */
export function memoryGrowthOf(samples: readonly Sample[], endMs: number): MemoryGrowth | undefined {
  const beganMs = endMs * WARM_UP_SHARE;
  const lengthMs = (endMs - beganMs) * COMPARED_SHARE;
  const medianFrom = (fromMs: number) =>
    spreadOf(
      samples.flatMap((sample) =>
        sample.kind === "memory" && sample.atMs >= fromMs && sample.atMs < fromMs + lengthMs ? [sample.megabytes] : [],
      ),
    ).median;
  const beforeMb = medianFrom(beganMs);
  const afterMb = medianFrom(endMs - lengthMs);
  const growthMb = afterMb - beforeMb;
  if (Number.isNaN(growthMb)) return undefined;
  const perHourMb = (growthMb / (endMs - lengthMs - beganMs)) * MS_PER_HOUR;
  return { beforeMb, afterMb, growthMb, perHourMb, kbPerRequest: slopeByRequest(samples, beganMs) };
}

function slopeByRequest(samples: readonly Sample[], fromMs: number): Slope | undefined {
  const points: [number, number][] = [];
  let requests = 0;
  for (const sample of samples) {
    if (sample.kind === "start_requested" || sample.kind === "resume_requested") requests++;
    if (sample.kind === "memory" && sample.atMs >= fromMs) points.push([requests, sample.megabytes * KB_PER_MB]);
  }
  return slopeOf(points);
}
