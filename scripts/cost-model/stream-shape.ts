/**
 * What a stream is like: the model's inputs, with the service's own defaults.
 */
import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import { NUMBER_VARIABLES } from "../../workers/config.ts";

export interface StreamShape {
  readonly durationSec: number;
  readonly eventsPerSec: number;
  /** Of one event's data, without its frame. */
  readonly dataBytes: number;
  /** At once, the caller that started the stream included. */
  readonly readers: number;
  /** Reconnections while the stream runs. */
  readonly resumes: number;
  /** Reconnections after its end, each after the object has left memory. */
  readonly lateResumes: number;
  readonly bufferMaxEvents: number;
  readonly bufferMaxBytes: number;
  readonly commitIntervalMs: number;
  /** How long the finished stream stays. */
  readonly snapshotTtlSec: number;
  readonly resumeTtlSec: number;
  readonly isFolded: boolean;
  /** Whether the finished stream goes to R2. */
  readonly isArchived: boolean;
  readonly archiveDays: number;
  /** Bytes in the archive for one in the buffer. */
  readonly archiveRatio: number;
  /** Billed for an idle object each time before it leaves memory. */
  readonly idleSec: number;
  /** CPU of the Worker for one request. */
  readonly workerCpuMs: number;
  /** Telemetry events of one Parquet file. */
  readonly lakeFlushEvents: number;
}

const BYTES_PER_MIB = 1_048_576;

export const DEFAULT_SHAPE: StreamShape = {
  durationSec: 30,
  eventsPerSec: 50,
  dataBytes: 200,
  readers: 1,
  resumes: 0,
  lateResumes: 0,
  bufferMaxEvents: NUMBER_VARIABLES.SSE_BUFFER_MAX_EVENTS.fallback,
  bufferMaxBytes: NUMBER_VARIABLES.SSE_BUFFER_MAX_SIZE_MB.fallback * BYTES_PER_MIB,
  commitIntervalMs: NUMBER_VARIABLES.SSE_COMMIT_INTERVAL_MS.fallback,
  snapshotTtlSec: NUMBER_VARIABLES.SSE_SNAPSHOT_TTL_SEC.fallback,
  resumeTtlSec: NUMBER_VARIABLES.SSE_RESUME_TTL_SEC.fallback,
  isFolded: false,
  isArchived: false,
  archiveDays: 1,
  archiveRatio: 0.2,
  idleSec: 0,
  workerCpuMs: 3,
  lakeFlushEvents: LAKE_NUMBER_VARIABLES.ICEBERG_BUFFER_SIZE.fallback,
};
