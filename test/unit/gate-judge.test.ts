/** The gate's rules G1–G3, each at its limit and just beyond. */
import { describe, expect, test } from "vitest";

import { faultOf } from "../../bench/gate/self-test/expectation.ts";
import { SCENARIOS } from "../../bench/gate/self-test/scenarios.ts";
import { failureLine, judgeTotals, judgeWindow, memoryGrowthOf, type Rule } from "../../bench/gate/judge.ts";
import { DEFAULT_LIMITS } from "../../bench/gate/limits.ts";
import type { Sample } from "../../bench/gate/samples.ts";

const LIMITS = DEFAULT_LIMITS;

describe("in a window", () => {
  test("resumes: 95 % pass, less does not", () => {
    expect(windowRules(settled(19, 1, 5000), 10)).toEqual([]);
    expect(windowRules(settled(18, 1, 5000), 10)).toEqual(["window_resume_success"]);
  });

  test("trims: 1 % passes, more does not", () => {
    expect(windowRules(trims(990, 10, 5000), 10)).toEqual([]);
    expect(windowRules(trims(989, 10, 5000), 10)).toEqual(["window_trim_rate"]);
  });

  test("errors: 1 % of requests pass, more does not", () => {
    expect(windowRules(errors(100, 1, 5000), 10)).toEqual([]);
    expect(windowRules(errors(99, 1, 5000), 10)).toEqual(["window_error_rate"]);
  });

  test("G1: a spike astride two windows is in the one between them", () => {
    const spike = [
      ...settled(100, 4, 5000),
      ...settled(0, 4, 9500),
      ...settled(0, 4, 10_500),
      ...settled(100, 4, 15_000),
    ];
    // Of 0 to 10 and 10 to 20 each alone has 4 more than it may; the one from 6 has nothing else.
    expect(windowRules(settled(100, 4, 5000), 10)).toEqual([]);
    expect(windowRules(spike, 16)).toContain("window_resume_success");
    expect(judgeWindow(spike, 15, LIMITS)[0]).toMatchObject({ from_sec: 5, to_sec: 15, at_sec: 15 });
  });

  test("nothing is said of less than a window", () => {
    expect(windowRules(settled(0, 9, 5000), 9)).toEqual([]);
    expect(windowRules(settled(0, 9, 5000), 10)).toEqual(["window_resume_success"]);
  });

  test("what is older is forgotten", () => {
    expect(windowRules(settled(0, 9, 5000), 15)).toEqual(["window_resume_success"]);
    expect(windowRules(settled(0, 9, 5000), 16)).toEqual([]);
  });
});

describe("G2: a resume of more than 15 s", () => {
  const sent: readonly Sample[] = [
    { kind: "cut", atMs: 1800, resume: 7, isPlanned: true },
    { kind: "resume_sent", atMs: 2000, resume: 7 },
  ];
  const answered = (atMs: number): Sample[] => [...sent, { kind: "resume_answered", atMs, resume: 7 }];

  test("fails while nothing has come of it", () => {
    expect(windowRules(sent, 17)).toEqual([]);
    expect(windowRules(sent, 18)).toEqual(["window_resume_latency"]);
  });

  test("fails although it was answered in the end", () => {
    expect(windowRules(answered(17_000), 18)).toEqual([]);
    expect(windowRules(answered(17_001), 18)).toEqual(["window_resume_latency"]);
  });

  test("fails although the reader never asked", () => {
    expect(windowRules(sent.slice(0, 1), 17)).toEqual(["window_resume_latency"]);
  });

  test("is not one that was refused: that has failed", () => {
    const refused: Sample[] = [...sent, { kind: "resume_settled", atMs: 2100, resume: 7, isSuccess: false }];
    expect(windowRules(refused, 30)).toEqual([]);
  });
});

describe("over the whole run", () => {
  test("resumes: 98 % pass, less does not", () => {
    expect(totalRules([...settled(98, 2, 500), completed()])).toEqual([]);
    expect(totalRules([...settled(97, 2, 500), completed()])).toEqual(["total_resume_success"]);
  });

  test("trims: 0.5 % passes, more does not", () => {
    expect(totalRules([...trims(995, 5, 500), completed()])).toEqual([]);
    expect(totalRules([...trims(994, 5, 500), completed()])).toEqual(["total_trim_rate"]);
  });

  test("the 95th percentile of resumes, not the slowest", () => {
    expect(totalRules(slowOfHundred(5))).toEqual([]);
    expect(totalRules(slowOfHundred(6))).toEqual(["total_resume_p95"]);
  });

  test("memory: what comes up while warming up is not growth, what comes later is", () => {
    const limit = LIMITS.memoryGrowthMb;
    expect(totalRules([...memory((sec) => (sec < 30 ? 100 + sec * 10 : 400)), completed()], 60)).toEqual([]);
    expect(totalRules([...memory((sec) => (sec < 50 ? 100 : 100 + limit)), completed()], 60)).toEqual([]);
    expect(totalRules([...memory((sec) => (sec < 50 ? 100 : 101 + limit)), completed()], 60)).toEqual([
      "total_memory_growth",
    ]);
  });

  test("memory: one sample aside is not growth", () => {
    expect(
      memoryGrowthOf(
        memory((sec) => (sec === 58 ? 9000 : 100)),
        60_000,
      ),
    ).toMatchObject({ growthMb: 0 });
    expect(memoryGrowthOf([], 60_000)).toBeUndefined();
  });

  test("G3: who measured nothing has not passed", () => {
    expect(totalRules([])).toEqual(["total_measured"]);
    expect(judgeTotals([completed()], 1000, LIMITS, true).map(({ rule }) => rule)).toEqual(["total_measured"]);
    expect(judgeTotals([completed()], 1000, LIMITS, false)).toEqual([]);
  });
});

