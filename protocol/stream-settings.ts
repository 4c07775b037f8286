/**
 * The settings one stream lives by, frozen at its start and stored with it, so that a change of
 * configuration never changes a running stream under its readers.
 */

/** At the reader limit: close the oldest reader, or refuse the new one with 429. */
type ReaderLimitPolicy = "evict-oldest" | "reject";

export interface StreamSettings {
  readonly bufferMaxEvents: number;
  readonly bufferMaxBytes: number;
  /** Largest single event as framed for the wire. */
  readonly eventMaxBytes: number;
  /** Oldest an event may get before it is written. */
  readonly commitIntervalMs: number;
  /** An unfinished stream with neither source bytes nor readers for so long is ended. */
  readonly stateTtlMs: number;
  /** A finished stream stays replayable for so long. */
  readonly snapshotTtlMs: number;
  readonly resumeTtlMs: number;
  readonly heartbeatMs: number;
  /** Reconnection time told to readers. */
  readonly retryMs: number;
  readonly maxReaders: number;
  readonly readerLimitPolicy: ReaderLimitPolicy;
  readonly readerStallMs: number;
  readonly readerMaxAgeMs: number;
  readonly cleanupIntervalMs: number;
  /** Most bytes queued for one reader. */
  readonly readerBufferBytes: number;
  /** Whether the stream is kept in the archive once it is finished. */
  readonly archives: boolean;
}
