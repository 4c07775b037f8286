/**
 * How quick a service is: whether it is as quick after a fault as it was before.
 */
import { openReader } from "../../fixtures/process-reader.ts";

const STARTS = 9;

/** Median, over some short streams one after the other, of the time from the start call to the whole stream. */
export async function medianStartMs(origin: string): Promise<number> {
  const times: number[] = [];
  for (let start = 0; start < STARTS; start++) {
    const begunAtMs = performance.now();
    const reader = await openReader(`${origin}/demo/stream?events=3&rate=0`);
    await reader.toEnd();
    times.push(performance.now() - begunAtMs);
  }
  return Math.round(times.toSorted((a, b) => a - b)[Math.floor(STARTS / 2)] ?? Number.NaN);
}
