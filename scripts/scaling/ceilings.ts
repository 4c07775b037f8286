/**
 * What gives first: for each bound of the platform or of this service, how many streams at once reach it, what
 * happens then, and what to change. Pure.
 */
import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import type { Figures } from "./figures.ts";
import { loadOf, type ServiceLoad } from "./service-load.ts";
import type { Workload } from "./workload.ts";

interface Bound {
  readonly name: string;
  readonly part: "shards" | "table" | "maintenance" | "pipeline";
  /** How much of the bound is used: 1 is all. */
  readonly share: (load: ServiceLoad, figures: Figures) => number;
  readonly consequence: string;
  readonly remedy: string;
}

export interface Ceiling extends Omit<Bound, "share"> {
  /** Streams at once from which on all of it is used; `undefined` where that is beyond all that was tried. */
  readonly from: number | undefined;
  /** … up to which, where more streams relieve it again: full files need no compaction. */
  readonly upto: number | undefined;
}

/** Ten thousand times the largest number that anybody has asked about. */
const MOST_STREAMS = 1e11;
const STEP = 1.25;

const BOUNDS: readonly Bound[] = [
  {
    name: "small files of a day, against what a day's compaction takes",
    part: "maintenance",
    share: ({ table }) => {
      const { smallFilesPerDay = 0, compactedPerDay = 1 } = table?.maintenance ?? {};
      return smallFilesPerDay > compactedPerDay ? 1 + smallFilesPerDay - compactedPerDay : 0;
    },
    consequence: "small files stay: queries open more of them; nothing is lost",
    remedy: "ICEBERG_BUFFER_SIZE=20000 and a longer ICEBERG_BUFFER_TIMEOUT_MS, so that files are full",
  },
  {
    name: "calls of one compaction run, against the subrequests of an alarm",
    part: "maintenance",
    share: ({ table }, figures) => (table?.maintenance?.runCalls ?? 0) / figures.subrequests,
    consequence: "the run fails, and the day's compaction with it: small files stay",
    remedy: "limits.subrequests in wrangler.jsonc; or full files, which need no compaction",
  },
  {
    name: "CPU of one compaction run, against the limit of an alarm",
    part: "maintenance",
    share: ({ table }, figures) => (table?.maintenance?.runCpuSec ?? 0) / figures.cpuLimitSec,
    consequence: "the platform ends the object; an hour later it is tried again, to the same end: small files stay",
    remedy: "limits.cpu_ms in wrangler.jsonc; or full files, which need no compaction",
  },
  {
    name: "CPU of a sweep, against the limit of an alarm",
    part: "maintenance",
    share: ({ table }, figures) => (table?.maintenance?.sweepCpuSec ?? 0) / figures.cpuLimitSec,
    consequence: "the platform ends the object; an hour later it is tried again: objects that nothing refers to stay",
    remedy: "limits.cpu_ms in wrangler.jsonc, up to five minutes; a catalog that maintains its tables",
  },
  {
    name: "marks of all files, against an isolate's memory",
    part: "maintenance",
    share: ({ table }, figures) => (table?.maintenance?.sweepMb ?? 0) / figures.isolateMb,
    consequence: "the sweep fails: objects that nothing refers to stay; nothing is lost",
    remedy: "fuller files; ICEBERG_CATALOG=rest with a catalog that maintains its tables; old days deleted",
  },
  {
    name: "hand-overs to a shard, against an object's soft limit",
    part: "shards",
    share: ({ shard }) => shard.requestShare,
    consequence: "shards answer overloaded; telemetry is tried four times, then dropped and counted; streams go on",
    remedy: `ICEBERG_SHARDS up to ${LAKE_NUMBER_VARIABLES.ICEBERG_SHARDS.max}; beyond, several deployments`,
  },
  {
    name: "CPU of a shard's hand-overs",
    part: "shards",
    share: ({ shard }) => shard.cpuShare,
    consequence: "as above",
    remedy: "as above",
  },
  {
    name: "commits, against the time there is",
    part: "table",
    share: ({ table }) => table?.busyShare ?? 0,
    consequence: "events reach the table later and later; shards keep them, up to ICEBERG_SHARD_MAX_EVENTS",
    remedy: "fewer, fuller files; ANALYTICS_SINK=pipelines; several deployments",
  },
  {
    name: "batches staged, against an object's soft limit",
    part: "table",
    share: ({ table }) => table?.requestShare ?? 0,
    consequence: "shards back off and keep their events",
    remedy: "ICEBERG_BUFFER_SIZE=20000; ANALYTICS_SINK=pipelines; several deployments",
  },
  {
    name: "JSON into one pipeline, against its ingest rate",
    part: "pipeline",
    share: ({ pipeline }, figures) => (pipeline?.mbPerSec ?? 0) / figures.pipelineMbPerSec,
    consequence: "shards back off and keep their events",
    remedy: "a raised limit, or several deployments with a pipeline each",
  },
];

/** The ones that give at fewer streams first. Those that no number of streams reaches come last. */
export function ceilingsOf(workload: Workload, figures: Figures): Ceiling[] {
  return BOUNDS.map(({ share, ...bound }) => {
    const isUsedUp = (streams: number) => share(loadOf({ ...workload, streams }, figures), figures) >= 1;
    const from = firstAt(isUsedUp, 1);
    const after = from === undefined ? undefined : firstAt((streams) => !isUsedUp(streams), from);
    return { ...bound, from, upto: after === undefined ? undefined : after - 1 };
  }).toSorted((left, right) => (left.from ?? Infinity) - (right.from ?? Infinity));
}

/** The first whole number from `least` on of which it holds; a stretch of less than a quarter is passed over. */
function firstAt(holds: (streams: number) => boolean, least: number): number | undefined {
  let under = least - 1;
  let over: number | undefined;
  for (let streams = least; streams <= MOST_STREAMS && over === undefined; streams *= STEP) {
    const whole = Math.ceil(streams);
    if (holds(whole)) over = whole;
    else under = whole;
  }
  while (over !== undefined && over - under > 1) {
    const middle = Math.floor((under + over) / 2);
    if (holds(middle)) over = middle;
    else under = middle;
  }
  return over;
}
