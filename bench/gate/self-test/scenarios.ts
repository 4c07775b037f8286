/**
 * What goes wrong on purpose, and which rule must say so. Every fault is a real one, and lasts five seconds
 * unless it says otherwise.
 */
import { join, resolve } from "node:path";

import type { StreamScript } from "../dialect.ts";
import type { Rule } from "../judge.ts";
import { DEFAULT_LIMITS, WINDOW_SEC, type Limits } from "../limits.ts";
import type { ProxyFault } from "./fault-proxy.ts";

export interface Scenario {
  readonly name: string;
  /** `undefined`: nothing goes wrong, and the gate must pass. */
  readonly expects: Rule | undefined;
  /** Rules that the same fault breaks as well, and why that is right. */
  readonly mayAlso?: Readonly<Partial<Record<Rule, string>>>;
  readonly seconds: number;
  readonly streams: number;
  readonly cutShare: number;
  readonly limits: Limits;
  readonly faultSec: { readonly from: number; readonly to: number };
  /** The gate must have failed by then, in s after the run began. */
  readonly byDeadlineSec: number;
  /** Between readers and service. */
  readonly proxy?: { readonly fault: ProxyFault; readonly path: RegExp };
  /** What streams are that begin during the fault. */
  readonly script?: StreamScript;
  /** Source text of a Worker's entry with a fault in it. */
  readonly entry?: string;
  /** Of the service, in place of its defaults. */
  readonly vars?: Readonly<Record<string, unknown>>;
}

const ROOT = resolve(import.meta.dirname, "../../..");
const STARTS = /\/stream\?/;
const RESUMES = /\/resume$/;
/** Windows before it must pass. */
const FAULT = { from: 11, to: 16 };
/** Of a run that is judged at its end. */
const EARLY_FAULT = { from: 3, to: 8 };
const LONG_SEC = 60;
/** Streams that were live at the end are read to theirs. */
const DRAIN_SEC = 20;

const WINDOW: Omit<Scenario, "name" | "expects"> = {
  seconds: LONG_SEC,
  streams: 20,
  cutShare: 0.5,
  limits: DEFAULT_LIMITS,
  faultSec: FAULT,
  byDeadlineSec: FAULT.to + WINDOW_SEC,
};
const TOTAL: Omit<Scenario, "name" | "expects"> = {
  ...WINDOW,
  seconds: 10,
  faultSec: EARLY_FAULT,
  byDeadlineSec: 10 + DRAIN_SEC,
};
/** So much for each request, kept for ever. */
const leakingEntry = (megabytes: number) => `
import worker from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
export * from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
const kept = [];
export default {
  ...worker,
  fetch(request, env, context) {
    kept.push(new Uint8Array(${megabytes} << 20).fill(1));
    return worker.fetch(request, env, context);
  },
};
`;
/** More than a buffer holds comes while a reader is away. */
const BURST: StreamScript = { events: 1500, rate: 2000, bytes: 200 };
/** Where it is not the question: a busy machine must not answer it. */
const ANY_PACE: Limits = { ...DEFAULT_LIMITS, resumeP95Ms: DEFAULT_LIMITS.resumeMs, totalLoad: 0 };
/** Above any rate: nothing may have been read beside what was trimmed. */
const ANY_RATE = 1e6;
/** A reader that gives its stream up leaves it unread, and what overflows then is trimmed unread. */
const LEFT_UNREAD: Limits = { ...ANY_PACE, windowTrimRate: ANY_RATE, totalTrimRate: ANY_RATE };
const NOT_WHOLE = "nor was the stream whole";
const SEES_GAPS = "who was away is told of a gap: that is not the whole stream";

