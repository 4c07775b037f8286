/** Results of `npm run bench`: of each case what its table begins with. Pure. */
import { listAt, member, numberAt } from "../json-reading.ts";
import { measure, type KindReading, type Measure, type MeasureSpec } from "../measures.ts";

const KIB = 1024;

type Case = (result: unknown) => Measure[];

const CASES: Readonly<Record<string, Case>> = {
  oneReader: (result) =>
    many("one-reader", "Benchmark: one reader, unthrottled", "events/s", {
      name: `${numberAt(result, "bytes")} bytes, ${numberAt(result, "batch")} a chunk`,
      value: numberAt(result, "eventsPerSec", "spillway", "median"),
    }),
  latency: (result) =>
    (["p50", "p99"] as const).flatMap((percentile) =>
      few("latency", "Benchmark: latency, steady source", "ms", {
        name: `${numberAt(result, "rate")} events/s, ${percentile}`,
        value: numberAt(result, "spillwayMs", percentile),
        floor: 0.5,
      }),
    ),
  manyReaders: (result) =>
    many("many-readers", "Benchmark: delivered to many readers", "events/s", {
      name: `${numberAt(result, "readers")} readers, ${numberAt(result, "offeredPerSec")} offered`,
      value: numberAt(result, "spillway", "deliveredPerSec"),
    }),
  resumes: (result) => [
    ...many("resumes", "Benchmark: resumes", "resumes/s", {
      name: "resumes",
      value: numberAt(result, "resumesPerSec"),
    }),
    ...few("resumes-incorrect", "Benchmark: incorrect resumes", "resumes", {
      name: "incorrect",
      value: numberAt(result, "incorrect"),
      floor: 0.5,
    }),
  ],
  rows: (result) =>
    few("rows", "Benchmark: rows written", "rows", {
      name: `${numberAt(result, "events")} events at ${numberAt(result, "rate")}/s`,
      value: numberAt(result, "rows"),
      floor: 2,
    }),
  memory: (result) => {
    const bytes = numberAt(result, "bytesAboveFloor", "isolate");
    const isCompressed = member(result, "compresses") === true ? ", compressed" : "";
    return few("memory", "Benchmark: memory of a full buffer, in the isolate", "KiB a stream", {
      name: `${numberAt(result, "streams")} streams${isCompressed}`,
      value: bytes === undefined ? undefined : bytes / KIB,
      floor: 3,
    });
  },
  lakeIngest: (result) =>
    many("lake-ingest", "Benchmark: ingest to commit", "events/s", {
      name: `${numberAt(result, "batch")} a request`,
      value: numberAt(result, "eventsPerSec", "lake", "median"),
    }),
  lakeEncode: (result) =>
    many("lake-encode", "Benchmark: rows to a Parquet file", "events/s", {
      name: `${numberAt(result, "rows")} rows`,
      value: numberAt(result, "eventsPerSec", "parquet", "median"),
    }),
};

export function readBench(json: unknown): KindReading {
  return {
    verdict: listAt(json, "resumes").some((result) => (numberAt(result, "incorrect") ?? 0) > 0) ? "failed" : undefined,
    conditions: member(json, "isQuick") === true ? "quick" : "",
    measures: Object.entries(CASES).flatMap(([name, read]) => listAt(json, name).flatMap(read)),
  };
}

interface Found {
  readonly name: string;
  readonly value: number | undefined;
  readonly floor?: number;
}

function many(id: string, group: string, unit: string, found: Found): Measure[] {
  return measure({ ...specOf(id, group, unit, found), better: "more", share: 0.2 }, found.value);
}

function few(id: string, group: string, unit: string, found: Found): Measure[] {
  return measure({ ...specOf(id, group, unit, found), better: "less", share: 0.25 }, found.value);
}

function specOf(
  id: string,
  group: string,
  unit: string,
  { name, floor = 0 }: Found,
): Omit<MeasureSpec, "better" | "share"> {
  return { id: `bench-${id}-${name}`, group, label: name, unit, floor };
}
