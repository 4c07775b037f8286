/**
 * What the benchmark's processes say to each other, over the channel between parent and child.
 */

/** The source listens. */
export interface SourceReady {
  readonly kind: "ready";
  readonly port: number;
}

/** Held streams may begin. */
export interface SourceGo {
  readonly kind: "go";
  /** How many there must be first; without it, those that are there. */
  readonly streams?: number;
}

/** The source's answer to `go`. */
export interface SourceBegan {
  readonly kind: "began";
  /** Just before the first event of any. */
  readonly atUs: number;
  readonly streams: number;
}

/** Opens one stream, joins it with more readers, and reads all of them to their ends. */
export interface ReadJob {
  readonly origin: string;
  readonly start: { readonly method: "GET" | "POST"; readonly path: string };
  /** Where further readers come in, with the resume token of the start's answer if it had one. */
  readonly joinPath: string;
  readonly readers: number;
  readonly expectedEvents: number;
}

/** Every reader has its response head. */
interface ReadersAttached {
  readonly kind: "attached";
  readonly requestId: string | undefined;
  readonly resumeToken: string | undefined;
}

interface ReadersDone {
  readonly kind: "done";
  readonly result: ReadResult;
}

interface ReadersFailed {
  readonly kind: "failed";
  readonly detail: string;
}

export type ReaderMessage = ReadersAttached | ReadersDone | ReadersFailed;

export interface ReadResult {
  /** Readers that got every event, in order, and a clean end. */
  readonly completeReaders: number;
  /** Events received, over all readers. */
  readonly events: number;
  readonly bytes: number;
  /** From sending the first request to the last event. */
  readonly totalSec: number;
  /** From the first event to the last one. */
  readonly streamingSec: number;
  /** CPU time of the receiving process, meanwhile: near `streamingSec`, it is what was measured. */
  readonly readerCpuSec: number;
  /** See LatencyHistogram. */
  readonly latencyCounts: readonly number[];
}
