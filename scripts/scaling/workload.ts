/**
 * What is asked about: how many streams at once, what they are like, and how the service is set. What one of
 * them uses is the cost model's (scripts/cost-model), which real storage is held against.
 */
import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import { NUMBER_VARIABLES } from "../../workers/config.ts";
import { DEFAULT_SHAPE, type StreamShape } from "../cost-model/stream-shape.ts";

export interface Workload {
  /** At once. */
  readonly streams: number;
  readonly streamSec: number;
  readonly eventsPerSec: number;
  readonly dataBytes: number;
  /** Of each stream, at once. */
  readonly readers: number;
  /** Of each stream, in its life. */
  readonly resumes: number;
  readonly shards: number;
  readonly flushEvents: number;
  readonly flushAgeMs: number;
  readonly commitIntervalMs: number;
  /** Whether events go to a pipeline, and there is no table of ours. */
  readonly isPiped: boolean;
  /** Whether the catalog compacts and expires by itself, as R2 Data Catalog does. */
  readonly isForeignCatalog: boolean;
  /** Services beside each other, each with shards and a table of its own, that share the streams. */
  readonly deployments: number;
  /** Share of all readers that are cut off together and come back together. */
  readonly stormShare: number;
  /** They come back spread over so long: `SSE_RETRY_MS` is the same for all, networks and clocks are not. */
  readonly stormSpreadMs: number;
  /** Streams whose objects share one isolate, and so one thread. */
  readonly streamsPerThread: number;
  /** How long the table has been filled at this rate. */
  readonly tableDays: number;
  readonly seed: number;
}

export const DEFAULT_WORKLOAD: Workload = {
  streams: 1,
  streamSec: 30,
  eventsPerSec: 8,
  dataBytes: DEFAULT_SHAPE.dataBytes,
  readers: 1,
  resumes: 0,
  shards: LAKE_NUMBER_VARIABLES.ICEBERG_SHARDS.fallback,
  flushEvents: LAKE_NUMBER_VARIABLES.ICEBERG_BUFFER_SIZE.fallback,
  flushAgeMs: LAKE_NUMBER_VARIABLES.ICEBERG_BUFFER_TIMEOUT_MS.fallback,
  commitIntervalMs: LAKE_NUMBER_VARIABLES.ICEBERG_COMMIT_INTERVAL_MS.fallback,
  isPiped: false,
  isForeignCatalog: false,
  deployments: 1,
  stormShare: 0.05,
  stormSpreadMs: NUMBER_VARIABLES.SSE_RETRY_MS.fallback,
  streamsPerThread: 200,
  tableDays: 30,
  seed: 1,
};

export function shapeOf(workload: Workload): StreamShape {
  const { streamSec, eventsPerSec, dataBytes, readers, resumes, flushEvents } = workload;
  return {
    ...DEFAULT_SHAPE,
    durationSec: streamSec,
    eventsPerSec,
    dataBytes,
    readers,
    resumes,
    lakeFlushEvents: flushEvents,
  };
}
