/**
 * Measures the unit figures that only this machine can tell, and holds what the simulation says against a real
 * run. For `scripts/simulate --measure`; takes about two minutes.
 */
import { availableParallelism, loadavg } from "node:os";

import { DEFAULT_FIGURES, FIGURES, type Figures } from "../figures.ts";
import { loadOf } from "../service-load.ts";
import { burstJobs, serve } from "../simulated-queue.ts";
import { seededRandom } from "../random.ts";
import { DEFAULT_WORKLOAD } from "../workload.ts";
import { measureService } from "./service-runs.ts";
import { measureTable } from "./table-runs.ts";

interface Prediction {
  readonly what: string;
  readonly predicted: number;
  readonly measured: number;
  readonly unit: string;
}

export interface Measurement {
  readonly figures: Partial<Figures>;
  readonly predictions: readonly Prediction[];
}

const MS_PER_SEC = 1000;
const US_PER_SEC = 1_000_000;

export async function measure(note: (line: string) => void): Promise<Measurement> {
  note(`${availableParallelism()} cores, load average ${(loadavg()[0] ?? Number.NaN).toFixed(1)}`);
  note("the table, in this process");
  const table = await measureTable();
  const { toldPerStream, storm, callCpuUs, handOversPerSec, ...service } = await measureService(note);
  note(`a call of a shard that does nothing costs ${Math.round(callCpuUs)} µs of a hand-over's`);
  const figures = { ...table, ...service };
  const all: Figures = { ...DEFAULT_FIGURES, ...figures };
  const { traffic, handOversPerSec: perShard } = loadOf({ ...DEFAULT_WORKLOAD, streams: 1000 }, all).shard;
  const handOvers = (perShard * DEFAULT_WORKLOAD.shards * DEFAULT_WORKLOAD.streamSec) / 1000;
  const burst = { jobs: storm.readers, withinSec: 0, serviceSec: figures.resumeCpuMs / MS_PER_SEC };
  const played = serve(burstJobs(burst, seededRandom(1)));
  return {
    figures,
    predictions: [
      { what: "hand-overs of one stream", predicted: handOvers, measured: toldPerStream.handOvers, unit: "" },
      {
        what: "telemetry events of one stream",
        predicted: handOvers * traffic.events,
        measured: toldPerStream.events,
        unit: "",
      },
      {
        what: "hand-overs that one shard takes, CPU alone",
        predicted: US_PER_SEC / figures.handOverCpuUs,
        measured: handOversPerSec,
        unit: "/s",
      },
      {
        what: `${storm.readers} readers resume at once: until the last has its replay`,
        predicted: played.endSec * MS_PER_SEC,
        measured: storm.longestMs,
        unit: "ms",
      },
    ],
  };
}

export function measurementText({ figures, predictions }: Measurement): string {
  const measured = new Map(Object.entries(figures));
  const lines = Object.entries(FIGURES).flatMap(([name, { unit, value }]) => {
    const now = measured.get(name);
    return now === undefined ? [] : [`  ${name}: ${now.toPrecision(3)} ${unit} (default ${value})`];
  });
  const held = predictions.map(
    ({ what, predicted, measured, unit }) =>
      `  ${what}: predicted ${predicted.toPrecision(3)} ${unit}, measured ${measured.toPrecision(3)} ${unit}`,
  );
  return ["Unit figures:", ...lines, "Predictions:", ...held].map((line) => line.trimEnd()).join("\n");
}
