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
/** Twelve megabytes for each request, kept for ever. */
const LEAKING_ENTRY = `
import worker from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
export * from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
const kept = [];
export default {
  ...worker,
  fetch(request, env, context) {
    kept.push(new Uint8Array(12 << 20).fill(1));
    return worker.fetch(request, env, context);
  },
};
`;
/** More than a buffer holds comes while a reader is away. */
const BURST: StreamScript = { events: 1500, rate: 2000, bytes: 200 };
/** Where it is not the question: a busy machine must not answer it. */
const ANY_LATENCY: Limits = { ...DEFAULT_LIMITS, resumeP95Ms: DEFAULT_LIMITS.resumeMs };
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
    limits: { ...ANY_LATENCY, windowResumeSuccess: 0 },
    proxy: { fault: "lose", path: RESUMES },
  },
  {
    ...TOTAL,
    name: "the source sends 2,000 events a second, windows allow it",
    expects: "total_trim_rate",
    mayAlso: { total_resume_success: SEES_GAPS },
    limits: { ...ANY_LATENCY, windowResumeSuccess: 0, windowTrimRate: 1 },
    streams: 10,
    cutShare: 1,
    script: BURST,
  },
  {
    ...TOTAL,
    name: "resumes are answered 1.5 s late",
    expects: "total_resume_p95",
    proxy: { fault: "delay", path: RESUMES },
  },
  {
    ...TOTAL,
    name: "the Worker keeps 12 MB for each request (whole run)",
    expects: "total_memory_growth",
    limits: ANY_LATENCY,
    seconds: 20,
    byDeadlineSec: 20 + DRAIN_SEC,
    entry: LEAKING_ENTRY,
  },
  {
    ...TOTAL,
    name: "nothing is answered at all",
    expects: "total_measured",
    seconds: 4,
    faultSec: { from: 0, to: 5 },
    limits: { ...DEFAULT_LIMITS, resumeMs: 3000 },
    proxy: { fault: "hold", path: /./ },
  },
];

function resumeFault(name: string, fault: ProxyFault): Scenario {
  return { ...WINDOW, name, expects: "window_resume_success", proxy: { fault, path: RESUMES } };
}
