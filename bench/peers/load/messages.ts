/**
 * What the comparison's load processes are told and tell, over the channel between parent and child.
 * Each does one job at a time. Times are of the clock that all processes share (nowUs).
 */
import type { PlannedRequest } from "../system.ts";

/** Reads streams side by side until each reader has its last event. */
export interface ReadJob {
  readonly kind: "read";
  readonly readers: readonly ReaderPlan[];
  /** Nothing at all for so long, and what is missing is taken to be lost. Counted from the first event on. */
  readonly silenceMs: number;
  /** After which nobody waits any longer, whatever comes. */
  readonly limitMs: number;
  /** Whether readers stay on when they have everything, until told to close. */
  readonly staysOpen: boolean;
}

export interface ReaderPlan {
  readonly request: PlannedRequest;
  readonly events: number;
  /** Of several producers at once: every number once, in whatever order. */
  readonly isInAnyOrder: boolean;
}

/** Reads one stream again and again, one reader after the other. */
export interface ReplayJob {
  readonly kind: "replay";
  readonly request: PlannedRequest;
  readonly events: number;
  readonly repetitions: number;
  /** For each repetition. */
  readonly limitMs: number;
}

/** Ends a read job: its readers go, whatever they still lack. */
export interface CloseReaders {
  readonly kind: "close";
}

/** Every reader has its response head. */
interface ReadersAttached {
  readonly kind: "attached";
}

interface ReadersDone {
  readonly kind: "read";
  readonly result: ReadOutcome;
}

interface ReplaysDone {
  readonly kind: "replayed";
  readonly result: ReplayOutcome;
}

interface JobFailed {
  readonly kind: "failed";
  readonly detail: string;
}

export type ReaderReply = ReadersAttached | ReadersDone | ReplaysDone | JobFailed;

export interface ReadOutcome {
  /** Of each reader, in the order of the job. */
  readonly received: readonly Received[];
  /** Events received, over all readers. */
  readonly events: number;
  /** 0 where nobody got any. */
  readonly firstAtUs: number;
  readonly lastAtUs: number;
  /** See LatencyHistogram. */
  readonly latencyCounts: readonly number[];
}

interface Received {
  readonly events: number;
  /** Whether none is missing among them and none came twice; in order, where there is one. */
  readonly isSound: boolean;
}

export interface ReplayOutcome {
  /** From sending the request, of the repetitions that were whole. */
  readonly firstMs: readonly number[];
  readonly lastMs: readonly number[];
  readonly brokenReplays: number;
}

/** Appends to streams, each event a request. */
export interface AppendJob {
  readonly targets: readonly PlannedRequest[];
  /** One for each target, or several that share them. */
  readonly connections: number;
  /** On each target. */
  readonly events: number;
  /** Size of each event's data. */
  readonly bytes: number;
  /**
   * Events a second on each target; 0: the next when the last was answered. Paced producers keep to that as
   * well, and catch up when they are late.
   */
  readonly rate: number;
  /** Ends before all is appended. */
  readonly limitMs: number;
}

export interface AppendOutcome {
  /** Answered with 2xx. */
  readonly events: number;
  /** Of each target: the number that was given out last. */
  readonly lastNumbers: readonly number[];
  readonly firstSentAtUs: number;
  readonly lastAnsweredAtUs: number;
  /** Statuses and errors other than 2xx, with how many. */
  readonly refusals: Readonly<Record<string, number>>;
}

export type AppendReply =
  | { readonly kind: "appended"; readonly result: AppendOutcome }
  | { readonly kind: "failed"; readonly detail: string };
