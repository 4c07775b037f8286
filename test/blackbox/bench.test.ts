/**
 * The benchmark itself works: a quick run gives every figure, and what it measured was right. How
 * large the figures are is not for a test to say.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Report } from "../../bench/lib/report.ts";

const BENCH = resolve(import.meta.dirname, "../../bench/run.ts");
/** Shorter than a hook may take: the benchmark, told to stop, clears up after itself. */
const TIMEOUT_MS = 55_000;
const run = promisify(execFile);

describe("npm run bench -- --quick", () => {
  let folder: string;
  let report: Report;
  let printed: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "spillway-bench-test-"));
    printed = (await run(process.execPath, [BENCH, "--quick", "--out", folder], { timeout: TIMEOUT_MS })).stdout;
    const [json = ""] = readdirSync(folder).filter((name) => name.endsWith(".json"));
    // Written by the benchmark from this very type.
    report = JSON.parse(readFileSync(join(folder, json), "utf8")) as Report;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("prints the table that it puts beside the JSON", () => {
    const [markdown = ""] = readdirSync(folder).filter((name) => name.endsWith(".md"));
    expect(readFileSync(join(folder, markdown), "utf8").trim()).toBe(printed.trim());
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

function expectPositive(...values: readonly number[]): void {
  for (const value of values) {
    expect(Number.isFinite(value)).toBe(true);
    expect(value).toBeGreaterThan(0);
  }
}
