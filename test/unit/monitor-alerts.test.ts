/**
 * When alerts fire and are resolved: A1, A2, A3 for any course of a value; and each rule's condition.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { readAlerts, type AlertReading } from "../../durable-objects/monitor/alert-rules.ts";
import { stepAlert, type AlertChange, type AlertState } from "../../durable-objects/monitor/alert-state.ts";
import type { Sample } from "../../durable-objects/monitor/sample.ts";
import type { Window } from "../../durable-objects/monitor/window.ts";
import type { AlertName } from "../../protocol/monitor-report.ts";
import { readMonitorSettings } from "../../protocol/monitor-settings.ts";
import { QUIET_STATUS } from "../fixtures/watched-service.ts";

const { alerts: SETTINGS } = readMonitorSettings({}, []);
const INTERVAL_MS = 30_000;
const CLEAR_MS = SETTINGS.clearMs;

function fillReading(value: number): AlertReading {
  const [reading] = readAlerts(sampleOf({ fillRate: value }), SETTINGS);
  if (reading === undefined) throw new Error("a shard without its fill");
  return reading;
}

interface SampleParts extends Partial<Window> {
  readonly fillRate?: number;
  readonly lastError?: string | null;
  readonly isReachable?: boolean;
  readonly table?: Sample["table"];
}

function sampleOf({
  fillRate = 0,
  lastError = null,
  isReachable = true,
  counts = {},
  flushFailures = {},
  table = { status: null, error: null },
}: SampleParts = {}): Sample {
  const status = { ...QUIET_STATUS, buffer_fill_rate: fillRate, last_error: lastError };
  const shards = [{ index: 0, digest: undefined, status, isReachable }];
  return { atMs: 0, shards, table, window: { counts, flushFailures } };
}

/** One look every 30 s. */
function runFill(values: readonly number[]): {
  changes: (AlertChange & { atMs: number })[];
  state: AlertState | undefined;
} {
  let state: AlertState | undefined;
  const changes: (AlertChange & { atMs: number })[] = [];
  values.forEach((value, at) => {
    const step = stepAlert(state, fillReading(value), { nowMs: at * INTERVAL_MS, clearMs: CLEAR_MS });
    ({ state } = step);
    if (step.change !== undefined) changes.push({ ...step.change, atMs: at * INTERVAL_MS });
  });
  return { changes, state };
}

function times(value: number, looks: number): number[] {
  return Array.from({ length: looks }, () => value);
}

const told = ({ changes }: ReturnType<typeof runFill>) =>
  changes.map(({ kind, severity, atMs }) => `${kind} ${severity} ${atMs / 1000}`);

test("A1: a level fires once it has been exceeded for its time, and not after a break", () => {
  expect(told(runFill(times(0.6, 10)))).toEqual([]);
  expect(told(runFill(times(0.6, 20)))).toEqual(["fired info 300"]);
  expect(told(runFill([...times(0.6, 10), 0.4, ...times(0.6, 10)]))).toEqual([]);
});

test("A1, A3: the severity rises as each level has held, told once each, since the first", () => {
  const run = runFill([...times(0.6, 15), ...times(0.95, 15)]);
  expect(told(run)).toEqual(["fired info 300", "fired critical 750"]);
  expect(run.changes.at(-1)).toMatchObject({ sinceMs: 300_000, threshold: 0.9, value: 0.95 });
  // All at once: the most severe alone is told.
  expect(told(runFill(times(0.95, 20)))).toEqual(["fired critical 300"]);
});

test("A2: it falls to the level it is still at, and is resolved from below nine tenths of the lowest", () => {
  const run = runFill([...times(0.95, 11), ...times(0.72, 10), ...times(0.47, 10), ...times(0.45, 10)]);
  expect(told(run)).toEqual([
    "fired critical 300",
    "fired warning 450",
    // 0.47 is clearly below 0.7 and hovers at 0.5.
    "fired info 750",
    "resolved info 1050",
  ]);
  expect(run.state).toBeUndefined();
});

function isMilder(change: AlertChange, before: AlertChange | undefined): boolean {
  return change.kind === "resolved" || (before?.kind === "fired" && change.threshold < before.threshold);
}

const courses = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 120 });

test("A2: whatever a value does, two changes that undo each other lie further apart than the time to clear", () => {
  fc.assert(
    fc.property(courses, (values) => {
      const { changes } = runFill(values);
      const early = changes.filter((change, at) => {
        const before = changes[at - 1];
        return isMilder(change, before) && change.atMs - (before?.atMs ?? 0) < CLEAR_MS;
      });
      expect(early).toEqual([]);
      const kinds = changes.map(({ kind }) => kind).join(" ");
      expect(kinds).not.toMatch(/^resolved|resolved resolved/);
    }),
    { seed: 5 },
  );
});

test("A2: no value that hovers about a threshold flaps: it fires once at most", () => {
  const hovering = fc.array(fc.double({ min: 0.9 * 0.5 + 1e-9, max: 0.69, noNaN: true }), { maxLength: 200 });
  fc.assert(
    fc.property(hovering, (values) => {
      expect(runFill([...times(0.6, 11), ...values]).changes).toHaveLength(1);
    }),
    { seed: 5 },
  );
});

