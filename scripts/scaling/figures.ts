/**
 * The unit figures that the simulation computes from: what one of something costs or may be, with where that
 * is known from. Nothing here is computed; each can be replaced on the command line.
 */
import { BATCH_MAX_EVENTS } from "../../durable-objects/analytics/batch-plan.ts";

/**
 * `measured`: by the command named. `documented`: the platform's own page. `code`: a constant of this
 * service. `assumed`: nothing published and nothing that can be measured here.
 */
type Origin = "measured" | "documented" | "code" | "assumed";

export interface Figure {
  readonly value: number;
  readonly unit: string;
  readonly means: string;
  readonly origin: Origin;
  readonly source: string;
}

const BENCH = "npm run bench, bench/README.md";
const MEASURE = "scripts/simulate --measure";
const OBJECT_LIMITS = "https://developers.cloudflare.com/durable-objects/platform/limits/";
const WORKER_LIMITS = "https://developers.cloudflare.com/workers/platform/limits/";

export const FIGURES = {
  streamCpuMs: {
    value: 5.2,
    unit: "ms",
    means:
      "CPU of one stream's start and end: Worker, object, upstream call, telemetry; one job, where others wait for it",
    origin: "measured",
    source: MEASURE,
  },
  eventCpuUs: {
    value: 250,
    unit: "µs",
    means: "CPU of one event at a few events a second, each in a packet of its own, to one reader",
    origin: "measured",
    source: MEASURE,
  },
  resumeCpuMs: {
    value: 1.3,
    unit: "ms",
    means: "CPU of one resume that replays 60 events or more",
    origin: "measured",
    source: MEASURE,
  },
  eventLatencyMs: {
    value: 0.73,
    unit: "ms",
    means: "source's write to reader's read, p50, of a service with nothing else to do",
    origin: "measured",
    source: BENCH,
  },
  objectKib: {
    value: 40,
    unit: "KiB",
    means: "memory in the isolate of a stream with an empty buffer",
    origin: "measured",
    source: BENCH,
  },
  fullBufferKib: {
    value: 12,
    unit: "KiB",
    means: "more of it with a full buffer",
    origin: "measured",
    source: BENCH,
  },
  handOverCpuUs: {
    value: 410,
    unit: "µs",
    means: "CPU of one hand-over of telemetry to a shard, its flush and both ends of the call included",
    origin: "measured",
    source: MEASURE,
  },
  encodeUs: {
    value: 7.6,
    unit: "µs",
    means: "writing one event into a Parquet file: a flush holds the shard up for so long, times its events",
    origin: "measured",
    source: BENCH,
  },
  fileEventBytes: {
    value: 31.9,
    unit: "bytes",
    means: "one telemetry event in a Parquet file of 2,000",
    origin: "measured",
    source: MEASURE,
  },
  jsonEventBytes: {
    value: 304,
    unit: "bytes",
    means: "one telemetry event as JSON, as a pipeline takes it",
    origin: "measured",
    source: MEASURE,
  },
  commitCpuMs: {
    value: 1.5,
    unit: "ms",
    means: "CPU of one commit, its files aside",
    origin: "measured",
    source: MEASURE,
  },
  commitFileCpuUs: {
    value: 75,
    unit: "µs",
    means: "more of it for each file",
    origin: "measured",
    source: MEASURE,
  },
  mergeEntryCpuUs: {
    value: 72,
    unit: "µs",
    means: "reading a manifest's entry and writing it again, where small manifests are merged",
    origin: "measured",
    source: MEASURE,
  },
  readEntryCpuUs: {
    value: 15,
    unit: "µs",
    means: "reading a manifest's entry: compaction reads all of the table twice a run, a sweep once",
    origin: "measured",
    source: MEASURE,
  },
  compactRowCpuUs: {
    value: 8,
    unit: "µs",
    means: "reading a row of a small file and writing it into a larger one",
    origin: "measured",
    source: MEASURE,
  },
  markBytes: {
    value: 40,
    unit: "bytes",
    means: "memory for each file of the table while orphans are looked for",
    origin: "code",
    source: "durable-objects/iceberg/orphans.ts",
  },
  bucketMs: {
    value: 100,
    unit: "ms",
    means: "one operation of the bucket, from an object",
    origin: "assumed",
    source: "not published",
  },
  commitBucketCalls: {
    value: 5,
    unit: "calls",
    means: "of one commit, one after the other: newest metadata, manifest, list, metadata, hint",
    origin: "code",
    source: "durable-objects/iceberg/snapshot-plan.ts, r2-catalog.ts",
  },
  batchesPerCommit: {
    value: 1000,
    unit: "batches",
    means: "most of one commit; a batch is one file but at midnight",
    origin: "code",
    source: "durable-objects/iceberg/table-store.ts",
  },
  mergeAtManifests: {
    value: 100,
    unit: "manifests",
    means: "so many manifests of a table are merged with each commit",
    origin: "code",
    source: "durable-objects/iceberg/manifest-files.ts",
  },
  manifestMaxEntries: {
    value: 4000,
    unit: "entries",
    means: "a manifest of so many is full and left alone",
    origin: "code",
    source: "durable-objects/iceberg/manifest-files.ts",
  },
  compactedRows: {
    value: BATCH_MAX_EVENTS,
    unit: "rows",
    means: "of a full file; one with fewer than half of that is small, and compacted",
    origin: "code",
    source: "durable-objects/iceberg/compaction.ts",
  },
  compactionOutputs: {
    value: 16,
    unit: "files",
    means: "new files of one run of compaction",
    origin: "code",
    source: "durable-objects/iceberg/compaction.ts",
  },
  compactionInputs: {
    value: 1000,
    unit: "files",
    means: "small files that one run of compaction takes",
    origin: "code",
    source: "durable-objects/iceberg/compaction.ts",
  },
  compactionRunMaxMs: {
    value: 20_000,
    unit: "ms",
    means: "after which a run of compaction ends with what it has: half of it for asking sizes, half for reading files",
    origin: "code",
    source: "durable-objects/iceberg/compaction.ts",
  },
  compactionCallsAtOnce: {
    value: 6,
    unit: "calls",
    means: "of the bucket that a run of compaction makes side by side",
    origin: "code",
    source: "durable-objects/iceberg/compaction.ts",
  },
  compactionRunsPerDay: {
    value: 200,
    unit: "runs",
    means: "of compaction in a day, each in an alarm of its own",
    origin: "code",
    source: "durable-objects/iceberg/maintenance.ts",
  },
  ownEventsPerFlush: {
    value: 2,
    unit: "events",
    means: "that a flush tells of itself, and that ride along with the next",
    origin: "code",
    source: "durable-objects/analytics/shard-flush.ts",
  },
  handOffPatienceMs: {
    value: 30_000,
    unit: "ms",
    means: "a stream waits for its shard before it tries again; after four tries it drops, and counts, its telemetry",
    origin: "code",
    source: "durable-objects/stream-telemetry.ts",
  },
  gatherMs: {
    value: 1000,
    unit: "ms",
    means: "telemetry of a stream is gathered before it is handed over",
    origin: "code",
    source: "protocol/telemetry-outlet.ts",
  },
  resumeHandOvers: {
    value: 2,
    unit: "hand-overs",
    means: "of one resume: its coming and its going",
    origin: "code",
    source: "scripts/cost-model/stream-usage.ts",
  },
  monitorIntervalSec: {
    value: 30,
    unit: "s",
    means: "between two looks of the monitor at all shards and the table",
    origin: "code",
    source: "docs/configuration.md",
  },
  objectRequestsPerSec: {
    value: 1000,
    unit: "requests/s",
    means: "soft limit of one object; taken as all that it serves, where its CPU would allow more",
    origin: "documented",
    source: "https://developers.cloudflare.com/durable-objects/reference/faq/",
  },
  isolateMb: {
    value: 128,
    unit: "MB",
    means: "memory of an isolate, which objects of a class may share",
    origin: "documented",
    source: WORKER_LIMITS,
  },
  cpuLimitSec: {
    value: 30,
    unit: "s",
    means: "CPU of one request or alarm of an object, unless limits.cpu_ms says more (up to 300)",
    origin: "documented",
    source: OBJECT_LIMITS,
  },
  subrequests: {
    value: 10_000,
    unit: "calls",
    means: "to other objects and the bucket that one request or alarm may make",
    origin: "documented",
    source: WORKER_LIMITS,
  },
  pipelineMbPerSec: {
    value: 1000,
    unit: "MB/s",
    means: "of one stream of Cloudflare Pipelines; its page of the beta said 5",
    origin: "documented",
    source: "https://developers.cloudflare.com/basin-pipelines/platform/limits/",
  },
} as const satisfies Record<string, Figure>;

export type FigureName = keyof typeof FIGURES;
/** What a run computes with: the values above, or others. */
export type Figures = Readonly<Record<FigureName, number>>;

export const DEFAULT_FIGURES: Figures = Object.fromEntries(
  Object.entries(FIGURES).map(([name, { value }]) => [name, value]),
) as Figures;
