/** Samples added up: bench/gate/figures.ts and the log that makes them. */
import { expect, test } from "vitest";

import { figuresOf, stretchesOf } from "../../bench/gate/figures.ts";
import { SampleLog, type Sample } from "../../bench/gate/samples.ts";

const RESUME: readonly Sample[] = [
  { kind: "cut", atMs: 500, resume: 0, isPlanned: true },
  { kind: "resume_sent", atMs: 900, resume: 0 },
  { kind: "resume_answered", atMs: 1100, resume: 0 },
  { kind: "resume_settled", atMs: 2500, resume: 0, isSuccess: true },
];

test("a resume's latency is from its first request to its first event, and EventSource's wait is apart", () => {
  const { resumeLatencyMs, reconnectWaitMs, resumeSuccessRate } = figuresOf(RESUME, { fromMs: 0, toMs: 3000 });
  expect(resumeLatencyMs).toEqual({ p50: 200, p95: 200, p99: 200, max: 200 });
  expect(reconnectWaitMs.p50).toBe(400);
  expect(resumeSuccessRate).toBe(1);
});

test("a resume is counted in the second in which each thing became known", () => {
  const [first, second, third] = stretchesOf(RESUME, 3000, 1);
  expect([first?.resumesSent, second?.resumesSent]).toEqual([1, 0]);
  expect([first?.resumeLatencyMs.p50, second?.resumeLatencyMs.p50]).toEqual([null, 200]);
  expect([second?.resumeSuccessRate, third?.resumeSuccessRate]).toEqual([null, 1]);
});

test("the trim rate is what readers lost of all source events: unread trims or told gaps, whichever is more", () => {
  const events: Sample = { kind: "events", atMs: 1, count: 900 };
  const gap: Sample = { kind: "gap", atMs: 2, missing: 100 };
  const rateOf = (unread: number) =>
    figuresOf([events, gap, { kind: "trim", atMs: 3, events: 500, unread }], { fromMs: 0, toMs: 10 }).trimRate;
  expect(rateOf(0)).toBe(0.1);
  expect(rateOf(60)).toBe(0.1);
  expect(rateOf(250)).toBe(0.25);
});

test("events that left the buffer after all readers had them are no loss", () => {
  const samples: Sample[] = [
    { kind: "events", atMs: 1, count: 100 },
    { kind: "trim", atMs: 2, events: 80, unread: 0 },
  ];
  expect(figuresOf(samples, { fromMs: 0, toMs: 10 })).toMatchObject({ trimRate: 0, trimmedEvents: 80, lostEvents: 0 });
});

test("rates of nothing are unknown, but errors without a request are all of it", () => {
  expect(figuresOf([], { fromMs: 0, toMs: 1 })).toMatchObject({
    errorRate: null,
    trimRate: null,
    resumeSuccessRate: null,
  });
  expect(figuresOf([{ kind: "error", atMs: 0, error: "stream_silent" }], { fromMs: 0, toMs: 1 }).errorRate).toBe(1);
});

test("the last stretch ends where the run ended", () => {
  expect(stretchesOf([], 25_000, 10).map(({ fromSec, toSec }) => [fromSec, toSec])).toEqual([
    [0, 10],
    [10, 20],
    [20, 25],
  ]);
});

test("the log counts events by the second and keeps what came between", () => {
  let nowMs = 100;
  const log = new SampleLog(() => nowMs);
  log.countEvent();
  log.add((atMs) => ({ kind: "stream_started", atMs }));
  log.countEvent();
  nowMs = 1000;
  log.countEvent();
  expect(log.samples).toEqual([
    { kind: "events", atMs: 100, count: 2 },
    { kind: "stream_started", atMs: 100 },
    { kind: "events", atMs: 1000, count: 1 },
  ]);
});
