/**
 * One reader on a steady source: how long each event is on its way, through Spillway and bare.
 */
import type { Lab } from "../lib/lab.ts";
import { LatencyHistogram } from "../lib/latency-histogram.ts";
import { measureStream } from "../lib/measured-stream.ts";
import type { Plan } from "../lib/options.ts";

export interface LatencyResult {
  readonly rate: number;
  readonly bytes: number;
  /** Events measured on each way. */
  readonly samples: number;
  readonly spillwayMs: Percentiles;
  readonly bareMs: Percentiles;
  /** Spillway's less the bare one's. */
  readonly addedMs: Percentiles;
  /** Spillway's over the bare one's. */
  readonly ratio: Percentiles;
  readonly brokenStreams: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

const BYTES = 200;
const US_PER_MS = 1000;
const WARM_UP = { events: 2000, bytes: BYTES, rate: 2000, batch: 1, isHeld: true };

export async function measureLatency(
  lab: Lab,
  { passes, seconds, rates }: Plan["latency"],
  note: (line: string) => void,
): Promise<LatencyResult[]> {
  const services = { spillway: await lab.startSystem("spillway"), bare: await lab.startSystem("bare") };
  const ways = ["spillway", "bare"] as const;
  for (const way of ways) await measureStream(lab, { service: services[way], way, readers: 1, script: WARM_UP });
  const results: LatencyResult[] = [];
  for (const rate of rates) {
    note(`${rate} events a second, ${passes} × ${seconds} s each way`);
    const script = { events: rate * seconds, bytes: BYTES, rate, batch: 1, isHeld: true };
    const latencies = { spillway: new LatencyHistogram(), bare: new LatencyHistogram() };
    let brokenStreams = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (const way of ways) {
        const run = await measureStream(lab, { service: services[way], way, readers: 1, script });
        latencies[way].merge(run.latencyCounts);
        if (run.completeReaders !== 1) brokenStreams++;
      }
    }
    const compared = compareLatencies(latencies.spillway, latencies.bare);
    results.push({ rate, bytes: BYTES, samples: script.events * passes, ...compared, brokenStreams });
  }
  for (const way of ways) await lab.stopSystem(services[way]);
  return results;
}

export function compareLatencies(spillway: LatencyHistogram, bare: LatencyHistogram) {
  const spillwayMs = percentilesOf(spillway);
  const bareMs = percentilesOf(bare);
  return {
    spillwayMs,
    bareMs,
    addedMs: { p50: spillwayMs.p50 - bareMs.p50, p99: spillwayMs.p99 - bareMs.p99 },
    ratio: { p50: spillwayMs.p50 / bareMs.p50, p99: spillwayMs.p99 / bareMs.p99 },
  };
}

function percentilesOf(latencies: LatencyHistogram): Percentiles {
  return { p50: latencies.quantileUs(0.5) / US_PER_MS, p99: latencies.quantileUs(0.99) / US_PER_MS };
}
