/**
 * Samples of a stretch of time added up: the same figures for a second, a window and the whole run. Pure.
 */
import { quantileOf } from "../lib/statistics.ts";
import type { ErrorKind, Sample } from "./samples.ts";

export interface Latency {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface Figures {
  readonly fromSec: number;
  readonly toSec: number;
  readonly streamsStarted: number;
  readonly streamsCompleted: number;
  readonly streamsFailed: number;
  readonly requests: number;
  readonly cuts: number;
  /** Resumes whose first request left within the stretch. */
  readonly resumesSent: number;
  /** Whose streams were over within it. */
  readonly resumesSettled: number;
  readonly resumesSucceeded: number;
  /** `null` where none was settled. */
  readonly resumeSuccessRate: number | null;
  /** From sending a resume's first request to the first event after it; of those answered within the stretch. */
  readonly resumeLatencyMs: Latency;
  /** From the cut to that request: EventSource's own wait. */
  readonly reconnectWaitMs: Latency;
  readonly events: number;
  readonly trimmedEvents: number;
  readonly unreadTrimmedEvents: number;
  readonly gaps: number;
  readonly missingEvents: number;
  /** What readers lost, as the service's alert counts it: the larger of unread trims and missing events. */
  readonly lostEvents: number;
  /** Of source events; `null` where there were none. */
  readonly trimRate: number | null;
  readonly errors: number;
  readonly errorKinds: Readonly<Partial<Record<ErrorKind, number>>>;
  /** Of requests; `null` where there were neither. */
  readonly errorRate: number | null;
  readonly memoryMb: { readonly first: number; readonly last: number; readonly max: number } | null;
  /** Of the looks at it. */
  readonly liveStreams: { readonly min: number; readonly max: number } | null;
}

const SECOND_MS = 1000;

/** A resume's way, as far as it has come. */
export interface ResumeTimes {
  readonly cutMs: number;
  readonly sentMs: number | undefined;
  readonly answeredMs: number | undefined;
  readonly settledMs: number | undefined;
}

/** Resumes by their numbers. */
export function resumesOf(samples: readonly Sample[]): ReadonlyMap<number, ResumeTimes> {
  const resumes = new Map<number, ResumeTimes>();
  const unknown = { cutMs: Number.NaN, sentMs: undefined, answeredMs: undefined, settledMs: undefined };
  for (const sample of samples) {
    if (!("resume" in sample)) continue;
    const known = resumes.get(sample.resume) ?? unknown;
    const { atMs } = sample;
    if (sample.kind === "cut") resumes.set(sample.resume, { ...known, cutMs: atMs });
    else if (sample.kind === "resume_sent") resumes.set(sample.resume, { ...known, sentMs: atMs });
    else if (sample.kind === "resume_answered") resumes.set(sample.resume, { ...known, answeredMs: atMs });
    else resumes.set(sample.resume, { ...known, settledMs: atMs });
  }
  return resumes;
}

/** @param resumes of all samples: a resume may have begun before the stretch */
export function figuresOf(
  samples: readonly Sample[],
  stretch: Stretch,
  resumes: ReadonlyMap<number, ResumeTimes> = resumesOf(samples),
): Figures {
  const { fromMs, toMs } = stretch;
  const within = samples.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const of = <K extends Sample["kind"]>(kind: K) =>
    within.filter((sample): sample is Extract<Sample, { kind: K }> => sample.kind === kind);
  const settled = of("resume_settled");
  const succeeded = settled.filter(({ isSuccess }) => isSuccess).length;
  const latencies = of("resume_answered").map(({ resume, atMs }) => atMs - (resumes.get(resume)?.sentMs ?? atMs));
  const waits = of("resume_sent").map(({ resume, atMs }) => atMs - (resumes.get(resume)?.cutMs ?? atMs));
  const trims = of("trim");
  const gaps = of("gap");
  const errors = of("error");
  const memory = of("memory").map(({ megabytes }) => megabytes);
  const live = of("live").map(({ streams }) => streams);
  const requests = within.filter(({ kind }) => kind === "start_requested" || kind === "resume_requested").length;
  const events = sum(of("events").map(({ count }) => count));
  const unread = sum(trims.map(({ unread }) => unread));
  const missing = sum(gaps.map(({ missing }) => missing));
  const lost = Math.max(unread, missing);
  return {
    fromSec: fromMs / SECOND_MS,
    toSec: toMs / SECOND_MS,
    streamsStarted: of("stream_started").length,
    streamsCompleted: of("stream_completed").length,
    streamsFailed: of("stream_failed").length,
    requests,
    cuts: of("cut").length,
    resumesSent: of("resume_sent").length,
    resumesSettled: settled.length,
    resumesSucceeded: succeeded,
    resumeSuccessRate: shareOf(succeeded, settled.length),
    resumeLatencyMs: latencyOf(latencies),
    reconnectWaitMs: latencyOf(waits),
    events,
    trimmedEvents: sum(trims.map(({ events }) => events)),
    unreadTrimmedEvents: unread,
    gaps: gaps.length,
    missingEvents: missing,
    lostEvents: lost,
    trimRate: shareOf(lost, events + missing),
    errors: errors.length,
    errorKinds: Object.fromEntries(
      Map.groupBy(errors, ({ error }) => error)
        .entries()
        .map(([kind, all]) => [kind, all.length]),
    ),
    errorRate: shareOf(errors.length, requests),
    memoryMb: rangeOf(memory),
    liveStreams: live.length === 0 ? null : { min: leastOf(live), max: mostOf(live) },
  };
}

export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Of many stretches, each looked for in its own seconds alone: an hour has thousands of either. */
export function figuresOfEach(samples: readonly Sample[], stretches: readonly Stretch[]): Figures[] {
  const resumes = resumesOf(samples);
  const bySecond = Map.groupBy(samples, ({ atMs }) => Math.floor(atMs / SECOND_MS));
  return stretches.map((stretch) => {
    const first = Math.floor(stretch.fromMs / SECOND_MS);
    const seconds = Math.ceil(stretch.toMs / SECOND_MS) - first;
    const near = Array.from({ length: seconds }, (_, at) => bySecond.get(first + at) ?? []).flat();
    return figuresOf(near, stretch, resumes);
  });
}

/** Tumbling stretches of so many seconds from the beginning, the last one cut off where the run ended. */
export function stretchesOf(samples: readonly Sample[], endMs: number, lengthSec: number): Figures[] {
  const count = Math.ceil(endMs / (lengthSec * SECOND_MS));
  const stretches = Array.from({ length: count }, (_, at) => {
    const fromMs = at * lengthSec * SECOND_MS;
    return { fromMs, toMs: Math.min(endMs, fromMs + lengthSec * SECOND_MS) };
  });
  return figuresOfEach(samples, stretches);
}

function latencyOf(values: readonly number[]): Latency {
  if (values.length === 0) return { p50: null, p95: null, p99: null, max: null };
  return {
    p50: quantileOf(values, 0.5),
    p95: quantileOf(values, 0.95),
    p99: quantileOf(values, 0.99),
    max: quantileOf(values, 1),
  };
}

/** Something out of nothing is all of it: errors without a request must not go unseen. */
function shareOf(part: number, whole: number): number | null {
  if (whole === 0) return part === 0 ? null : 1;
  return part / whole;
}

function rangeOf(values: readonly number[]): Figures["memoryMb"] {
  const [first] = values;
  const last = values.at(-1);
  if (first === undefined || last === undefined) return null;
  return { first, last, max: mostOf(values) };
}

/** Of any number of values: as arguments of a call too many overflow the stack. */
export function mostOf(values: readonly number[]): number {
  return values.reduce((most, value) => (value <= most ? most : value), Number.NEGATIVE_INFINITY);
}

export function leastOf(values: readonly number[]): number {
  return -mostOf(values.map((value) => -value));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
