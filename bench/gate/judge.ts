/**
 * The gate's rules over recorded samples. Pure: what is judged, and up to when, is told.
 *
 * G1 A window is judged when it is over, one ending each second, so that a spike cannot hide astride two windows.
 * G2 A resume that takes too long is known at once, also while nothing has come of it yet.
 * G3 A run that measured nothing, or not what it was to measure, has not passed; nor has one with half the load.
 * G4 A figure that is no number is a fault: it never keeps a rule from speaking.
 */
import { figuresOf, resumesOf, type Figures, type Stretch } from "./figures.ts";
import { WINDOW_SEC, type Limits } from "./limits.ts";
import { loadShareOf } from "./load-share.ts";
import { memoryGrowthOf } from "./memory-growth.ts";
import type { Sample } from "./samples.ts";

export type Rule =
  | "window_resume_success"
  | "window_trim_rate"
  | "window_resume_latency"
  | "window_error_rate"
  | "total_resume_success"
  | "total_stream_success"
  | "total_trim_rate"
  | "total_resume_p95"
  | "total_error_rate"
  | "total_load"
  | "total_memory_growth"
  | "total_memory_per_request"
  | "total_measured";

export interface Failure {
  readonly rule: Rule;
  readonly from_sec: number;
  readonly to_sec: number;
  readonly value: number | null;
  readonly limit: number;
  /** When it was found. */
  readonly at_sec: number;
  readonly detail: string;
}

/** What a run was to be and to measure. */
export interface Asked {
  readonly seconds: number;
  /** At once. */
  readonly streams: number;
  readonly isCutting: boolean;
  readonly measuresMemory: boolean;
  /** Whether buffers overflowed, by the service's own word. */
  readonly measuresTrims: boolean;
}

const SECOND_MS = 1000;

/**
 * What a look at so many seconds finds: the window that ends there, and resumes on their way.
 * @param isLast the run ends here, and what there is of a window is judged as one
 */
export function judgeWindow(samples: readonly Sample[], endSec: number, limits: Limits, isLast = false): Failure[] {
  const failures = slowResumes(samples, endSec, limits);
  if (endSec < WINDOW_SEC && !isLast) return failures;
  const stretch = { fromMs: Math.max(0, endSec - WINDOW_SEC) * SECOND_MS, toMs: endSec * SECOND_MS };
  const window = figuresOf(samples, stretch);
  const found = (rule: Rule, value: number | null, limit: number, detail: string) =>
    failures.push({ rule, from_sec: window.fromSec, to_sec: window.toSec, value, limit, at_sec: endSec, detail });
  const { resumeSuccessRate: success, trimRate, errorRate } = window;
  if (isBelow(success, limits.windowResumeSuccess)) {
    found("window_resume_success", success, limits.windowResumeSuccess, resumeDetail(window, samples, stretch));
  }
  if (isAbove(trimRate, limits.windowTrimRate)) {
    found("window_trim_rate", trimRate, limits.windowTrimRate, trimDetail(window));
  }
  if (isAbove(errorRate, limits.windowErrorRate)) {
    found("window_error_rate", errorRate, limits.windowErrorRate, errorDetail(window));
  }
  return failures;
}

function slowResumes(samples: readonly Sample[], endSec: number, limits: Limits): Failure[] {
  const endMs = endSec * SECOND_MS;
  let slowest = { tookMs: 0, isPending: false, fromMs: 0 };
  let count = 0;
  for (const { cutMs, sentMs, answeredMs, settledMs } of resumesOf(samples).values()) {
    // EventSource's own wait included: to the reader it is all the same.
    const fromMs = Number.isNaN(cutMs) ? (sentMs ?? cutMs) : cutMs;
    // One that was refused is not slow, but failed.
    const overMs = answeredMs ?? settledMs;
    const tookMs = (overMs ?? endMs) - fromMs;
    // Settled, and never seen to leave: it was no resume.
    if (Number.isNaN(fromMs) || tookMs <= limits.resumeMs) continue;
    count++;
    if (tookMs > slowest.tookMs) slowest = { tookMs, isPending: overMs === undefined, fromMs };
  }
  if (count === 0) return [];
  const state = slowest.isPending ? "still without an event" : "until its first event";
  return [
    {
      rule: "window_resume_latency",
      from_sec: slowest.fromMs / SECOND_MS,
      to_sec: endSec,
      value: slowest.tookMs,
      limit: limits.resumeMs,
      at_sec: endSec,
      detail: `${count} resumes beyond it, the slowest ${Math.round(slowest.tookMs)} ms ${state}`,
    },
  ];
}

