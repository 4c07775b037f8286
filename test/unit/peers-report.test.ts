/** The comparison's figures: ratios by direction, flaws that are seen, expectations judged as they are. */
import { describe, expect, test } from "vitest";

import type { TakenSample } from "../../bench/peers/comparison.ts";
import { METRICS } from "../../bench/peers/measures/samples.ts";
import { judge } from "../../bench/peers/report/expectations.ts";
import { figuresOf, ratiosOf, slowestOf } from "../../bench/peers/report/figures.ts";
import { toMarkdown } from "../../bench/peers/report/markdown.ts";
import { toPage } from "../../bench/peers/report/page.ts";
import type { Expectation, PeersReport } from "../../bench/peers/report/shape.ts";
import type { SystemFacts, SystemName } from "../../bench/peers/system.ts";

const SYSTEMS: readonly SystemName[] = ["spillway", "bare-do", "nchan", "redis-streams"];

function samples(metric: string, values: Readonly<Partial<Record<SystemName, readonly number[]>>>): TakenSample[] {
  return SYSTEMS.flatMap((system) =>
    (values[system] ?? []).map((value, round): TakenSample => ({ metric, system, round, value, flaws: [] })),
  );
}

const SAMPLES = [
  ...samples("fan-out-200", { spillway: [100, 300, 200], "redis-streams": [200, 200, 200], nchan: [50, 100, 400] }),
  ...samples("replay-256-first", { spillway: [3, 3, 3], "bare-do": [2, 1, 1], nchan: [6, 6, 6] }),
  ...samples("append-1", { spillway: [9000, 9000, 9000] }),
];

function factsOf(name: SystemName): SystemFacts {
  return {
    name,
    label: name === "spillway" ? "Spillway" : name,
    versions: "1.2.3 | pinned",
    durability: "memory",
    producing: name === "spillway" || name === "bare-do" ? "source" : "append",
    cannot: [],
    notes: ["a <note>"],
  };
}

function judged(taken: readonly TakenSample[], own: Partial<SystemFacts> = {}): Expectation[] {
  const names: readonly SystemName[] = [...SYSTEMS, "orpc-publisher"];
  const figures = figuresOf(taken, names);
  const systems = names.map((name) => ({ ...factsOf(name), ...(name === "spillway" ? own : {}) }));
  return judge({ figures, ratios: ratiosOf(figures), systems });
}

/** Of each expectation. */
function verdicts(taken: readonly TakenSample[]): Record<string, string> {
  return Object.fromEntries(judged(taken).map(({ id, verdict }) => [id, verdict]));
}

function flawedOf(system: SystemName): TakenSample[] {
  return SAMPLES.map((sample) => ({ ...sample, flaws: sample.system === system ? ["150 of 200 lacked events"] : [] }));
}

function cellCount(line: string): number {
  return line.split(/(?<!\\)\|/).length;
}

function reportOf(taken: readonly TakenSample[]): PeersReport {
  const figures = figuresOf(taken, SYSTEMS);
  const ratios = ratiosOf(figures);
  const systems = SYSTEMS.filter((name) => taken.some(({ system }) => system === name)).map(factsOf);
  return {
    kind: "peers",
    version: 2,
    date: "2026-11-21T23:00:00",
    command: "npm run bench:peers",
    isQuick: false,
    rounds: 3,
    durationSec: 600,
    machine: {
      cores: 2,
      cpu: "x",
      memoryGb: 24,
      platform: "linux",
      node: "v24",
      workerd: "w",
      commit: "abc1234",
      loadBefore: 0,
      loadAfter: 1,
    },
    systems,
    missing: [{ name: "orpc-publisher", reason: "no network" }],
    failures: [{ system: "nchan", measure: "memory", round: 1, detail: "broke\noff" }],
    metrics: METRICS,
    figures,
    ratios,
    expectations: judge({ figures, ratios, systems }),
  };
}

