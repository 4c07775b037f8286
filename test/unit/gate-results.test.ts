/** The shapes that others read (docs/perf-gate.md), and the command line. */
import { expect, test } from "vitest";

import { figuresOf } from "../../bench/gate/figures.ts";
import { countIn } from "../../bench/gate/gate-reader.ts";
import { DEFAULT_LIMITS } from "../../bench/gate/limits.ts";
import { readOptions } from "../../bench/gate/options.ts";
import { resultsOf, seriesCsv, slidingOf, windowedOf, type RunRecord } from "../../bench/gate/results.ts";
import type { Sample } from "../../bench/gate/samples.ts";
import { trimOf } from "../../bench/gate/trim-line.ts";

const SAMPLES: readonly Sample[] = [
  { kind: "start_requested", atMs: 10 },
  { kind: "stream_started", atMs: 20 },
  { kind: "memory", atMs: 500, megabytes: 90.123456 },
  { kind: "events", atMs: 600, count: 30 },
  { kind: "cut", atMs: 1000, resume: 0, isPlanned: true },
  { kind: "resume_sent", atMs: 1250, resume: 0 },
  { kind: "resume_answered", atMs: 1300, resume: 0 },
  { kind: "resume_settled", atMs: 11_500, resume: 0, isSuccess: true },
  { kind: "stream_completed", atMs: 11_500 },
];
const RECORD: RunRecord = {
  date: "2026-11-21T22:00:00Z",
  command: "npm run perf:gate",
  samples: SAMPLES,
  endMs: 12_000,
  failures: [],
  notMeasured: [],
  options: { seconds: 10, streams: 1, cut_share: 1, rate: 20, seed: 1, url: null, route: null },
  limits: DEFAULT_LIMITS,
  machine: { cores: 2, cpu: "x", memory_gb: 24, platform: "linux x64", load_average: 0 },
  versions: { node: "v24", workerd: "2026", commit: null },
};

test("the summary has what trends are made of", () => {
  expect(resultsOf(RECORD)).toMatchObject({
    kind: "sse-live",
    verdict: "passed",
    failures: [],
    summary: {
      streams_started: 1,
      streams_completed: 1,
      resume_attempts: 1,
      resume_success_rate: 1,
      buffer_trims: 0,
      buffer_trim_rate: 0,
      resume_latency_ms: { p50: 50, p95: 50, p99: 50, max: 50 },
      reconnect_wait_ms: { p50: 250 },
      events_received: 30,
      throughput_events_per_sec: 2.5,
      errors: 0,
      error_rate: 0,
      memory_mb: { first: 90.1235, last: 90.1235, max: 90.1235 },
      memory_growth_mb: null,
    },
  });
});

test("a broken rule is the verdict, and is told with its figures", () => {
  const failure = {
    rule: "window_trim_rate" as const,
    from_sec: 2,
    to_sec: 12,
    value: 0.0123456,
    limit: 0.01,
    at_sec: 12,
    detail: "d",
  };
  expect(resultsOf({ ...RECORD, failures: [failure] })).toMatchObject({
    verdict: "failed",
    failures: [{ rule: "window_trim_rate", value: 0.0123, limit: 0.01 }],
  });
});

test("windows, their worst and a series with a line for each second", () => {
  expect(windowedOf(RECORD)).toMatchObject({
    kind: "sse-live-windowed",
    windows: [
      { from_sec: 0, to_sec: 10, resume_attempts: 0, events_received: 30 },
      { from_sec: 10, to_sec: 12, resume_attempts: 1, resume_success_rate: 1 },
    ],
    worst: { min_resume_success_rate: 1, max_trim_rate: 0, max_resume_ms: 50 },
  });
  const lines = seriesCsv(SAMPLES, RECORD.endMs).trimEnd().split("\n");
  expect(lines).toHaveLength(13);
  expect(lines[0]).toMatch(/^second,live_streams,streams_started,/);
  expect(lines[2]).toMatch(/^1,/);
});

test("the command line: defaults of the issue, and faults by the option's name", () => {
  expect(read()).toMatchObject({
    seconds: 60,
    streams: 50,
    cutShare: 0.5,
    seed: 7,
    store: "perf-results",
    limits: {
      windowResumeSuccess: 0.95,
      totalResumeSuccess: 0.98,
      windowTrimRate: 0.01,
      totalTrimRate: 0.005,
      resumeMs: 15_000,
    },
  });
  expect(read("--max-trim-rate", "0.2", "--store", "")).toMatchObject({
    store: undefined,
    limits: { windowTrimRate: 0.2 },
  });
  // What is silent for a stream of one event a second is no matter of its resumes.
  expect(read("--rate", "1", "--max-resume-ms", "500")).toMatchObject({ limits: { resumeMs: 500, silenceMs: 15_000 } });
  expect(read("--help")).toHaveProperty("help");
  for (const [name, value] of [
    ["--cut-share", "2"],
    ["--streams", "1.5"],
    ["--seconds", ""],
    ["--seconds", "9"],
    ["--seconds", "86400"],
    ["--url", "ftp://x"],
    ["--max-error-rate", "none"],
  ] as const) {
    expect(() => read(name, value)).toThrow(name);
  }
});

test("a run that was broken off has no verdict, but what it has found stands", () => {
  expect(resultsOf({ ...RECORD, isInterrupted: true })).toMatchObject({ verdict: "interrupted" });
  expect(resultsOf({ ...RECORD, notMeasured: ["memory"] })).toMatchObject({ not_measured: ["memory"] });
});

test("a long run is summed up in seconds", () => {
  expect(slidingOf(memory(50_000), 600_000)).toHaveLength(591);
  // More than a call takes as arguments.
  expect(figuresOf(memory(150_000), { fromMs: 0, toMs: 3_600_000 }).memoryMb).toMatchObject({ max: 1 });
});

test("what the service tells is a count or unreadable, never silently nothing", () => {
  expect(line({ events: 7, unread_events: 3 })).toEqual({ kind: "trim", atMs: 5, events: 7, unread: 3 });
  const damaged = [{ events: 7 }, { events: 7, unread_events: 8 }, { events: "7", unread_events: 3 }];
  for (const members of [...damaged, { events: 7, unread_events: -1 }, { events: null, unread_events: 0 }]) {
    expect(line(members)).toMatchObject({ kind: "unreadable" });
  }
  expect(trimOf('{"event":"SseBufferTrimmed","events":7,', 5)).toMatchObject({ kind: "unreadable" });
  expect(trimOf('{"event":"SseResumeAttempt"}', 5)).toBeUndefined();
  expect(countIn('{"dropped":12}', "dropped")).toBe(12);
  for (const data of ["{}", "", '{"dropped":"many"}', '{"dropped":-1}', '{"dropped":1.5}', '{"dropped":null}']) {
    expect(countIn(data, "dropped")).toBeUndefined();
  }
});

function memory(count: number): Sample[] {
  return Array.from({ length: count }, (_, at) => ({ kind: "memory", atMs: at * 12, megabytes: 1 }));
}

function line(members: object): Sample | undefined {
  return trimOf(JSON.stringify({ event: "SseBufferTrimmed", ...members }), 5);
}

function read(...args: string[]) {
  return readOptions(args, () => 7);
}
