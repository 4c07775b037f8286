/** The gate's rules G1–G3, each at its limit and just beyond. */
import { describe, expect, test } from "vitest";

import { faultOf } from "../../bench/gate/self-test/expectation.ts";
import { SCENARIOS } from "../../bench/gate/self-test/scenarios.ts";
import { failureLine, judgeTotals, judgeWindow, type Asked, type Rule } from "../../bench/gate/judge.ts";
import { DEFAULT_LIMITS } from "../../bench/gate/limits.ts";
import { memoryGrowthOf } from "../../bench/gate/memory-growth.ts";
import type { Sample } from "../../bench/gate/samples.ts";

const LIMITS = DEFAULT_LIMITS;
/** Nothing but what the samples of a case are about. */
const ASKED: Asked = { seconds: 60, streams: 0, isCutting: false, measuresMemory: false, measuresTrims: false };

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

  test("but of the last one, where the run ends", () => {
    const rulesAt = (endSec: number) => judgeWindow(errors(1, 500, 5000), endSec, LIMITS, true).map(({ rule }) => rule);
    expect(windowRules(errors(1, 500, 5000), 9.5)).toEqual([]);
    expect(rulesAt(9.5)).toEqual(["window_error_rate"]);
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
    expect(windowRules(sent, 16)).toEqual([]);
    expect(windowRules(sent, 17)).toEqual(["window_resume_latency"]);
  });

  test("fails although it was answered in the end", () => {
    // From the cut: a reader that is long in asking is away as well.
    expect(windowRules(answered(16_800), 18)).toEqual([]);
    expect(windowRules(answered(16_801), 18)).toEqual(["window_resume_latency"]);
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
    expect(askedRules([completed()], { isCutting: true })).toEqual(["total_measured"]);
    expect(askedRules([completed()], {})).toEqual([]);
  });

  test("G3: memory that was to be measured and was not, and buffers that never overflowed", () => {
    expect(askedRules([completed()], { measuresMemory: true })).toEqual(["total_measured"]);
    expect(askedRules([...memory(() => 100), completed()], { measuresMemory: true })).toEqual([]);
    const trim: Sample = { kind: "trim", atMs: 1, events: 9, unread: 0 };
    expect(askedRules([completed()], { measuresTrims: true })).toEqual(["total_measured"]);
    expect(askedRules([completed(), { kind: "events", atMs: 1, count: 9 }, trim], { measuresTrims: true })).toEqual([]);
  });

  test("errors: 1 % of all requests pass, more does not", () => {
    expect(totalRules([...errors(100, 1, 500), completed()])).toEqual([]);
    expect(totalRules([...errors(99, 1, 500), completed()])).toEqual(["total_error_rate"]);
  });

  test("streams: 98 % whole pass, less does not, though nobody was cut and nothing is an error", () => {
    expect(totalRules(streams(98, 2))).toEqual([]);
    expect(totalRules(streams(97, 3))).toEqual(["total_stream_success"]);
  });

  test("memory for each request, though there is not much of it altogether", () => {
    expect(totalRules([...grown(LIMITS.memoryKbPerRequest - 1), completed()], 60)).toEqual([]);
    expect(totalRules([...grown(LIMITS.memoryKbPerRequest + 1), completed()], 60)).toEqual([
      "total_memory_per_request",
    ]);
    const short = judgeTotals([...grown(9000), completed()], 60_000, LIMITS, { ...ASKED, seconds: 20 });
    expect(short.map(({ rule }) => rule)).toEqual(["total_memory_growth"]);
  });

  describe("the load that was asked for", () => {
    const asked = { streams: 50, seconds: 60 };

    test("90 % of the streams and of their events pass, less does not", () => {
      expect(askedRules(load({ live: 45, receivedPerSec: 900 }), asked)).toEqual([]);
      expect(askedRules(load({ live: 44, receivedPerSec: 1000 }), asked)).toEqual(["total_load"]);
      expect(askedRules(load({ live: 50, receivedPerSec: 447 }), asked)).toEqual(["total_load"]);
    });

    test("what was not seen at all is not enough", () => {
      expect(askedRules([completed()], asked)).toEqual(["total_load"]);
    });

    test("before streams have begun and after they are asked for nothing counts", () => {
      const ended: Sample = { kind: "live", atMs: 61_000, streams: 0, offeredPerSec: 0 };
      const began: Sample = { kind: "live", atMs: 500, streams: 3, offeredPerSec: 1000 };
      expect(askedRules([began, ...load({ live: 50, receivedPerSec: 1000 }), ended], asked)).toEqual([]);
    });
  });

  describe("G4: a figure that is no number", () => {
    const lost: readonly Sample[] = trims(100, 900, 500);
    const broken: Sample = { kind: "gap", atMs: 500, missing: Number.NaN };

    test("switches no rule off", () => {
      expect(windowRules([...lost, broken], 10)).toEqual(["window_trim_rate"]);
      expect(totalRules([...lost, broken, completed()])).toEqual(["total_trim_rate", "total_measured"]);
      expect(windowRules([...lost, { kind: "trim", atMs: 500, events: 1, unread: Number.NaN }], 10)).toEqual([
        "window_trim_rate",
      ]);
      const sent: Sample[] = [...resumeOf(1, Number.NaN), completed()];
      expect(totalRules(sent)).toContain("total_measured");
    });

    test("nor does what could not be read at all", () => {
      expect(totalRules([{ kind: "unreadable", atMs: 1, what: "a gap" }, completed()])).toEqual(["total_measured"]);
    });
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
      total_error_rate: true,
      total_stream_success: true,
      total_load: true,
      total_memory_per_request: true,
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
  return judgeTotals(samples, seconds * 1000, LIMITS, ASKED).map(({ rule }) => rule);
}

function askedRules(samples: readonly Sample[], asked: Partial<Asked>): Rule[] {
  return judgeTotals(samples, 60_000, LIMITS, { ...ASKED, ...asked }).map(({ rule }) => rule);
}

function streams(whole: number, failed: number): Sample[] {
  return [
    ...Array.from({ length: whole }, completed),
    ...Array.from({ length: failed }, (): Sample => ({ kind: "stream_failed", atMs: 1, reason: "a gap of 0" })),
  ];
}

/** So much for each request, of which there is one a second. */
function grown(kilobytes: number): Sample[] {
  return memory((sec) => 100 + (sec * kilobytes) / 1024).flatMap((sample) => [
    { kind: "start_requested", atMs: sample.atMs },
    sample,
  ]);
}

/** A minute of it, 1,000 events a second being offered. */
function load({ live, receivedPerSec }: { readonly live: number; readonly receivedPerSec: number }): Sample[] {
  const seconds = Array.from({ length: 60 }, (_, second): Sample[] => [
    { kind: "events", atMs: second * 1000, count: receivedPerSec },
    { kind: "live", atMs: second * 1000, streams: live, offeredPerSec: 1000 },
  ]);
  return [...seconds.flat(), completed()];
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