describe("figures and ratios", () => {
  test("medians with the least and the most, and ratios of the same rounds", () => {
    const figures = figuresOf(SAMPLES, SYSTEMS);
    expect(figures.find(({ system }) => system === "spillway")?.metric).toBe("append-1");
    const fanOut = figures.find(({ metric, system }) => metric === "fan-out-200" && system === "spillway");
    expect(fanOut?.value).toEqual({ median: 200, min: 100, max: 300 });
    const ratio = ratiosOf(figures).find(({ metric, peer }) => metric === "fan-out-200" && peer === "nchan");
    expect(ratio?.ratio).toEqual({ median: 2, min: 0.5, max: 3 });
  });

  test("above 1 is better for Spillway, for times as well", () => {
    const ratios = ratiosOf(figuresOf(SAMPLES, SYSTEMS)).filter(({ metric }) => metric === "replay-256-first");
    expect(ratios.map(({ peer, ratio }) => [peer, ratio.median])).toEqual([
      ["bare-do", 1 / 3],
      ["nchan", 2],
    ]);
  });

  test("the slowest, the worst first, those of flawed runs among them", () => {
    const worst = () => slowestOf(ratiosOf(figuresOf(taken, SYSTEMS)), 9).map((one) => [one.peer, one.isFlawed]);
    let taken: TakenSample[] = [...SAMPLES, ...samples("live-p50", { spillway: [4], nchan: [3] })];
    expect(worst()).toEqual([
      ["bare-do", false],
      ["nchan", false],
    ]);
    taken = taken.map((sample) =>
      sample.system === "bare-do" ? { ...sample, flaws: ["2 of 9 lacked events"] } : sample,
    );
    expect(worst()).toEqual([
      ["bare-do", true],
      ["nchan", false],
    ]);
  });

  test("no ratio is made of what cannot be divided", () => {
    const taken = samples("memory-idle", { spillway: [5, -1, 4], nchan: [10, 10, 0] });
    expect(ratiosOf(figuresOf(taken, SYSTEMS))).toMatchObject([{ ratio: { median: 2, min: 2, max: 2 } }]);
    const nothing = samples("live-p50", { spillway: [Number.NaN], nchan: [1] });
    expect(ratiosOf(figuresOf(nothing, SYSTEMS))).toEqual([]);
    expect(figuresOf(nothing, SYSTEMS)[0]).toMatchObject({ rounds: [], flaws: ["nothing arrived"] });
    // As JSON it would be null, which nobody expects.
    expect(JSON.stringify(figuresOf(nothing, SYSTEMS))).not.toContain("null");
    expect(toMarkdown(reportOf(nothing))).toMatch(/live delivery, 100 events\/s, p50 \| ms \| less \| – ⚠/);
  });
});

describe("expectations", () => {
  test("met, missed and not measured, each as it is", () => {
    expect(verdicts(SAMPLES)).toEqual({
      "redis-fan-out-50": "not measured",
      "redis-fan-out-200": "met",
      "bare-replay-256": "missed",
      "bare-replay-1000": "not measured",
      "recorded-append-1": "not comparable",
      "recorded-fan-out-200": "missed",
    });
  });

  test("judged by the median of the rounds' ratios, as the table, and not by the quotient of medians", () => {
    // Of medians it would be 180 / 100 and 30 / 10.
    const taken = [
      ...samples("replay-256-first", { spillway: [90, 180, 210], "bare-do": [100, 85, 100] }),
      ...samples("fan-out-200", { spillway: [30, 30, 5], "redis-streams": [40, 10, 10] }),
    ];
    const found = new Map(judged(taken).map((one) => [one.id, one]));
    expect(found.get("bare-replay-256")).toMatchObject({ verdict: "missed", got: expect.closeTo(2.1, 9) as number });
    expect(found.get("redis-fan-out-200")).toMatchObject({ verdict: "missed", got: 0.75 });
    expect(found.get("redis-fan-out-200")?.detail).toBe("spillway 30, redis-streams 10: ×0.75 (0.5 to 3)");
  });

  test("what Spillway did not deliver whole does not meet anything", () => {
    const judgement = judged(flawedOf("spillway"));
    expect(judgement.map(({ verdict }) => verdict)).not.toContain("met");
    const fanOut = judgement.find(({ id }) => id === "redis-fan-out-200");
    expect(fanOut).toMatchObject({ verdict: "missed", reason: "spillway was not whole: 150 of 200 lacked events" });
  });

  test("what delivered nothing at all has missed, too", () => {
    const taken = [...samples("fan-out-200", { spillway: [Number.NaN], "redis-streams": [1] })];
    const fanOut = judged(taken).find(({ id }) => id === "redis-fan-out-200");
    expect(fanOut).toMatchObject({ verdict: "missed", reason: "spillway was not whole: nothing arrived" });
  });

  test("what the other did not deliver whole is nothing to compare with", () => {
    const found = judged(flawedOf("redis-streams")).find(({ id }) => id === "redis-fan-out-200");
    expect(found).toMatchObject({
      verdict: "not comparable",
      reason: "redis-streams was not whole: 150 of 200 lacked events",
    });
  });

  describe("another server on Durable Objects that runs here is compared with as well", () => {
    const taken: TakenSample[] = [
      ...SAMPLES,
      { metric: "append-1", system: "orpc-publisher", round: 0, value: 1000, flaws: [] },
    ];

    test("but not what is read from a source with what is appended", () => {
      const found = judged(taken).filter(({ text }) => text.startsWith("append rate"));
      expect(found.map(({ id, verdict, got }) => [id, verdict, got])).toEqual([
        ["orpc-publisher-append-1", "not comparable", undefined],
        ["recorded-append-1", "not comparable", undefined],
      ]);
      expect(found[0]?.reason).toMatch(/^Spillway has no append API yet/);
      expect(found[0]?.detail).toBe(
        "spillway 9,000 events/s read from a source (memory); orpc-publisher 1,000 events/s answered one by one (memory)",
      );
    });

    test("appends with appends, once Spillway is appended to", () => {
      const found = judged(taken, { producing: "append" }).filter(({ text }) => text.startsWith("append rate"));
      expect(found.map(({ verdict, got }) => [verdict, got])).toEqual([
        ["met", 9],
        ["met", 6],
      ]);
    });
  });
});

