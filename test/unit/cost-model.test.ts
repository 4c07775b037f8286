/**
 * The cost model by itself: cases reckoned by hand, and no input that changes the bill the wrong way.
 * Its counts are held against real storage in test/workerd/row-costs.test.ts.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { costOf } from "../../scripts/cost-model/bill.ts";
import { readOptions, type Options } from "../../scripts/cost-model/options.ts";
import { costsOf, toJson, toTable } from "../../scripts/cost-model/report.ts";
import { DEFAULT_SHAPE, type StreamShape } from "../../scripts/cost-model/stream-shape.ts";
import { eventsPerRow, usageOf } from "../../scripts/cost-model/stream-usage.ts";

const ROOT = join(import.meta.dirname, "../..");

function shape(changes: Partial<StreamShape> = {}): StreamShape {
  return { ...DEFAULT_SHAPE, ...changes };
}

function optionsOf(args: readonly string[]): Options {
  const options = readOptions(args);
  if ("help" in options) throw new Error("help instead of options");
  return options;
}

describe("reckoned by hand", () => {
  it("30 s at 50 events/s: 51 events to a row, 30 rows, of which 24 are written over one that gave way", () => {
    const usage = usageOf(shape({ durationSec: 30, eventsPerSec: 50 }));
    expect(usage.events).toBe(1500);
    expect(usage.rows).toEqual({
      tables: 4,
      records: 2,
      segments: 30,
      folds: 0,
      deletes: 0,
      broughtBack: 0,
      alarms: 2,
      clearing: 1,
    });
    expect(usage.rowsWritten).toBe(39);
    // Two wakes, each of two rows and the six that are left.
    expect(usage.rowsRead).toBe(16);
    // Full for 24.9 s: told at once, after 10 s, after 20 s, and with the end.
    expect(usage.telemetry).toMatchObject({ events: 3 + 4, handOvers: 2 + 3 });
  });

  it("… and its bill", () => {
    const { bill } = costOf(shape({ durationSec: 30, eventsPerSec: 50 }));
    // (30 s + 1 s + 2 × 0.05 s) × 0.128 GB × $12.50
    expect(bill.duration).toBeCloseTo(49.76, 6);
    expect(bill.rows).toBeCloseTo(39 + 0.016, 6);
    // One request and 3 ms in the Worker; one request and two alarms in the object.
    expect(bill.requests).toBeCloseTo(0.3 + 0.06 + 3 * 0.15, 6);
    // 12,000 bytes and 256 frames of 218 bytes, kept for 930 s.
    expect(bill.storage).toBeCloseTo(((12_000 + 256 * 218) * 930 * 0.2) / 1000 / 2_592_000, 6);
    // Five hand-overs of three rows and a request; seven events' share of a flush of 2,000.
    const flushes = 7 / 2000;
    const flushed = flushes * (20 + 4 * 0.15 + 5 * 4.5 + 2 * 0.36);
    expect(bill.telemetry).toBeCloseTo(5 * 3 + 5 * 0.15 + flushed, 6);
    const { duration, rows, requests, storage, telemetry, total } = bill;
    expect(total).toBeCloseTo(duration + rows + requests + storage + telemetry, 6);
  });

  it("a row per event: each one written, and all but the newest 256 deleted", () => {
    const { usage, rowPerEvent, bill } = costOf(shape({ durationSec: 30, eventsPerSec: 50 }));
    expect(rowPerEvent.rowsWritten).toBe(4 + 2 + 1500 + (1500 - 256) + 2 + 1);
    expect(rowPerEvent.total - bill.total).toBeCloseTo(rowPerEvent.rowsWritten - usage.rowsWritten, 6);
  });

  it("a fast stream's rows are full: 16 KiB, by the bytes of its frames", () => {
    // "id: 1-3000\n" and "data: …\n\n" around 200 bytes are 219.
    expect(eventsPerRow(shape({ durationSec: 30, eventsPerSec: 200 }))).toBe(Math.floor(16_384 / 219));
    expect(eventsPerRow(shape({ dataBytes: 20_000 }))).toBe(1);
  });

  it("folding, from 192 events of 256 on: small steps first, then all that is there each time", () => {
    const { rows, telemetry } = usageOf(shape({ durationSec: 30, eventsPerSec: 50, isFolded: true }));
    // At 192, 242 and 293 events a row, a row and two; then six times all of it: three rows, and what is in
    // memory. 150 events are left, three rows. One row is written over; a fold before it joins from the second on.
    expect(rows).toMatchObject({ segments: 1 + 1 + 2 + 6 * 3 + 3, folds: 9, deletes: 0 + 1 + 2 + 6 * 3 });
    // Told of at once, and twice with what came within ten seconds.
    expect(telemetry).toMatchObject({ events: 3 + 3, handOvers: 2 + 3 });
    expect(usageOf(shape({ durationSec: 30, eventsPerSec: 5, isFolded: true })).rows.folds).toBe(0);
  });

  it("an alarm each 30 s that goes off once more after the end, and one for the end of life", () => {
    const alarms = [10, 30, 31, 600].map((durationSec) => usageOf(shape({ durationSec })).rows.alarms);
    expect(alarms).toEqual([2, 2, 3, 21]);
  });

  it("folding where the buffer holds more than a step may read: 64 KiB, four rows of 16 KiB", () => {
    // 13 events to a row by their frames of 1,217 bytes. At 192, 204, 217 and 243 events one row, one, two, four.
    const { rows } = usageOf(shape({ durationSec: 13, eventsPerSec: 20, dataBytes: 1200, isFolded: true }));
    expect(rows).toMatchObject({ segments: 20, folds: 4, deletes: 0 + 1 + 2 + 4 });
  });

  it("the archive: one put, its bytes for a day, a record and an alarm; the object has one wake less", () => {
    const plain = costOf(shape());
    const archived = costOf(shape({ isArchived: true }));
    const kept = (256 * 218 * 0.2 * 86_400 * 0.015) / 1000 / 2_592_000;
    expect(archived.bill.storage - plain.bill.storage).toBeCloseTo(4.5 + kept, 6);
    expect(archived.usage.rowsWritten - plain.usage.rowsWritten).toBe(2);
    expect(plain.usage.objectSec - archived.usage.objectSec).toBeCloseTo(0.05, 6);
    expect(archived.usage.telemetry.events - plain.usage.telemetry.events).toBe(1);
  });

  it("a late return: three alarms set, and telemetry of a hand-over", () => {
    const plain = usageOf(shape());
    const returned = usageOf(shape({ lateResumes: 1 }));
    expect(returned.rowsWritten - plain.rowsWritten).toBe(3);
    // Its own, and the alarm for the sweep.
    expect(returned.objectRequests - plain.objectRequests).toBe(2);
    expect(returned.objectSec - plain.objectSec).toBeCloseTo(1 + 2 * 0.05, 6);
    expect(returned.telemetry.handOvers - plain.telemetry.handOvers).toBe(1);
  });

  it("… from the archive: the stream's tables, record and six rows once more, and one more end of life", () => {
    const archived = usageOf(shape({ isArchived: true }));
    const returned = usageOf(shape({ isArchived: true, lateResumes: 1 }));
    expect(returned.rows).toEqual({
      ...archived.rows,
      tables: 8,
      records: 4,
      broughtBack: 6,
      alarms: archived.rows.alarms + 3,
      clearing: 2,
    });
    expect(returned.archive.gets).toBe(1);
    expect(returned.objectRequests - archived.objectRequests).toBe(3);
    expect(returned.storedByteSec / archived.storedByteSec).toBeCloseTo((930 + 900) / 930, 6);
  });

  it("… and folded: a single row, the folds of what was left included", () => {
    const { rows } = usageOf(shape({ isFolded: true, isArchived: true, lateResumes: 3 }));
    // The three rows left after the ninth fold take one step more.
    expect(rows).toMatchObject({ segments: 25, folds: 10, deletes: 21 + 3, broughtBack: 3 });
  });
});

const anyShape = fc.record({
  durationSec: fc.integer({ min: 1, max: 1200 }),
  eventsPerSec: fc.integer({ min: 1, max: 4000 }).map((quarters) => quarters / 4),
  dataBytes: fc.integer({ min: 0, max: 4000 }),
  readers: fc.integer({ min: 1, max: 10 }),
  resumes: fc.nat({ max: 5 }),
  lateResumes: fc.nat({ max: 5 }),
  commitIntervalMs: fc.integer({ min: 10, max: 10_000 }),
  bufferMaxEvents: fc.integer({ min: 8, max: 4000 }),
  isFolded: fc.boolean(),
  isArchived: fc.boolean(),
});

const GROWS = [
  "durationSec",
  "dataBytes",
  "readers",
  "resumes",
  "lateResumes",
  "snapshotTtlSec",
  "archiveDays",
  "archiveRatio",
  "idleSec",
  "workerCpuMs",
] as const;
/** A frame less that just fits the buffer's bytes: cents of a million streams. */
const ROUNDING_DOLLARS = 0.05;

