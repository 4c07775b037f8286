/**
 * One reader on an unthrottled source: events a second, Spillway and bare pass-through by turns.
 */
import { findFaults } from "../lib/fault-finder.ts";
import type { Lab } from "../lib/lab.ts";
import { measureStream, type MeasuredStream, type StreamRun } from "../lib/measured-stream.ts";
import type { OneReaderLoad, Plan } from "../lib/options.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface OneReaderResult extends OneReaderLoad {
  readonly rounds: number;
  readonly eventsPerSec: Readonly<Record<StreamRun["way"], Spread>>;
  /** Spillway's events a second over the bare object's, pair by pair. */
  readonly ratio: Spread;
  /** The same over an object that handles each chunk in JavaScript. */
  readonly ratioToScript: Spread;
  readonly spillwayCpuUsPerEvent: number | undefined;
  /** Streams of Spillway's that were not whole: 0 is right. */
  readonly brokenStreams: number;
  /** What a strict reader found wrong in one more stream: nothing is right. */
  readonly faults: readonly string[];
}

const WAYS = ["spillway", "bare", "bare-fan"] as const;
const WARM_UP_ROUNDS = 2;
const US_PER_SEC = 1_000_000;

export async function measureOneReader(
  lab: Lab,
  { rounds, loads }: Plan["oneReader"],
  note: (line: string) => void,
): Promise<OneReaderResult[]> {
  const spillway = await lab.startSystem("spillway");
  const bare = await lab.startSystem("bare");
  const results: OneReaderResult[] = [];
  for (const load of loads) {
    note(`${load.events} events of ${load.bytes} bytes, ${load.batch} a chunk`);
    const script = { ...load, rate: 0, isHeld: false };
    const faults = await findFaults(spillway, script);
    const runs: Record<StreamRun["way"], MeasuredStream[]> = { spillway: [], bare: [], "bare-fan": [] };
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      for (const way of WAYS) {
        const service = way === "spillway" ? spillway : bare;
        const run = await measureStream(lab, { service, way, readers: 1, script });
        if (round >= 0) runs[way].push(run);
      }
    }
    results.push({ ...load, rounds, ...summarize(runs), faults });
  }
  await lab.stopSystem(spillway);
  await lab.stopSystem(bare);
  return results;
}

function summarize(runs: Readonly<Record<StreamRun["way"], readonly MeasuredStream[]>>) {
  const rates = {
    spillway: runs.spillway.map(rateOf),
    bare: runs.bare.map(rateOf),
    "bare-fan": runs["bare-fan"].map(rateOf),
  };
  const ratioTo = (others: readonly number[]) =>
    spreadOf(rates.spillway.map((rate, index) => rate / (others[index] ?? Number.NaN)));
  const cpuUs = runs.spillway.flatMap(({ workerdCpuSec, events }) =>
    workerdCpuSec === undefined ? [] : (workerdCpuSec / events) * US_PER_SEC,
  );
  return {
    eventsPerSec: {
      spillway: spreadOf(rates.spillway),
      bare: spreadOf(rates.bare),
      "bare-fan": spreadOf(rates["bare-fan"]),
    },
    ratio: ratioTo(rates.bare),
    ratioToScript: ratioTo(rates["bare-fan"]),
    spillwayCpuUsPerEvent: cpuUs.length === 0 ? undefined : spreadOf(cpuUs).median,
    brokenStreams: runs.spillway.filter(({ completeReaders }) => completeReaders !== 1).length,
  };
}

function rateOf({ events, totalSec }: MeasuredStream): number {
  return events / totalSec;
}