describe("the report", () => {
  const flawed = SAMPLES.map((sample) =>
    sample.system === "nchan" && sample.round === 1 ? { ...sample, flaws: ["3 of 200 readers lacked events"] } : sample,
  );
  const markdown = toMarkdown(reportOf(flawed));

  test("marks the figure of a run in which something was missing, and says what", () => {
    expect(markdown).toContain("100 (50 to 400) ⚠ **×2**");
    expect(markdown).toMatch(/## Not whole[^]*nchan \| 3 of 200 readers lacked events/);
    expect(toMarkdown(reportOf(SAMPLES))).not.toContain("## Not whole");
  });

  test("a ratio of a run that was not whole stays among the slowest, marked on the side that it was of", () => {
    const slow = reportOf([
      { metric: "streams-p99", system: "spillway", round: 0, value: 900, flaws: ["1 of 200 streams lacked events"] },
      { metric: "streams-p99", system: "nchan", round: 0, value: 3, flaws: [] },
    ]);
    expect(toMarkdown(slow)).toMatch(/delivery p99 \| nchan \| ×0\.00333 .*⚠ \| 900 ms ⚠ \| 3 ms \|/);
  });

  test("a run without Spillway says so, and not that it is behind nobody", () => {
    const text = toMarkdown(reportOf(SAMPLES.filter(({ system }) => system !== "spillway")));
    expect(text).toMatch(
      /## Where Spillway is slowest\s+Spillway was not measured\.\s+## Expected figures\s+Spillway was not/,
    );
    expect(text).not.toContain("behind");
    const alone = toMarkdown(reportOf(SAMPLES.filter(({ system }) => system === "spillway")));
    expect(alone).toContain("No peer was measured beside it.");
  });

  test("prints where Spillway is slowest, what was missed, and what failed", () => {
    expect(markdown).toMatch(/## Where Spillway is slowest[^]*replay of 256: first event \| bare-do \| ×0.333/);
    expect(markdown).toMatch(/≤ 2 \| 3 \| \*\*missed\*\*/);
    expect(markdown).toContain("| orpc-publisher | could not be had on this machine | no network |");
    expect(markdown).toContain("| nchan | memory, round 2 | broke off |");
    expect(markdown).toContain("`npm run bench:peers -- --only spillway,nchan`");
  });

  test("every row of a table has as many cells as its head", () => {
    for (const table of markdown.matchAll(/(?:^\|.*\n?)+/gm)) {
      const counts = table[0].trim().split("\n").map(cellCount);
      expect(new Set(counts).size).toBe(1);
    }
  });

  test("the page holds the same, with a chart of each metric measured", () => {
    const page = toPage(reportOf(flawed));
    expect(page.match(/<svg/g)).toHaveLength(3);
    expect(page).toContain("a &lt;note&gt;");
    expect(page).toMatch(/<text[^>]*>nchan ⚠</);
    for (const heading of ["Where Spillway is slowest", "Expected figures", "What failed"])
      expect(page).toContain(`<h2>${heading}</h2>`);
    expect(page).not.toContain("<script");
  });
});
