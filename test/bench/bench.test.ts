/**
 * The benchmark itself works: a quick run gives every figure, and what it measured was right. How
 * large the figures are is not for a test to say.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { beforeAll, describe, expect, test } from "vitest";

import type { Report } from "../../bench/lib/report.ts";

const BENCH = resolve(import.meta.dirname, "../../bench/run.ts");
/** Shorter than a hook may take: the benchmark, told to stop, clears up after itself. */
const TIMEOUT_MS = 55_000;
const run = promisify(execFile);

const LAKE_CASES = ["lake-encode", "lake-ingest", "lake-commits"];
const STREAM_CASES = ["one-reader", "latency", "many-readers", "resumes", "rows"];
const PRESSURE_CASES = ["memory", "trim-rate", "eviction", "relief"];

interface QuickRun {
  readonly report: Report;
  readonly printed: string;
  readonly markdown: string;
}

async function runQuickly(cases: readonly string[]): Promise<QuickRun> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-bench-test-"));
  try {
    const only = cases.flatMap((name) => ["--only", name]);
    const args = [BENCH, "--quick", ...only, "--out", folder];
    const { stdout: printed } = await run(process.execPath, args, { timeout: TIMEOUT_MS });
    const written = (extension: string) => {
      const [name = ""] = readdirSync(folder).filter((candidate) => candidate.endsWith(extension));
      return readFileSync(join(folder, name), "utf8");
    };
    // Written by the benchmark from this very type.
    return { report: JSON.parse(written(".json")) as Report, printed, markdown: written(".md") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("npm run bench -- --quick, streams", () => {
  let report: Report;
  let printed: string;
  let markdown: string;

  beforeAll(async () => {
    ({ report, printed, markdown } = await runQuickly(STREAM_CASES));
  });

  test("prints the table that it puts beside the JSON", () => {
    expect(markdown.trim()).toBe(printed.trim());
    for (const heading of ["One reader, unthrottled", "One reader, steady", "readers on one stream", "Rows written"]) {
      expect(printed).toContain(heading);
    }
  });

  test("one reader: events a second on every way, as ratios of the same rounds", () => {
    expect(report.oneReader).not.toHaveLength(0);
    for (const result of report.oneReader) {
      for (const spread of [...Object.values(result.eventsPerSec), result.ratio, result.ratioToScript]) {
        expectPositive(spread.min, spread.median, spread.max);
        expect(spread.min).toBeLessThanOrEqual(spread.median);
        expect(spread.median).toBeLessThanOrEqual(spread.max);
      }
    }
  });

  test("latency: percentiles of both ways, and what Spillway adds", () => {
    expect(report.latency).not.toHaveLength(0);
    for (const { spillwayMs, bareMs, ratio, addedMs } of report.latency) {
      for (const { p50, p99 } of [spillwayMs, bareMs]) {
        expectPositive(p50, p99);
        expect(p50).toBeLessThanOrEqual(p99);
      }
      expectPositive(ratio.p50, ratio.p99);
      expect(addedMs.p50).toBeCloseTo(spillwayMs.p50 - bareMs.p50, 6);
    }
  });

  test("many readers: delivered events of both ways", () => {
    expect(report.manyReaders).not.toHaveLength(0);
    for (const { spillway, bare, deliveredRatio, ratio } of report.manyReaders) {
      expectPositive(spillway.deliveredPerSec, bare.deliveredPerSec, deliveredRatio, ratio.p50, ratio.p99);
    }
  });

  test("B1, B2: no resume of many was incorrect, and those who came late were told what is missing", () => {
    expect(report.resumes).not.toHaveLength(0);
    for (const { faults, incorrect, lateResumes, missingEvents, resumes, resumesPerSec } of report.resumes) {
      expect([incorrect, faults]).toEqual([0, []]);
      expectPositive(lateResumes, missingEvents, resumes - lateResumes, resumesPerSec);
    }
  });

  test("rows: each kind adds up, and a stream writes segments, not events", () => {
    expect(report.rows).not.toHaveLength(0);
    for (const { rows, byKind, events } of report.rows) {
      expect(rows).toBe(Object.values(byKind).reduce((sum, count) => sum + count, 0));
      expectPositive(byKind.tables, byKind.state, byKind.segments, byKind.alarms);
      expect(rows).toBeLessThan(events / 4);
    }
  });

  test("B1, B2 under load: what was measured were whole streams, without gap or double", () => {
    expect(report.oneReader.flatMap(({ faults }) => faults)).toEqual([]);
    const broken = [...report.oneReader, ...report.latency].map(({ brokenStreams }) => brokenStreams);
    expect(Math.max(...broken)).toBe(0);
    expect(report.rows.every(({ isWhole }) => isWhole)).toBe(true);
    // A quick run sends fewer events than the buffer retains: however slow the machine, nobody falls out.
    for (const { spillway, bare, gaps } of report.manyReaders) {
      expect(spillway.completeReaders).toBe(spillway.allReaders);
      expect(bare.completeReaders).toBe(bare.allReaders);
      expect(gaps).toBe(0);
    }
  });
});

describe("npm run bench -- --quick, the buffer under pressure", () => {
  let report: Report;
  let printed: string;

  beforeAll(async () => {
    ({ report, printed } = await runQuickly(PRESSURE_CASES));
  });

  test("prints a table of each case", () => {
    const headings = ["Memory of live streams", "A chat of", "makes another give way", "Relief: steps", "Deflate"];
    for (const heading of headings) expect(printed).toContain(heading);
  });

  test("memory: full buffers beside idle streams, all of them open and whole", () => {
    expect(report.memory).not.toHaveLength(0);
    for (const { floor, full, retainedBytes, trimmedEvents, isWhole } of report.memory) {
      expect(isWhole).toBe(true);
      expectPositive(floor.isolateBytes.median, floor.processBytes.median, full.isolateBytes.median);
      expect(full.processBytes.median).toBeGreaterThan(full.isolateBytes.median);
      // Full: more came than fits, and what is kept is a segment short of the limit at most.
      expectPositive(trimmedEvents);
      expect(retainedBytes).toBeGreaterThan(1.5 * 2 ** 20 - 2 * 16_384);
    }
  });

  test("trim rate: with fold a late reader gets the whole text, without it the rest and how much is missing", () => {
    expect(report.trimRate).not.toHaveLength(0);
    for (const { folded, plain, cpuRatio } of report.trimRate) {
      expectPositive(cpuRatio.median, folded.rows, plain.rows, folded.foldedEvents);
      expect([folded.isLiveWhole, plain.isLiveWhole, folded.late.isWhole]).toEqual([true, true, true]);
      expect(folded.droppedEvents).toBe(0);
      expect(plain.late.isWhole).toBe(false);
      expectPositive(plain.droppedEvents, plain.late.share);
      expect(plain.late.missingEvents).toBe(plain.droppedEvents);
    }
  });

  test("eviction: an event out for each one in, at every size", () => {
    expect(report.eviction).not.toHaveLength(0);
    for (const { bufferUs, indexUs, mixedUs, isExact } of report.eviction) {
      expectPositive(bufferUs.median, indexUs.median, mixedUs.median);
      expect(isExact).toBe(true);
    }
  });

  test("relief: steps and turns of each kind, and steps save what they say", () => {
    expect(new Set(report.relief.map(({ place }) => place))).toEqual(new Set(["workerd", "process"]));
    for (const { wallMs, count } of report.relief) {
      expectPositive(count);
      expect(wallMs.p50).toBeLessThanOrEqual(wallMs.p99);
      expect(wallMs.p99).toBeLessThanOrEqual(wallMs.max);
    }
    for (const { bytes, savedBytes } of report.relief.filter(({ unit }) => unit === "step")) {
      expect(savedBytes).toBeGreaterThan(bytes / 4);
    }
    expect(report.deflate).not.toHaveLength(0);
    for (const { msPerMb, ratio } of report.deflate) {
      expectPositive(msPerMb.workerd.median, msPerMb.process.median, ratio);
      expect(ratio).toBeLessThan(0.6);
    }
  });
});

describe("npm run bench -- --quick, the lake", () => {
  let report: Report;
  let printed: string;

  beforeAll(async () => {
    ({ report, printed } = await runQuickly(LAKE_CASES));
  });

  test("prints a table of each case", () => {
    for (const heading of ["rows to a file", "ingest to commit", "commits"]) expect(printed).toContain(heading);
  });

  test("encode: events a second of both encodings, and files smaller than lines of compressed JSON", () => {
    expect(report.lakeEncode).not.toHaveLength(0);
    for (const { eventsPerSec, jsonMbPerSec, ratio, ...sizes } of report.lakeEncode) {
      for (const { median } of [eventsPerSec.parquet, eventsPerSec.lines, jsonMbPerSec, ratio]) expectPositive(median);
      expect(sizes.parquetBytes).toBeLessThan(sizes.linesBytes);
      expect(sizes.jsonBytes).toBeGreaterThan(5 * sizes.parquetBytes);
    }
  });

  test("ingest: events a second of every way, all of them acknowledged and in the table", () => {
    expect(report.lakeIngest).not.toHaveLength(0);
    for (const { eventsPerSec, ratio, flushMs, isWhole } of report.lakeIngest) {
      for (const { median } of [...Object.values(eventsPerSec), ...Object.values(ratio), flushMs])
        expectPositive(median);
      expect(isWhole).toBe(true);
    }
  });

  test("commits: their time and the metadata they leave, in both places", () => {
    expect(new Set(report.lakeCommits.map(({ place }) => place))).toEqual(new Set(["memory", "service"]));
    for (const { points, growth } of report.lakeCommits) {
      expectPositive(growth);
      const sizes = points.map(({ metadataBytes }) => metadataBytes);
      expect(sizes).toEqual(sizes.toSorted((left, right) => left - right));
      expectPositive(...sizes);
    }
  });
});

function expectPositive(...values: readonly number[]): void {
  for (const value of values) {
    expect(Number.isFinite(value)).toBe(true);
    expect(value).toBeGreaterThan(0);
  }
}
