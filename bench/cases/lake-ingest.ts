/**
 * Events from `POST /events` to a committed snapshot, against a Worker that does next to nothing with
 * the same requests. By turns, on two services of the same host.
 */
import type { LakeService } from "../../test/fixtures/lake-service.ts";
import { countRows, createBodies, flushLake, postBodies } from "../lib/lake-calls.ts";
import type { Lab } from "../lib/lab.ts";
import type { LakeLoad, Plan } from "../lib/options.ts";
import { cpuSecondsOf, peakResidentMbOf } from "../lib/process-meter.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface LakeIngestResult extends LakeLoad {
  readonly rounds: number;
  readonly bodyMb: number;
  /**
   * `lake`: until the flush has answered, everything committed. `put`: body parsed, and put into the
   * bucket as it is. `parse`: body parsed.
   */
  readonly eventsPerSec: Readonly<Record<Way, Spread>>;
  /** The lake's events a second over the others', round by round. */
  readonly ratio: Readonly<Record<Exclude<Way, "lake">, Spread>>;
  /** Median over the rounds, workerd's CPU, all threads, µs for each event. */
  readonly cpuUsPerEvent: Readonly<Record<Way, number | undefined>>;
  /** Of the lake's time, what the flush at the end took, ms. */
  readonly flushMs: Spread;
  /** Memory of the lake's workerd so far, MB. */
  readonly peakMb: number | undefined;
  /** Every event was acknowledged as new, and the table has at least as many rows; telemetry has more. */
  readonly isWhole: boolean;
}

const WAYS = ["lake", "put", "parse"] as const;
type Way = (typeof WAYS)[number];

interface Round {
  readonly sec: number;
  readonly flushMs: number;
  readonly cpuSec: number | undefined;
  readonly accepted: number;
}

const WARM_UP_ROUNDS = 1;
const US_PER_SEC = 1_000_000;
const BYTES_PER_MB = 1_000_000;

export async function measureLakeIngest(
  lab: Lab,
  { rounds, loads }: Plan["lakeIngest"],
  note: (line: string) => void,
): Promise<LakeIngestResult[]> {
  const lake = await lab.startLake("spillway");
  const bare = await lab.startLake("bare-ingest");
  const results: LakeIngestResult[] = [];
  let seed = 0;
  let sent = 0;
  for (const load of loads) {
    note(`${load.events} events, ${load.batch} a request, ${load.connections} connections`);
    const runs: Record<Way, Round[]> = { lake: [], put: [], parse: [] };
    let bodyBytes = 0;
    let isWhole = true;
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      // New ids each round: the lake would take the same ones for duplicates.
      const bodies = createBodies(load.events, load.batch, ++seed);
      bodyBytes = bodies.reduce((sum, body) => sum + body.byteLength, 0);
      for (const way of WAYS) {
        const run = await measureRound(way === "lake" ? lake : bare, way, { bodies, connections: load.connections });
        if (round >= 0) runs[way].push(run);
        isWhole &&= run.accepted === load.events;
      }
      sent += load.events;
      isWhole &&= (await countRows(lake)) >= sent;
    }
    results.push({
      ...load,
      rounds,
      bodyMb: bodyBytes / BYTES_PER_MB,
      ...summarize(runs, load.events),
      peakMb: peakResidentMbOf(lake.workerdPid),
      isWhole,
    });
  }
  await lab.stopLake(lake);
  await lab.stopLake(bare);
  return results;
}

async function measureRound(
  service: LakeService,
  way: Way,
  { bodies, connections }: { readonly bodies: readonly Uint8Array<ArrayBuffer>[]; readonly connections: number },
): Promise<Round> {
  const cpuBefore = cpuSecondsOf(service.workerdPid);
  const beganMs = performance.now();
  const path = way === "lake" ? "events" : way;
  const accepted = await postBodies(`${service.origin}/${path}`, bodies, connections);
  const postedMs = performance.now();
  if (way === "lake") await flushLake(service);
  const endedMs = performance.now();
  const cpuAfter = cpuSecondsOf(service.workerdPid);
  return {
    sec: (endedMs - beganMs) / 1000,
    flushMs: endedMs - postedMs,
    cpuSec: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
    accepted,
  };
}

function summarize(runs: Readonly<Record<Way, readonly Round[]>>, events: number) {
  const rates = (way: Way) => runs[way].map(({ sec }) => events / sec);
  const lakeRates = rates("lake");
  const ratioTo = (way: Way) => {
    const others = rates(way);
    return spreadOf(lakeRates.map((rate, index) => rate / (others[index] ?? Number.NaN)));
  };
  const cpuOf = (way: Way) => {
    const usPerEvent = runs[way].flatMap(({ cpuSec }) => (cpuSec === undefined ? [] : (cpuSec / events) * US_PER_SEC));
    return usPerEvent.length === 0 ? undefined : spreadOf(usPerEvent).median;
  };
  return {
    eventsPerSec: { lake: spreadOf(lakeRates), put: spreadOf(rates("put")), parse: spreadOf(rates("parse")) },
    ratio: { put: ratioTo("put"), parse: ratioTo("parse") },
    cpuUsPerEvent: { lake: cpuOf("lake"), put: cpuOf("put"), parse: cpuOf("parse") },
    flushMs: spreadOf(runs.lake.map(({ flushMs }) => flushMs)),
  };
}