/** Without what is read, and brought back from the archive: of fuller rows there are fewer. */
function dollarsOf(changes: StreamShape): number {
  const { bill, usage } = costOf(changes);
  return bill.total - usage.rows.broughtBack - usage.rowsRead * 0.001;
}

describe("no input changes the bill the wrong way", () => {
  it.each(GROWS)("more %s never costs less", (input) => {
    fc.assert(
      fc.property(anyShape, fc.integer({ min: 1, max: 500 }), (changes, more) => {
        // Larger steps of folding leave more for the next one: a few rows either way.
        const before = shape({ ...changes, isFolded: changes.isFolded && input !== "dataBytes" });
        const after = { ...before, [input]: before[input] + more };
        expect(dollarsOf(after)).toBeGreaterThanOrEqual(dollarsOf(before) - ROUNDING_DOLLARS);
      }),
      { seed: 4 },
    );
  });

  it("twice the rate never costs less", () => {
    // A little more can: at one event in 1.01 s each is a row, at one in 0.99 s two share one.
    fc.assert(
      fc.property(anyShape, (changes) => {
        const before = shape({ ...changes, isFolded: false });
        const after = { ...before, eventsPerSec: before.eventsPerSec * 2 };
        expect(dollarsOf(after)).toBeGreaterThanOrEqual(dollarsOf(before) - ROUNDING_DOLLARS);
      }),
      { seed: 4 },
    );
  });

  it("a longer commit interval or a larger buffer never writes more rows", () => {
    fc.assert(
      fc.property(anyShape, fc.integer({ min: 1, max: 5000 }), (changes, more) => {
        // Of a larger buffer more is brought back.
        const before = shape({ ...changes, isFolded: false, isArchived: false });
        const { rowsWritten } = usageOf(before);
        for (const input of ["commitIntervalMs", "bufferMaxEvents"] as const) {
          expect(usageOf({ ...before, [input]: before[input] + more }).rowsWritten).toBeLessThanOrEqual(rowsWritten);
        }
      }),
      { seed: 4 },
    );
  });

  it("a row per event never costs less than ours", () => {
    fc.assert(
      fc.property(anyShape, (changes) => {
        const { bill, rowPerEvent } = costOf(shape({ ...changes, isFolded: false }));
        expect(rowPerEvent.total).toBeGreaterThanOrEqual(bill.total);
      }),
      { seed: 4 },
    );
  });
});