test("A3: a change is told exactly where what fires has become another", () => {
  fc.assert(
    fc.property(courses, (values) => {
      let state: AlertState | undefined;
      values.forEach((value, at) => {
        const before = state?.firing?.severity;
        const step = stepAlert(state, fillReading(value), { nowMs: at * INTERVAL_MS, clearMs: CLEAR_MS });
        ({ state } = step);
        expect(step.change !== undefined).toBe(state?.firing?.severity !== before);
      });
    }),
    { seed: 5 },
  );
});

/** Severities of the levels that are exceeded, and of those it is clearly back from. */
function levelsOf(name: AlertName, sample: Sample): { over: string[]; clear: string[] } {
  const reading = readAlerts(sample, SETTINGS).find(({ alert }) => alert === name);
  const severities = (isIt: (level: AlertReading["levels"][number]) => boolean) =>
    (reading?.levels ?? []).filter(isIt).map(({ severity }) => severity);
  return { over: severities(({ isOver }) => isOver), clear: severities(({ isClear }) => isClear) };
}

function resumes(successes: number, failures: number): Sample {
  return sampleOf({ counts: { resume_successes: successes, resume_failures: failures } });
}

test("ResumeSuccess: below 98 % a warning, below 95 % critical, and nothing is said of fewer than 20", () => {
  expect(levelsOf("ResumeSuccess", resumes(98, 2))).toEqual({ over: [], clear: ["critical"] });
  expect(levelsOf("ResumeSuccess", resumes(97, 3)).over).toEqual(["warning"]);
  expect(levelsOf("ResumeSuccess", resumes(94, 6)).over).toEqual(["warning", "critical"]);
  expect(levelsOf("ResumeSuccess", resumes(0, 19))).toEqual({ over: [], clear: ["warning", "critical"] });
  expect(levelsOf("ResumeSuccess", resumes(0, 20)).over).toEqual(["warning", "critical"]);
  expect(levelsOf("ResumeSuccess", resumes(0, 0)).clear).toEqual(["warning", "critical"]);
  expect(levelsOf("ResumeSuccess", resumes(1000, 18)).clear).toEqual(["warning", "critical"]);
});

test("ResumeSuccess: tokens that anybody can make up are no failures of readers", () => {
  const counts = { resume_successes: 30, resume_failures: 500, forged_resumes: 500 };
  expect(levelsOf("ResumeSuccess", sampleOf({ counts }))).toEqual({ over: [], clear: ["warning", "critical"] });
  const failing = { ...counts, resume_failures: 510 };
  expect(levelsOf("ResumeSuccess", sampleOf({ counts: failing })).over).toEqual(["warning", "critical"]);
});

function trimmed(events: number, dropped: number): string[] {
  return levelsOf(
    "TrimRate",
    sampleOf({ counts: { source_events: events, trimmed_events: events, unread_trimmed_events: dropped } }),
  ).over;
}

test("TrimRate: above 0.3, 0.5 and 1 % of source events, of a thousand at least", () => {
  expect(trimmed(10_000, 30)).toEqual([]);
  expect(trimmed(10_000, 31)).toEqual(["info"]);
  expect(trimmed(10_000, 51)).toEqual(["info", "warning"]);
  expect(trimmed(10_000, 101)).toEqual(["info", "warning", "critical"]);
  expect(trimmed(999, 500)).toEqual([]);
  // Told of what was dropped before it was told of what came.
  expect(trimmed(10, 5000)).toEqual(["info", "warning", "critical"]);
});

function failing(lastError: string | null, failures: number): ReturnType<typeof levelsOf> {
  return levelsOf("FlushFailing", sampleOf({ lastError, flushFailures: { 0: failures } }));
}

test("FlushFailing: while a shard has an error and has failed three times; over only once the error is gone", () => {
  expect(failing("no bucket", 2)).toEqual({ over: [], clear: [] });
  expect(failing("no bucket", 3)).toEqual({ over: ["warning"], clear: [] });
  expect(failing("no bucket", 0)).toEqual({ over: [], clear: [] });
  expect(failing(null, 3)).toEqual({ over: [], clear: ["warning"] });
});

test("ShardUnreachable: while a shard does not answer", () => {
  expect(levelsOf("ShardUnreachable", sampleOf({ isReachable: false }))).toEqual({ over: ["critical"], clear: [] });
  expect(levelsOf("ShardUnreachable", sampleOf())).toEqual({ over: [], clear: ["critical"] });
});

function failingTable(error: string | null): ReturnType<typeof levelsOf> {
  return levelsOf("CatalogFailing", sampleOf({ table: { status: null, error } }));
}

test("CatalogFailing: where the table has an error or does not answer", () => {
  expect(failingTable("the table object cannot be reached").over).toEqual(["critical"]);
  expect(failingTable(null)).toEqual({ over: [], clear: ["critical"] });
});

test.each([
  ["DeadLetters", "dead_lettered_events"],
  ["Degraded", "degraded"],
  ["TelemetryDropped", "telemetry_dropped_events"],
] as const)("%s: as soon as there is one", (name, counter) => {
  expect(levelsOf(name, sampleOf({ counts: { [counter]: 1 } })).over).toEqual(["warning"]);
  expect(levelsOf(name, sampleOf())).toEqual({ over: [], clear: ["warning"] });
});
