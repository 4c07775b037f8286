/**
 * The dashboard from stored results to its page: what is read of each kind, what is skipped, what is compared with
 * what, and that the page is whole, escaped and asks nobody for anything.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, describe, expect, it, vi } from "vitest";

import { dashboardPage } from "../../bench/dashboard/page.ts";
import { runDashboard } from "../../bench/dashboard/program.ts";
import { readResult, type Reading } from "../../bench/dashboard/readings.ts";
import { regressionsOf, trendsOf } from "../../bench/dashboard/trends.ts";

const MACHINE = { cores: 4, cpu: "AMD EPYC 7763", platform: "linux x64" };
const DAY_MS = 86_400_000;
const FIRST_MS = Date.UTC(2026, 10, 1, 2);

function gateResult(day: number, p95Ms: number, changes: object = {}): object {
  return {
    kind: "sse-live",
    date: new Date(FIRST_MS + day * DAY_MS).toISOString(),
    verdict: "passed",
    machine: { ...MACHINE, load_average: day / 10 },
    options: { seconds: 60, streams: 50, rate: 20 },
    summary: { resume_success_rate: 1, resume_latency_ms: { p50: 8, p95: p95Ms } },
    ...changes,
  };
}

function readingOf(result: unknown, file = "a.json"): Reading {
  const outcome = readResult(JSON.stringify(result), file);
  if (outcome.kind !== "read") throw new Error(JSON.stringify(outcome));
  return outcome.reading;
}

function valuesOf(result: unknown): Readonly<Record<string, number>> {
  return Object.fromEntries(readingOf(result).measures.map(({ id, value }) => [id, value]));
}

function pageOf(readings: readonly Reading[], more: object = {}): string {
  const trends = trendsOf(readings);
  const where = { folders: ["perf-results"], madeAtMs: FIRST_MS, rawFolder: "raw-results" };
  return dashboardPage({ readings, trends, skipped: [], ...where, ...more });
}

describe("what is read", () => {
  it("of the gate: latency, rates in percent, memory, throughput; and how it was run", () => {
    const summary = {
      resume_success_rate: 1,
      buffer_trim_rate: 0,
      resume_latency_ms: { p50: 8, p95: 21 },
      memory_mb: { max: 160 },
      throughput_events_per_sec: 1000,
    };
    expect(valuesOf(gateResult(0, 21, { summary }))).toMatchObject({
      "gate-resume-p95": 21,
      "gate-resume success": 100,
      "gate-trim rate": 0,
      "gate-memory-max": 160,
      "gate-throughput": 1000,
    });
    expect(readingOf(gateResult(0, 21)).runClass).toBe("4 × AMD EPYC 7763, linux x64, 60 s, 50 streams, 20 events/s");
  });

  it("of peers: the ratios, but none with a flaw", () => {
    const result = {
      kind: "peers",
      date: "2026-11-21T23:00:00",
      machine: MACHINE,
      ratios: [
        { metric: "fan-out-200", peer: "nchan", ratio: { median: 1.4 }, isFlawed: false },
        { metric: "fan-out-200", peer: "bare-do", ratio: { median: 9 }, isFlawed: true },
      ],
    };
    expect(valuesOf(result)).toEqual({ "peers-fan-out-200-nchan": 1.4 });
    expect(readingOf(result).atMs).toBe(Date.UTC(2026, 10, 21, 23));
    expect(readingOf({ ...result, isQuick: true }).runClass).toContain("quick");
  });

  it("of the soak its slope and what is left; of the benchmark, which does not say what it is, its first figures", () => {
    const soak = {
      kind: "soak",
      date: "2026-11-21T03:00:00Z",
      options: { minutes: 10 },
      summary: { streams: 200, streams_complete: 199, memory_kb_per_stream: { theil_sen: -0.2 } },
    };
    expect(valuesOf(soak)).toEqual({ "soak-kb-per-stream": -0.2, "soak-complete": 99.5 });
    const bench = {
      date: "2026-11-21T15:34:26",
      oneReader: [{ bytes: 200, batch: 1, eventsPerSec: { spillway: { median: 42_200 } } }],
      latency: [],
    };
    expect(valuesOf(bench)).toEqual({ "bench-one-reader-200 bytes, 1 a chunk": 42_200 });
  });

  it("of the nightly simulation what it reached and what it missed, but of no half run", () => {
    const nightly = {
      at: "2026-11-21T04:00:00.000Z",
      workers: 4,
      seeds_per_sec: { stream: 40, lake: 12 },
      coverage: [{ title: "streams", reached: 70, possible: 80 }],
      failures: [{}],
      mutants: [{ caught: true }, { caught: false }],
    };
    expect(valuesOf(nightly)).toEqual({
      "sim-rate-stream": 40,
      "sim-rate-lake": 12,
      "sim-cells-streams": 70,
      "sim-failures": 1,
      "sim-survivors": 1,
    });
    expect(readingOf(nightly)).toMatchObject({ kind: "sim-nightly", verdict: "failed" });
    expect(readingOf({ ...nightly, is_complete: false })).toMatchObject({ verdict: "failed", measures: [] });
    const half = readingOf({ ...nightly, is_complete: false, failures: [] });
    expect(half).toMatchObject({ verdict: "interrupted", measures: [] });
  });

  it("numbers that are none are not read", () => {
    const summary = { resume_success_rate: null, resume_latency_ms: { p95: "21", p50: 3 }, memory_mb: null };
    expect(valuesOf(gateResult(0, 0, { summary }))).toEqual({ "gate-resume-p50": 3 });
  });

  it.each([
    ["{", "no JSON"],
    ["[]", "no result that is known here"],
    ['{"kind": "weather", "date": "2026-11-21"}', "kind weather"],
    ['{"kind": "sse-live", "summary": {"resume_success_rate": 1}}', "no date"],
    ['{"kind": "sse-live", "date": "2026-11-21T00:00:00Z", "summary": {}}', "no figure"],
  ])("%s is broken: %s", (text, problem) => {
    expect(readResult(text, "a.json")).toEqual({
      kind: "broken",
      problem: expect.stringContaining(problem) as unknown,
    });
  });

  it("what lies beside the gate's results is passed over", () => {
    expect(readResult('{"kind": "sse-live-windowed"}', "a.json")).toEqual({ kind: "ignored" });
  });
});

describe("what is compared", () => {
  const steady = Array.from({ length: 6 }, (_, day) => readingOf(gateResult(day, 20 + (day % 3)), `${day}.json`));

  it("a run that is worse than those before it", () => {
    const worse = regressionsOf(trendsOf([readingOf(gateResult(6, 44), "6.json"), ...steady]));
    expect(worse.map(({ spec, latest }) => [spec.id, latest.value])).toEqual([["gate-resume-p95", 44]]);
  });

  it("but not one on another machine, or with another load", () => {
    const other = { machine: { ...MACHINE, cpu: "Intel Xeon" } };
    const longer = { options: { seconds: 600, streams: 500, rate: 20 } };
    for (const changes of [other, longer]) {
      expect(regressionsOf(trendsOf([...steady, readingOf(gateResult(6, 44, changes))]))).toEqual([]);
    }
  });

  it("nor one of which another share was cut, or of another service, or of other seeds", () => {
    const options = { seconds: 60, streams: 50, rate: 20 };
    const classOf = (more: object) => readingOf(gateResult(0, 20, { options: { ...options, ...more } })).runClass;
    const gates = [{}, { cut_share: 0.5 }, { cut_share: 0.9 }, { url: "http://other", route: "a" }];
    expect(new Set(gates.map(classOf)).size).toBe(4);
    const nightly = {
      at: "2026-11-21T04:00:00Z",
      seeds_per_sec: {},
      coverage: [{ title: "cells", reached: 7 }],
      machine: MACHINE,
    };
    const nightClassOf = (first: number, last: number, stream: number) =>
      readingOf({ ...nightly, range: { first, last }, seeds: { stream, lake: 0 } }).runClass;
    expect(nightClassOf(1, 100, 100)).not.toBe(nightClassOf(1, 20_000, 20_000));
    expect(nightClassOf(1, 20_000, 20_000)).toBe(nightClassOf(20_001, 40_000, 19_000));
    expect(nightClassOf(1, 100, 100)).toContain("4 × AMD EPYC 7763");
  });

  it("nor one that failed fast: it is told, and its figures are left out", () => {
    const cutShort = gateResult(0, 20, { verdict: "failed", seconds_run: 11 });
    expect(readingOf(cutShort)).toMatchObject({ verdict: "failed", measures: [] });
    expect(readingOf(gateResult(0, 20, { seconds_run: 61 })).measures).not.toEqual([]);
  });

  it("and a regression names the commit that it ran, wherever a result has it", () => {
    expect(readingOf(gateResult(0, 20, { versions: { commit: "abc1234" } })).commit).toBe("abc1234");
    expect(readingOf(gateResult(0, 20, { commit: "abc1234", dirty: true })).commit).toBe("abc1234+");
    expect(readingOf(gateResult(0, 20, { versions: { commit: null } })).commit).toBeUndefined();
    const html = pageOf([...steady, readingOf(gateResult(6, 44, { versions: { commit: "abc1234" } }), "6.json")]);
    expect(html).toContain("commit abc1234)</li>");
    expect(html).toContain("<td>abc1234</td>");
  });

  it("a copy of a run counts once", () => {
    const twice = trendsOf([...steady, ...steady.map((reading) => ({ ...reading, file: `copy/${reading.file}` }))]);
    expect(twice[0]?.points).toHaveLength(6);
  });
});

function filesOf(results: readonly object[]): Readonly<Record<string, string>> {
  return Object.fromEntries(results.map((result, at) => [`${at}.json`, JSON.stringify(result)]));
}

/** Elements that must be closed, each closed where it has to be. */
function findUnclosed(html: string): string[] {
  const open: string[] = [];
  const faults: string[] = [];
  for (const [, slash, name = "", rest = ""] of html.matchAll(/<(\/?)([a-zA-Z][\w]*)((?:"[^"]*"|'[^']*'|[^"'>])*)>/g)) {
    if (/^(?:meta|br|hr|img|input|link)$/i.test(name) || rest.endsWith("/")) continue;
    if (slash === "") open.push(name);
    else if (open.pop() !== name) faults.push(name);
  }
  return [...faults, ...open];
}

describe("the page", () => {
  it("is well formed, marks the regression, and links to the raw result", () => {
    const days = Array.from({ length: 8 }, (_, day) => readingOf(gateResult(day, day === 7 ? 50 : 20), `${day}.json`));
    const html = pageOf(days);
    expect(findUnclosed(html)).toEqual([]);
    expect(findUnclosed("<p><b>x</p>")).not.toEqual([]);
    expect(html).toContain('<li class="regression">Gate: resume latency, p95: 50 ms (usually 20');
    expect(html).toContain('<td class="regression">regression</td><td><a href="raw-results/7.json">');
    expect(html.match(/<svg /g)?.length).toBe(2);
  });

  it("asks nobody for anything, and runs nothing", () => {
    const html = pageOf([0, 1, 2].map((day) => readingOf(gateResult(day, 20), `${day}.json`)));
    const addresses = [...html.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, address = ""]) => address);
    expect(addresses.every((address) => address.startsWith("raw-results/"))).toBe(true);
    expect(html.replaceAll(/xmlns(?::\w+)?="http:\/\/www\.w3\.org\/[^"]*"/g, "")).not.toMatch(/https?:|\/\/[a-z]/);
    expect(html).not.toMatch(/<script|\son\w+=|@import|url\((?!#)/i);
  });

  it("nothing in a result becomes markup", () => {
    const evil = '"><img src=x onerror=alert(1)>&';
    const result = gateResult(0, 20, { verdict: evil, machine: { ...MACHINE, cpu: evil } });
    const peers = {
      kind: "peers",
      date: "2026-11-21T23:00:00",
      metrics: [{ id: "x", label: evil }],
      ratios: [{ metric: "x", peer: evil, ratio: { median: 2 } }],
    };
    const again = { ...peers, date: "2026-11-22T23:00:00" };
    const readings = [readingOf(result, `${evil}.json`), readingOf(peers), readingOf(again)];
    const html = pageOf(readings, { skipped: [{ file: evil, problem: evil }], folders: [evil] });
    expect(html).not.toContain("<img");
    expect(findUnclosed(html)).toEqual([]);
  });

  it("with a single result shows it, and says that there is nothing to compare it with", () => {
    const html = pageOf([readingOf(gateResult(0, 20))]);
    expect(html).toContain("One stored run");
    expect(html).toContain("too few");
    expect(html).not.toContain("<svg");
  });

  it("with none says where it looked", () => {
    const html = pageOf([]);
    expect(html).toContain("No stored result was found in <code>perf-results</code>");
    expect(findUnclosed(html)).toEqual([]);
  });
});

describe("the program", () => {
  const made: string[] = [];
  const said: string[] = [];

  afterEach(() => {
    vi.restoreAllMocks();
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
    said.splice(0);
  });

  function run(...args: string[]): number {
    for (const stream of ["log", "error"] as const) {
      vi.spyOn(console, stream).mockImplementation((line: string) => void said.push(line));
    }
    return runDashboard(args, () => FIRST_MS);
  }

  function folderWith(files: Readonly<Record<string, string>>): string {
    const folder = mkdtempSync(join(tmpdir(), "spillway-dashboard-"));
    made.push(folder);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return folder;
  }

  const days = Object.fromEntries(
    Array.from({ length: 6 }, (_, day) => [`old/${day}.json`, JSON.stringify(gateResult(day, day === 5 ? 60 : 20))]),
  );

  it("writes the page and the raw results, names what it skips, and fails where it is asked to", () => {
    const folder = folderWith({ ...days, "torn.json": "{" });
    const out = join(folder, "page");
    expect(run("--results", folder, "--out", out)).toBe(0);
    expect(run("--results", join(folder, "old"), "--out", out, "--fail")).toBe(1);
    expect(readFileSync(join(out, "index.html"), "utf8")).toContain("raw-results/5.json");
    expect(JSON.parse(readFileSync(join(out, "raw-results/5.json"), "utf8"))).toEqual(gateResult(5, 60));
    expect(said.join("\n")).toContain(`skipped ${join(folder, "torn.json")}: no JSON`);
    expect(said.join("\n")).toContain("- Gate: resume latency, p95: 60 ms");
  });

  it("refuses folders that are not there, or are none, and says so of a folder without a result", () => {
    const folder = folderWith({ "a.json": "{}" });
    for (const name of ["none", "a.json"]) {
      expect(run("--results", join(folder, name), "--out", join(folder, "page"), "--fail")).toBe(2);
      expect(said.pop()).toContain("--results takes a folder that is there");
    }
    expect(run("--results", folderWith({}), "--out", join(folder, "page"), "--fail")).toBe(0);
    expect(said).toContain("No stored result was found.");
  });

  it("names and skips what cannot be read, and goes on", () => {
    const folder = folderWith(days);
    mkdirSync(join(folder, "folder.json"));
    symlinkSync(join(folder, "folder.json"), join(folder, "link-to-folder.json"));
    symlinkSync(join(folder, "gone"), join(folder, "dangling.json"));
    expect(run("--results", folder, "--out", join(folder, "page"))).toBe(0);
    expect(said.filter((line) => line.startsWith("skipped")).map((line) => line.replace(/:.*? E/, ": E"))).toEqual([
      expect.stringContaining("dangling.json: ENOENT") as unknown,
      expect.stringContaining("link-to-folder.json: EISDIR") as unknown,
    ]);
    expect(readFileSync(join(folder, "page/index.html"), "utf8")).toContain("dangling.json");
  });

  it("leaves out its own copies, so that it works again and again beside the results", () => {
    const folder = folderWith(days);
    const args = ["--results", folder, "--out", join(folder, "a-page")];
    for (let time = 0; time < 3; time++) expect(run(...args)).toBe(0);
    expect(said.filter((line) => line.includes("index.html: 6 runs"))).toHaveLength(3);
    expect(readdirSync(join(folder, "a-page/raw-results"), { recursive: true })).toHaveLength(7);
  });

  it("names a latest run that failed, before anything else, and fails where it is asked to", () => {
    const steady = Array.from({ length: 6 }, (_, day) => gateResult(day, 20, day === 5 ? { verdict: "failed" } : {}));
    const folder = folderWith(filesOf(steady));
    expect(run("--results", folder, "--out", join(folder, "page"), "--fail")).toBe(1);
    expect(said.join("\n")).toContain("Latest runs that failed:\n\n- sse-live, 2026-11-06 02:00 UTC: failed (4 ×");
    expect(readFileSync(join(folder, "page/index.html"), "utf8")).toContain(
      '<li class="regression">sse-live, 2026-11-06',
    );
    // The one after it has passed.
    const mended = folderWith(filesOf([...steady, gateResult(6, 20)]));
    expect(run("--results", mended, "--out", join(mended, "page"), "--fail")).toBe(0);
  });

  it("never empties a folder of results that no earlier page made", () => {
    const folder = folderWith({ ...days, "raw-results/mine.json": "{}" });
    expect(run("--results", join(folder, "old"), "--out", folder)).toBe(2);
    expect(said[0]).toContain("--out");
    expect(readFileSync(join(folder, "raw-results/mine.json"), "utf8")).toBe("{}");
  });

  it("does not empty the folder that it reads", () => {
    const folder = folderWith({ "raw-results/1.json": JSON.stringify(gateResult(0, 20)) });
    expect(run("--results", join(folder, "raw-results"), "--out", folder)).toBe(2);
    expect(said[0]).toContain("--results");
    expect(JSON.parse(readFileSync(join(folder, "raw-results/1.json"), "utf8"))).toEqual(gateResult(0, 20));
  });

  it("names the option at fault", () => {
    expect(run("--colour")).toBe(2);
    expect(run("--out", "")).toBe(2);
    expect(run("--help")).toBe(0);
    expect(said.join("\n")).toContain("--colour");
  });
});
