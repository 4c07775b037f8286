/**
 * What a run of the gate may not exceed, and why so much. Shares are between 0 and 1.
 */

export interface Limits {
  /** In any window, and over the whole run. */
  readonly windowResumeSuccess: number;
  readonly totalResumeSuccess: number;
  /** Of all streams, also those whose readers never left. */
  readonly totalStreamSuccess: number;
  readonly windowTrimRate: number;
  readonly totalTrimRate: number;
  readonly windowErrorRate: number;
  readonly totalErrorRate: number;
  /** Of the streams asked for that were live, and of the events their sources had that were received. */
  readonly totalLoad: number;
  /** Of any one resume, from the cut, finished or not. */
  readonly resumeMs: number;
  readonly resumeP95Ms: number;
  readonly memoryGrowthMb: number;
  /** At the lower end of the slope's 95 % interval. */
  readonly memoryKbPerRequest: number;
  /** Shorter runs only show how a fresh service warms up: theirs is told, and not judged. */
  readonly memoryPerRequestFromSec: number;
  /** Of any stream whose reader waits for no resume. */
  readonly silenceMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  windowResumeSuccess: 0.95,
  totalResumeSuccess: 0.98,
  totalStreamSuccess: 0.98,
  windowTrimRate: 0.01,
  totalTrimRate: 0.005,
  windowErrorRate: 0.01,
  totalErrorRate: 0.01,
  // A stream that ends is followed by another, which takes a request, and who was cut at the last event comes back
  // for the end: some 3 % on a quiet machine.
  totalLoad: 0.9,
  resumeMs: 15_000,
  // A resume is one request: tens of milliseconds on a busy machine of two cores. A second is what a reader notices.
  resumeP95Ms: 1000,
  // A fresh service takes more than a minute to find its level: heap not yet collected, page caches of objects that
  // have ended. 40 to 65 MB were seen of a sound one; this is twice that. Small leaks are the soak's to find.
  memoryGrowthMb: 128,
  // The same drift of a fresh service is 100 to 200 KB for each request of a minute's run, and 1 MB in ten seconds.
  memoryKbPerRequest: 384,
  memoryPerRequestFromSec: 60,
  silenceMs: 15_000,
};

/** Windows of so long are judged, one ending each second. */
export const WINDOW_SEC = 10;
