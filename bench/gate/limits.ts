/**
 * What a run of the gate may not exceed, and why so much. Shares are between 0 and 1.
 */

export interface Limits {
  /** In any window, and over the whole run. */
  readonly windowResumeSuccess: number;
  readonly totalResumeSuccess: number;
  readonly windowTrimRate: number;
  readonly totalTrimRate: number;
  readonly windowErrorRate: number;
  /** Of any one resume, finished or not. */
  readonly resumeMs: number;
  readonly resumeP95Ms: number;
  readonly memoryGrowthMb: number;
}

export const DEFAULT_LIMITS: Limits = {
  windowResumeSuccess: 0.95,
  totalResumeSuccess: 0.98,
  windowTrimRate: 0.01,
  totalTrimRate: 0.005,
  windowErrorRate: 0.01,
  resumeMs: 15_000,
  // A resume is one request: tens of milliseconds on a busy machine of two cores. A second is what a reader notices.
  resumeP95Ms: 1000,
  // A fresh service takes more than a minute to find its level: heap not yet collected, page caches of objects that
  // have ended. 40 to 65 MB were seen of a sound one; this is twice that. Small leaks are the soak's to find.
  memoryGrowthMb: 128,
};

/** Windows of so long are judged, one ending each second. */
export const WINDOW_SEC = 10;
