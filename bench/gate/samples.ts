/**
 * What a run records as it happens: facts with their times, in ms since the run began. Nothing is judged here.
 */

/** What went wrong with a stream or a request, by name. */
export type ErrorKind =
  | "start_refused"
  | "resume_refused"
  | "connection_failed"
  | "connection_lost"
  | "stream_broken"
  | "stream_silent"
  | "control_unreadable";

export type Sample =
  | { readonly kind: "stream_started"; readonly atMs: number }
  | { readonly kind: "stream_completed"; readonly atMs: number }
  /** It has ended some other way; `reason` in words. */
  | { readonly kind: "stream_failed"; readonly atMs: number; readonly reason: string }
  | { readonly kind: "start_requested" | "resume_requested"; readonly atMs: number }
  /** A connection broke, on purpose or not; the reader is on its way back from now on. */
  | { readonly kind: "cut"; readonly atMs: number; readonly resume: number; readonly isPlanned: boolean }
  /** The first request of a resume leaves. */
  | { readonly kind: "resume_sent"; readonly atMs: number; readonly resume: number }
  /** Something of the stream came after it. */
  | { readonly kind: "resume_answered"; readonly atMs: number; readonly resume: number }
  /** Its stream is over, and was complete or not. */
  | { readonly kind: "resume_settled"; readonly atMs: number; readonly resume: number; readonly isSuccess: boolean }
  | { readonly kind: "error"; readonly atMs: number; readonly error: ErrorKind }
  /** Source events that readers received for the first time, from `atMs` to the second's end. */
  | { readonly kind: "events"; readonly atMs: number; readonly count: number }
  /** A reader was told that so many events are missing. */
  | { readonly kind: "gap"; readonly atMs: number; readonly missing: number }
  /** The service told that events left a buffer; `unread` of them had been handed to nobody. */
  | { readonly kind: "trim"; readonly atMs: number; readonly events: number; readonly unread: number }
  /** Streams whose start was answered, while so many were asked for; and what their sources send a second. */
  | { readonly kind: "live"; readonly atMs: number; readonly streams: number; readonly offeredPerSec: number }
  /** Something was told, and could not be made out: nobody knows then what a rule would have said. */
  | { readonly kind: "unreadable"; readonly atMs: number; readonly what: string }
  | { readonly kind: "memory"; readonly atMs: number; readonly megabytes: number };

const SECOND_MS = 1000;

/** Samples in the order of their times, by the clock it is given. */
export class SampleLog {
  readonly samples: Sample[] = [];
  private readonly clock: () => number;
  private eventsAtMs = Number.NEGATIVE_INFINITY;
  private eventsAt = -1;

  /** @param clock ms since the run began */
  constructor(clock: () => number) {
    this.clock = clock;
  }

  nowMs(): number {
    return this.clock();
  }

  add(make: (atMs: number) => Sample): void {
    this.samples.push(make(this.clock()));
  }

  /** A sample for each second: one for each event would be most of a run's memory. */
  countEvent(): void {
    const atMs = this.clock();
    const second = Math.floor(atMs / SECOND_MS);
    const last = this.samples[this.eventsAt];
    if (last?.kind === "events" && Math.floor(this.eventsAtMs / SECOND_MS) === second) {
      this.samples[this.eventsAt] = { ...last, count: last.count + 1 };
      return;
    }
    this.eventsAtMs = atMs;
    this.eventsAt = this.samples.push({ kind: "events", atMs, count: 1 }) - 1;
  }
}