/** What a whole run finds. */
export function judgeTotals(samples: readonly Sample[], endMs: number, limits: Limits, asked: Asked): Failure[] {
  const stretch = { fromMs: 0, toMs: endMs };
  const total = figuresOf(samples, stretch);
  const failures: Failure[] = [];
  const found: Found = (rule, value, limit, detail) =>
    failures.push({ rule, from_sec: 0, to_sec: total.toSec, value, limit, at_sec: total.toSec, detail });
  const { resumeSuccessRate: success, trimRate, errorRate, resumeLatencyMs, streamsCompleted, streamsFailed } = total;
  if (isBelow(success, limits.totalResumeSuccess)) {
    found("total_resume_success", success, limits.totalResumeSuccess, resumeDetail(total, samples, stretch));
  }
  const streams = streamsCompleted + streamsFailed;
  const whole = streams === 0 ? null : streamsCompleted / streams;
  if (isBelow(whole, limits.totalStreamSuccess)) {
    const detail = `${streamsFailed} of ${streams} streams were not whole${reasonsText(samples, stretch)}`;
    found("total_stream_success", whole, limits.totalStreamSuccess, detail);
  }
  if (isAbove(trimRate, limits.totalTrimRate)) {
    found("total_trim_rate", trimRate, limits.totalTrimRate, trimDetail(total));
  }
  if (isAbove(errorRate, limits.totalErrorRate)) {
    found("total_error_rate", errorRate, limits.totalErrorRate, errorDetail(total));
  }
  if (isAbove(resumeLatencyMs.p95, limits.resumeP95Ms)) {
    const detail = `slowest ${Math.round(resumeLatencyMs.max ?? 0)} ms`;
    found("total_resume_p95", resumeLatencyMs.p95, limits.resumeP95Ms, detail);
  }
  judgeLoad(samples, { limits, asked, endMs }, found);
  judgeMemory(samples, { limits, asked, endMs }, found);
  for (const detail of unmeasured(samples, total, asked)) found("total_measured", 0, 1, detail);
  return failures;
}

type Found = (rule: Rule, value: number | null, limit: number, detail: string) => void;

interface Scope {
  readonly limits: Limits;
  readonly asked: Asked;
  readonly endMs: number;
}

function judgeLoad(samples: readonly Sample[], { limits, asked, endMs }: Scope, found: Found): void {
  if (asked.streams === 0) return;
  const load = loadShareOf(samples, { ...asked, endMs });
  if (load === undefined) return found("total_load", null, limits.totalLoad, "no stream was seen live");
  const { liveShare, deliveredShare } = load;
  const least = Math.min(liveShare, deliveredShare);
  if (!isBelow(least, limits.totalLoad)) return;
  const live = `${percent(liveShare)} of ${asked.streams} streams live on average`;
  found("total_load", least, limits.totalLoad, `${live}, ${percent(deliveredShare)} of their events received in time`);
}