test("a failure names rule, window, figures and reasons", () => {
  const samples: Sample[] = [
    ...settled(1, 1, 5000),
    { kind: "stream_failed", atMs: 5000, reason: "a gap of 3 events" },
  ];
  expect(judgeWindow(samples, 12, LIMITS).map(failureLine)).toEqual([
    "window_resume_success (2 to 12 s): 50.00 %, limit 95.00 %; 1 of 2 resumes failed: a gap of 3 events",
  ]);
});

describe("the self-test", () => {
  test("has a fault for every rule, and a run without one", () => {
    const all: Record<Rule, true> = {
      window_resume_success: true,
      window_trim_rate: true,
      window_resume_latency: true,
      window_error_rate: true,
      total_resume_success: true,
      total_trim_rate: true,
      total_resume_p95: true,
      total_memory_growth: true,
      total_measured: true,
    };
    const expected = new Set(SCENARIOS.map(({ expects }) => expects));
    expect(expected).toEqual(new Set([undefined, ...Object.keys(all)]));
  });

  test("tells a gate that passes, fails for another reason, too early or too late", () => {
    const scenario = SCENARIOS.find(({ expects }) => expects === "window_resume_success");
    if (scenario === undefined) throw new Error("there is one");
    const failures = judgeWindow(settled(0, 1, 12_000), 13, LIMITS);
    const others = judgeWindow(errors(1, 1, 12_000), 13, LIMITS);
    expect(faultOf(scenario, { failures, endMs: 13_000 })).toBeUndefined();
    expect(faultOf(scenario, { failures: [], endMs: 60_000 })).toContain("passes in spite of");
    expect(faultOf(scenario, { failures: others, endMs: 13_000 })).toContain("window_error_rate instead");
    expect(faultOf(scenario, { failures: [...failures, ...others], endMs: 13_000 })).toContain("as well");
    expect(faultOf(scenario, { failures, endMs: 10_000 })).toContain("before there was a fault");
    expect(faultOf(scenario, { failures, endMs: 27_000 })).toContain("too late");
  });
});

function windowRules(samples: readonly Sample[], endSec: number): Rule[] {
  return judgeWindow(samples, endSec, LIMITS).map(({ rule }) => rule);
}

function totalRules(samples: readonly Sample[], seconds = 1): Rule[] {
  return judgeTotals(samples, seconds * 1000, LIMITS, false).map(({ rule }) => rule);
}

function settled(successes: number, failures: number, atMs: number): Sample[] {
  return Array.from({ length: successes + failures }, (_, at) => ({
    kind: "resume_settled",
    atMs,
    resume: at,
    isSuccess: at < successes,
  }));
}

/** Answered at once, having been sent so long before the run. */
function resumeOf(resume: number, tookMs: number): Sample[] {
  return [
    { kind: "resume_sent", atMs: -tookMs, resume },
    { kind: "resume_answered", atMs: 0, resume },
  ];
}

function slowOfHundred(slow: number): Sample[] {
  const resumes = Array.from({ length: 100 }, (_, resume) => resumeOf(resume, resume < slow ? 1001 : 10));
  return [...resumes.flat(), completed()];
}

function trims(received: number, missing: number, atMs: number): Sample[] {
  return [
    { kind: "events", atMs, count: received },
    { kind: "gap", atMs, missing },
  ];
}

function errors(requests: number, count: number, atMs: number): Sample[] {
  return [
    ...Array.from({ length: requests }, (): Sample => ({ kind: "start_requested", atMs })),
    ...Array.from({ length: count }, (): Sample => ({ kind: "error", atMs, error: "start_refused" })),
  ];
}

/** A sample a second for a minute. */
function memory(megabytesAt: (second: number) => number): Sample[] {
  return Array.from({ length: 60 }, (_, second) => ({
    kind: "memory",
    atMs: second * 1000,
    megabytes: megabytesAt(second),
  }));
}

function completed(): Sample {
  return { kind: "stream_completed", atMs: 0 };
}