describe("the command", () => {
  it("takes lengths and rates as lists, and every input by its flag", () => {
    const options = optionsOf([
      "--duration-sec",
      "60,300",
      "--rate=0.5",
      "--bytes",
      "80",
      "--buffer-events=64",
      "--fold",
    ]);
    expect(options).toMatchObject({ lengthsSec: [60, 300], rates: [0.5], isJson: false });
    expect(options.shape).toEqual(shape({ dataBytes: 80, bufferMaxEvents: 64, isFolded: true }));
    expect(costsOf(options)).toHaveLength(2);
  });

  it("says what is wrong with a flag", () => {
    expect(() => readOptions(["--readers", "0"])).toThrow("--readers takes a number from 1 on");
    expect(() => readOptions(["--rate", "5,fast"])).toThrow("--rate takes a number");
    expect(() => readOptions(["--colour", "red"])).toThrow("--colour");
    expect(readOptions(["--help"])).toHaveProperty("help", expect.stringContaining("--commit-interval-ms 1000"));
  });

  it("gives as JSON every price with its source, every input and every count", () => {
    const costs = costsOf(optionsOf(["--duration-sec", "30", "--rate", "50", "--json"]));
    const report: unknown = JSON.parse(toJson(costs));
    expect(report).toMatchObject({
      prices: {
        rowWritten: { dollars: 1e-6, source: expect.stringContaining("developers.cloudflare.com") as unknown },
      },
      streams: [{ inputs: { durationSec: 30 }, usage_per_stream: { rowsWritten: 39 } }],
    });
  });

  it("docs/cost.md shows what it prints", () => {
    const text = readFileSync(join(ROOT, "docs/cost.md"), "utf8");
    expect(text).toContain(toTable(costsOf(optionsOf([]))));
  });
});