function judgeMemory(samples: readonly Sample[], { limits, asked, endMs }: Scope, found: Found): void {
  const memory = memoryGrowthOf(samples, endMs);
  if (memory === undefined) {
    if (asked.measuresMemory) found("total_measured", 0, 1, "memory was not measured: no /proc, or no such process");
    return;
  }
  const { growthMb, beforeMb, afterMb, kbPerRequest: slope } = memory;
  if (isAbove(growthMb, limits.memoryGrowthMb)) {
    const detail = `${beforeMb.toFixed(1)} MB after warming up, ${afterMb.toFixed(1)} MB at the end`;
    found("total_memory_growth", growthMb, limits.memoryGrowthMb, detail);
  }
  if (asked.seconds < limits.memoryPerRequestFromSec) return;
  if (slope !== undefined && isAbove(slope.low, limits.memoryKbPerRequest)) {
    const detail = `slope ${slope.perX.toFixed(0)} (${slope.low.toFixed(0)} to ${slope.high.toFixed(0)}) KB a request`;
    found("total_memory_per_request", slope.low, limits.memoryKbPerRequest, detail);
  }
}

function unmeasured(samples: readonly Sample[], total: Figures, asked: Asked): string[] {
  const unread = samples.flatMap((sample) => (sample.kind === "unreadable" ? [sample.what] : []));
  const broken = samples.filter(hasBrokenNumber).map(({ kind }) => `a sample of ${kind} without a number`);
  const wrong = [...unread, ...broken];
  const findings =
    wrong.length === 0 ? [] : [`${wrong.length} figures cannot be read: ${[...new Set(wrong)].slice(0, 3).join("; ")}`];
  if (total.streamsCompleted === 0) return [...findings, "no stream was read to its end"];
  if (asked.isCutting && total.resumesSettled === 0) return [...findings, "no resume was made"];
  if (asked.measuresTrims && total.trimmedEvents === 0) return [...findings, "no buffer overflowed"];
  return findings;
}

function hasBrokenNumber(sample: Sample): boolean {
  return Object.values(sample).some((value) => typeof value === "number" && !Number.isFinite(value));
}

/** `null` is nothing to judge; what is no number is never within. */
function isBelow(value: number | null, limit: number): boolean {
  return value !== null && !(value >= limit);
}

function isAbove(value: number | null, limit: number): boolean {
  return value !== null && !(value <= limit);
}

function resumeDetail(figures: Figures, samples: readonly Sample[], stretch: Stretch): string {
  const { resumesSettled: settled, resumesSucceeded: succeeded } = figures;
  return `${settled - succeeded} of ${settled} resumes failed${reasonsText(samples, stretch)}`;
}

function reasonsText(samples: readonly Sample[], { fromMs, toMs }: Stretch): string {
  const reasons = samples.flatMap((sample) =>
    sample.kind === "stream_failed" && sample.atMs >= fromMs && sample.atMs < toMs ? [sample.reason] : [],
  );
  return reasons.length === 0 ? "" : `: ${[...new Set(reasons)].slice(0, 3).join("; ")}`;
}

function trimDetail({ lostEvents, unreadTrimmedEvents, missingEvents, events }: Figures): string {
  return `${lostEvents} events lost to readers (${unreadTrimmedEvents} trimmed unread, ${missingEvents} told as gaps) beside ${events} received`;
}

function errorDetail({ errors, requests, errorKinds }: Figures): string {
  const kinds = Object.entries(errorKinds).map(([kind, count]) => `${kind} ${count}`);
  return `${errors} errors at ${requests} requests: ${kinds.join(", ")}`;
}

/** One line for people. */
export function failureLine({ rule, from_sec, to_sec, value, limit, detail }: Failure): string {
  const where = rule.startsWith("total") ? "whole run" : `${from_sec.toFixed(0)} to ${to_sec.toFixed(0)} s`;
  return `${rule} (${where}): ${valueText(rule, value)}, limit ${valueText(rule, limit)}; ${detail}`;
}

function valueText(rule: Rule, value: number | null): string {
  if (value === null) return "nothing";
  if (rule === "window_resume_latency" || rule === "total_resume_p95") return `${Math.round(value)} ms`;
  if (rule === "total_memory_per_request") return `${value.toFixed(0)} KB`;
  if (rule === "total_memory_growth") return `${value.toFixed(1)} MB`;
  if (rule === "total_measured") return String(value);
  return percent(value);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
