/**
 * The gate's rules over recorded samples. Pure: what is judged, and up to when, is told.
 *
 * G1 A window is judged when it is over, one ending each second, so that a spike cannot hide astride two windows.
 * G2 A resume that takes too long is known at once, also while nothing has come of it yet.
 * G3 A run that measured nothing has not passed.
 */
import { spreadOf } from "../lib/statistics.ts";
import { figuresOf, resumesOf, type Figures } from "./figures.ts";
import { WINDOW_SEC, type Limits } from "./limits.ts";
import type { Sample } from "./samples.ts";

export type Rule =
  | "window_resume_success"
  | "window_trim_rate"
  | "window_resume_latency"
  | "window_error_rate"
  | "total_resume_success"
  | "total_trim_rate"
  | "total_resume_p95"
  | "total_memory_growth"
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

const SECOND_MS = 1000;
/** Of a run; what comes up in it is not growth. */
const WARM_UP_SHARE = 1 / 2;
/** Of what follows: its first and its last part are compared. */
const COMPARED_SHARE = 1 / 4;

/** What a look at so many whole seconds finds: the window that ends there, and resumes on their way. */
export function judgeWindow(samples: readonly Sample[], endSec: number, limits: Limits): Failure[] {
  const failures = slowResumes(samples, endSec, limits);
  if (endSec < WINDOW_SEC) return failures;
  const stretch = { fromMs: (endSec - WINDOW_SEC) * SECOND_MS, toMs: endSec * SECOND_MS };
  const window = figuresOf(samples, stretch);
  const found = (rule: Rule, value: number, limit: number, detail: string) =>
    failures.push({ rule, from_sec: window.fromSec, to_sec: window.toSec, value, limit, at_sec: endSec, detail });
  const { resumeSuccessRate: success, trimRate, errorRate } = window;
  if (success !== null && success < limits.windowResumeSuccess) {
    found("window_resume_success", success, limits.windowResumeSuccess, resumeDetail(window, samples, stretch));
  }
  if (trimRate !== null && trimRate > limits.windowTrimRate) {
    found("window_trim_rate", trimRate, limits.windowTrimRate, trimDetail(window));
  }
  if (errorRate !== null && errorRate > limits.windowErrorRate) {
    found("window_error_rate", errorRate, limits.windowErrorRate, errorDetail(window));
  }
  return failures;
}

function slowResumes(samples: readonly Sample[], endSec: number, limits: Limits): Failure[] {
  const endMs = endSec * SECOND_MS;
  let slowest = { tookMs: 0, isPending: false, fromMs: 0 };
  let count = 0;
  for (const { cutMs, sentMs, answeredMs, settledMs } of resumesOf(samples).values()) {
    // A reader that never asks is not on its way either.
    const fromMs = sentMs ?? cutMs;
    // One that was refused is not slow, but failed.
    const overMs = answeredMs ?? settledMs;
    const tookMs = (overMs ?? endMs) - fromMs;
    if (Number.isNaN(tookMs) || tookMs <= limits.resumeMs) continue;
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
export function judgeTotals(samples: readonly Sample[], endMs: number, limits: Limits, isCutting: boolean): Failure[] {
  const total = figuresOf(samples, { fromMs: 0, toMs: endMs });
  const failures: Failure[] = [];
  const found = (rule: Rule, value: number | null, limit: number, detail: string) =>
    failures.push({ rule, from_sec: 0, to_sec: total.toSec, value, limit, at_sec: total.toSec, detail });
  const { resumeSuccessRate: success, trimRate, resumeLatencyMs } = total;
  if (success !== null && success < limits.totalResumeSuccess) {
    found(
      "total_resume_success",
      success,
      limits.totalResumeSuccess,
      resumeDetail(total, samples, { fromMs: 0, toMs: endMs }),
    );
  }
  if (trimRate !== null && trimRate > limits.totalTrimRate) {
    found("total_trim_rate", trimRate, limits.totalTrimRate, trimDetail(total));
  }
  if (resumeLatencyMs.p95 !== null && resumeLatencyMs.p95 > limits.resumeP95Ms) {
    found(
      "total_resume_p95",
      resumeLatencyMs.p95,
      limits.resumeP95Ms,
      `slowest ${Math.round(resumeLatencyMs.max ?? 0)} ms`,
    );
  }
  const memory = memoryGrowthOf(samples, endMs);
  if (memory !== undefined && memory.growthMb > limits.memoryGrowthMb) {
    const detail = `${memory.beforeMb.toFixed(1)} MB after warming up, ${memory.afterMb.toFixed(1)} MB at the end`;
    found("total_memory_growth", memory.growthMb, limits.memoryGrowthMb, detail);
  }
  if (total.streamsCompleted === 0) found("total_measured", 0, 1, "no stream was read to its end");
  else if (isCutting && total.resumesSettled === 0) found("total_measured", 0, 1, "no resume was made");
  return failures;
}

export interface MemoryGrowth {
  readonly beforeMb: number;
  readonly afterMb: number;
  readonly growthMb: number;
  readonly perHourMb: number;
}

/** Medians of the first and the last quarter after warming up: one sample says little of a collected heap. */
export function memoryGrowthOf(samples: readonly Sample[], endMs: number): MemoryGrowth | undefined {
  const beganMs = endMs * WARM_UP_SHARE;
  const lengthMs = (endMs - beganMs) * COMPARED_SHARE;
  const medianFrom = (fromMs: number) =>
    spreadOf(
      samples.flatMap((sample) =>
        sample.kind === "memory" && sample.atMs >= fromMs && sample.atMs < fromMs + lengthMs ? [sample.megabytes] : [],
      ),
    ).median;
  const beforeMb = medianFrom(beganMs);
  const afterMb = medianFrom(endMs - lengthMs);
  const growthMb = afterMb - beforeMb;
  if (Number.isNaN(growthMb)) return undefined;
  return { beforeMb, afterMb, growthMb, perHourMb: (growthMb / (endMs - lengthMs - beganMs)) * 3_600_000 };
}

function resumeDetail(
  figures: Figures,
  samples: readonly Sample[],
  { fromMs, toMs }: { fromMs: number; toMs: number },
) {
  const reasons = samples.flatMap((sample) =>
    sample.kind === "stream_failed" && sample.atMs >= fromMs && sample.atMs < toMs ? [sample.reason] : [],
  );
  const { resumesSettled: settled, resumesSucceeded: succeeded } = figures;
  const why = reasons.length === 0 ? "" : `: ${[...new Set(reasons)].slice(0, 3).join("; ")}`;
  return `${settled - succeeded} of ${settled} resumes failed${why}`;
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
  if (rule === "total_memory_growth") return `${value.toFixed(1)} MB`;
  if (rule === "total_measured") return String(value);
  return `${(value * 100).toFixed(2)} %`;
}