export const SCENARIOS: readonly Scenario[] = [
  { ...WINDOW, name: "nothing", expects: undefined, seconds: 15, byDeadlineSec: 15 + DRAIN_SEC },
  resumeFault("resumes answer 200 and lose one event", "lose"),
  resumeFault("resumes answer 200 and repeat one event", "repeat"),
  resumeFault("resumes answer 200 with other data in one event", "garble"),
  {
    ...resumeFault("resumes are refused with 503", "refuse"),
    expects: "window_error_rate",
    mayAlso: { window_resume_success: "a resume that is refused has failed, too" },
  },
  {
    ...WINDOW,
    name: "resumes are taken and never answered",
    expects: "window_resume_latency",
    proxy: { fault: "hold", path: RESUMES },
    byDeadlineSec: FAULT.to + DEFAULT_LIMITS.resumeMs / 1000 + 1,
  },
  {
    ...WINDOW,
    name: "the source sends 2,000 events a second",
    expects: "window_trim_rate",
    mayAlso: { window_resume_success: SEES_GAPS },
    streams: 10,
    cutShare: 1,
    script: BURST,
  },
  {
    ...WINDOW,
    name: "buffers forget all but their last few events",
    expects: "window_trim_rate",
    mayAlso: { window_resume_success: SEES_GAPS },
    faultSec: { from: 0, to: LONG_SEC },
    byDeadlineSec: FAULT.to,
    cutShare: 1,
    vars: { SSE_BUFFER_MAX_EVENTS: 4 },
  },
  {
    ...WINDOW,
    name: "starts are refused with 503",
    expects: "window_error_rate",
    proxy: { fault: "refuse", path: STARTS },
  },
  {
    ...WINDOW,
    name: "resumes break off at once",
    expects: "window_error_rate",
    proxy: { fault: "break", path: RESUMES },
  },
  {
    ...TOTAL,
    name: "resumes lose one event, windows allow it",
    expects: "total_resume_success",
    mayAlso: { total_stream_success: NOT_WHOLE },
    limits: { ...LEFT_UNREAD, windowResumeSuccess: 0 },
    proxy: { fault: "lose", path: RESUMES },
  },
  {
    ...TOTAL,
    name: "the source sends 2,000 events a second, windows allow it",
    expects: "total_trim_rate",
    mayAlso: { total_resume_success: SEES_GAPS, total_stream_success: NOT_WHOLE },
    limits: { ...ANY_PACE, windowResumeSuccess: 0, windowTrimRate: 1 },
    streams: 10,
    cutShare: 1,
    script: BURST,
  },
  {
    ...TOTAL,
    name: "readers that were never cut are told a gap of nothing",
    expects: "total_stream_success",
    limits: LEFT_UNREAD,
    cutShare: 0,
    // The first streams of all: on a slow machine hardly another one begins before they are over.
    faultSec: { from: 0, to: 5 },
    proxy: { fault: "gap", path: STARTS },
  },
  {
    ...TOTAL,
    name: "resumes are answered 1.5 s late",
    expects: "total_resume_p95",
    limits: { ...DEFAULT_LIMITS, totalLoad: 0 },
    proxy: { fault: "delay", path: RESUMES },
  },
  {
    ...TOTAL,
    name: "starts are refused with 503, windows allow it",
    expects: "total_error_rate",
    mayAlso: { total_stream_success: "what was refused is no whole stream" },
    limits: { ...ANY_PACE, windowErrorRate: 1 },
    proxy: { fault: "refuse", path: STARTS },
  },
  {
    ...TOTAL,
    name: "starts are answered 1.5 s late",
    expects: "total_load",
    limits: { ...ANY_PACE, totalLoad: DEFAULT_LIMITS.totalLoad },
    proxy: { fault: "delay", path: STARTS },
  },
  {
    ...TOTAL,
    name: "the Worker keeps 12 MB for each request (whole run)",
    expects: "total_memory_growth",
    limits: ANY_PACE,
    seconds: 20,
    byDeadlineSec: 20 + DRAIN_SEC,
    entry: leakingEntry(12),
  },
  {
    ...TOTAL,
    name: "the Worker keeps 6 MB for each request (whole run), whatever that comes to",
    expects: "total_memory_per_request",
    // So short a run is warming up by 1 MB a request.
    limits: { ...ANY_PACE, memoryGrowthMb: 1e6, memoryKbPerRequest: 2048, memoryPerRequestFromSec: 0 },
    seconds: 20,
    byDeadlineSec: 20 + DRAIN_SEC,
    entry: leakingEntry(6),
  },
  {
    ...TOTAL,
    name: "nothing is answered at all",
    expects: "total_measured",
    seconds: 4,
    faultSec: { from: 0, to: 5 },
    limits: { ...ANY_PACE, silenceMs: 3000, windowErrorRate: 1, totalErrorRate: 1, totalStreamSuccess: 0 },
    proxy: { fault: "hold", path: /./ },
  },
];

function resumeFault(name: string, fault: ProxyFault): Scenario {
  return { ...WINDOW, name, expects: "window_resume_success", proxy: { fault, path: RESUMES } };
}
