/**
 * What a shard's telemetry sums up to: counters, histograms, streams, notes, timelines, and their bounds.
 */
import { describe, expect, it } from "vitest";

import { Rollup } from "../../durable-objects/analytics/rollup.ts";
import { HISTOGRAMS, ROLLUP_LIMITS } from "../../protocol/rollup.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { toLakeEvent } from "../../protocol/telemetry-event.ts";
import { DAY_MS, START_MS } from "../fixtures/lake-parts.ts";

const SHARD = { shard: "0-3fa9c1d2", index: 0 };
const ABOUT = { route: "demo", tenant: "acme" };

/** A record without its time, as far as its kind goes; more than one kind has fields of their own. */
type Told = { readonly event: string } & Readonly<Record<string, unknown>>;

function note(rollup: Rollup, told: Told, atMs: number = START_MS): void {
  // Fields of every kind: what matters here is how they are read.
  const record = { ...told, time: new Date(atMs).toISOString() } as unknown as TelemetryRecord;
  rollup.note(toLakeEvent(record, "id"));
}

function rollupOf(...told: Told[]): Rollup {
  const rollup = Rollup.read(undefined);
  for (const one of told) note(rollup, one);
  return rollup;
}

const counters = (rollup: Rollup) => rollup.report(SHARD, START_MS).counters;
const start = (id: string) => ({ event: "SseStreamStarted", request_id: id, ...ABOUT });
const end = (id: string, events: number, more: object = {}) => ({
  event: "SseStreamEnded",
  state: "completed",
  reason: null,
  duration_ms: 3000,
  events,
  trimmed_events: 0,
  resumes: 0,
  request_id: id,
  ...ABOUT,
  ...more,
});

describe("counters", () => {
  it("count by the record's fields, and by how much it says", () => {
    const rollup = rollupOf(
      start("a"),
      { event: "SseResumeAttempt", position: "1-4", request_id: "a", ...ABOUT },
      { event: "SseResumeSuccess", position: "1-4", replayed_events: 3, request_id: "a", ...ABOUT },
      { event: "SseResumeFailed", code: "token_invalid", reason: "signature" },
      { event: "SseBufferTrimmed", seq: 7, priority: "low", reason: "max_events", events: 5, bytes: 99, ...ABOUT },
      { event: "SsePartialRecovery", kind: "gap", position: "1-9", missing_events: 4, ...ABOUT },
      { event: "SsePartialRecovery", kind: "rewind", position: "1-9", missing_events: 2, ...ABOUT },
      { event: "SseDegraded", kind: "storage", ...ABOUT },
      { event: "SseDegraded", kind: "storage", is_over: true, ...ABOUT },
      { event: "DeadLettered", shard: "0-a", events: 3, reason: "time" },
      { event: "AdminAction", action: "flush", actor: "ops", result: "200" },
    );
    expect(counters(rollup)).toEqual({
      telemetry_events: { "": 11 },
      streams_started: { demo: 1 },
      resume_attempts: { demo: 1 },
      resume_successes: { demo: 1 },
      resume_failures: { token_invalid: 1 },
      forged_resumes: { "": 1 },
      trimmed_events: { "max_events|low": 5 },
      gaps: { "": 1 },
      missing_events: { "": 4 },
      rewinds: { "": 1 },
      degraded: { storage: 1 },
      dead_lettered_events: { "": 3 },
      admin_actions: { "flush|200": 1 },
    });
  });

  it("tell resumes that anybody can send from those of readers", () => {
    const rollup = rollupOf(
      { event: "SseResumeFailed", code: "token_missing" },
      { event: "SseResumeFailed", code: "token_invalid", reason: "malformed" },
      { event: "SseResumeFailed", code: "token_invalid", reason: "bad_signature", suppressed: 8 },
      { event: "SseResumeFailed", code: "token_invalid", reason: "unknown_key" },
      { event: "SseResumeFailed", code: "token_expired", suppressed: 100 },
      { event: "SseResumeFailed", code: "position_trimmed", request_id: "a", ...ABOUT },
    );
    expect(counters(rollup).forged_resumes).toEqual({ "": 111 });
  });

  it("count what was held back before it reached a shard, under labels that say that no more is known", () => {
    const rollup = rollupOf(
      { event: "SseResumeFailed", code: "token_expired", suppressed: 40 },
      { event: "AdminRefused", action: "flush", actor: "unknown", result: "unauthorized", untold: 7 },
    );
    expect(counters(rollup)).toMatchObject({
      telemetry_events: { "": 2 },
      telemetry_suppressed_events: { SseResumeFailed: 40, AdminRefused: 7 },
      resume_failures: { token_expired: 1, other: 40 },
      admin_actions: { "flush|unauthorized": 1, "other|other": 7 },
    });
  });

  it("keep a bounded number of series, and lose no count over it", () => {
    const codes = Array.from({ length: 3 * ROLLUP_LIMITS.series }, (_, at) => `code-${at}`);
    const rollup = rollupOf(...codes.map((code) => ({ event: "SseResumeFailed", code })));
    const failures = counters(rollup).resume_failures ?? {};
    expect(Object.keys(failures)).toHaveLength(ROLLUP_LIMITS.series + 1);
    expect(failures["other"]).toBe(2 * ROLLUP_LIMITS.series);
  });

  it("take nothing amiss: what an operator has replayed may hold anything", () => {
    const rollup = Rollup.read(undefined);
    for (const data of [
      undefined,
      "",
      "{",
      "[]",
      "7",
      "null",
      '{"events":-3,"code":7}',
      '{"__proto__":{"code":"x"}}',
    ]) {
      for (const type of ["SseResumeFailed", "SseBufferTrimmed", "__proto__", "constructor", ""]) {
        const event = { source: "spillway/lake", type, timeUs: 0, requestId: "__proto__", tenant: "", data };
        expect(() => rollup.note(event)).not.toThrow();
      }
    }
    note(rollup, { event: "SseResumeFailed", code: 'a|b"c\\d\né' });
    expect(counters(rollup)).toMatchObject({ telemetry_events: { "": 41 } });
    expect(counters(rollup).resume_failures).toMatchObject({ unknown: 8, a_b_c_d__: 1 });
  });
});

it("histograms hold each observation once, the one above the last bound in a bucket of its own", () => {
  const values = [0, 5, 6, 15_000, 15_001];
  const told = values.map((catch_up_ms) => ({ event: "SseResumeLiveStart", position: "1-1", catch_up_ms, ...ABOUT }));
  const histogram = rollupOf(...told).report(SHARD, START_MS).histograms.resume_latency_ms;
  expect(histogram?.counts).toHaveLength(HISTOGRAMS.resume_latency_ms.length + 1);
  expect(histogram?.counts).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
  expect(histogram?.sum).toBe(30_012);
});

describe("source events", () => {
  it("grow with whatever a stream says of how far it is, and never by what a client claims", () => {
    const rollup = rollupOf(start("a"));
    const about = { request_id: "a", ...ABOUT };
    const count = () => counters(rollup).source_events?.[""] ?? 0;
    note(rollup, { event: "SseResumeIssued", position: "0-0", readers: 1, events: 10, ...about });
    expect(count()).toBe(10);
    note(rollup, { event: "SseResumeAttempt", position: "1-999", ...about });
    note(rollup, { event: "SseResumeSuccess", position: "1-999", replayed_events: 0, ...about });
    expect(count()).toBe(10);
    note(rollup, { event: "SseBufferTrimmed", seq: 25, priority: "low", reason: "sampled", events: 1, ...about });
    note(rollup, { event: "SseBufferTrimmed", seq: 20, priority: "low", reason: "sampled", events: 1, ...about });
    note(rollup, { event: "SseResumeLiveStart", position: "1-30", catch_up_ms: 1, ...about });
    expect(count()).toBe(30);
    note(rollup, end("a", 42));
    note(rollup, { event: "SseBufferFolded", seq: 50, events: 1, folded: 1, saved_bytes: 1, ...about });
    expect(count()).toBe(42);
  });

  it("are not counted of a stream whose beginning was not heard: part of it may have been", () => {
    expect(counters(rollupOf(end("late", 42))).source_events).toBeUndefined();
  });

  it("are counted for more running streams than are listed", () => {
    const count = ROLLUP_LIMITS.activeStreams + 50;
    const rollup = rollupOf(...Array.from({ length: count }, (_, at) => start(`s${at}`)));
    const { activeStreamCount, activeStreams } = rollup.report(SHARD, START_MS);
    expect(activeStreamCount).toBe(count);
    expect(activeStreams).toHaveLength(ROLLUP_LIMITS.activeStreams);
    expect(activeStreams[0]).toMatchObject({ requestId: `s${count - 1}` });
    for (let at = 0; at < count; at++) note(rollup, end(`s${at}`, 3));
    expect(counters(rollup).source_events).toEqual({ "": 3 * count });
    expect(rollup.report(SHARD, START_MS)).toMatchObject({ activeStreamCount: 0, activeStreams: [] });
  });
});

describe("streams", () => {
  it("are known from their start to after their end, with what was told of them", () => {
    const rollup = rollupOf(start("a"));
    const about = { request_id: "a", ...ABOUT };
    note(rollup, { event: "SseResumeIssued", position: "0-0", readers: 2, events: 4, ...about }, START_MS + 1000);
    note(rollup, { event: "SseBufferTrimmed", seq: 9, priority: "low", reason: "max_events", events: 2, ...about });
    note(rollup, { event: "SseDegraded", kind: "storage", ...about });
    const running = { requestId: "a", ...ABOUT, state: "streaming", startedAtMs: START_MS, endedAtMs: undefined };
    const told = { events: 9, trimmedEvents: 2, readers: 2, isDegraded: true, lastHeardAtMs: START_MS + 1000 };
    expect(rollup.knownStream("a")).toMatchObject({ ...running, ...told });
    note(rollup, end("a", 12, { reason: "upstream_timeout", state: "failed", resumes: 3 }), START_MS + 3000);
    const over = { state: "failed", reason: "upstream_timeout", events: 12, resumes: 3, readers: 0 };
    expect(rollup.knownStream("a")).toMatchObject({ ...over, startedAtMs: START_MS, endedAtMs: START_MS + 3000 });
    // Read again after its end: that makes it no running one.
    note(rollup, { event: "SseResumeIssued", position: "1-3", readers: 1, events: 12, ...about }, START_MS + 4000);
    expect(rollup.report(SHARD, START_MS)).toMatchObject({ activeStreamCount: 0, endedStreams: [{ readers: 0 }] });
  });

  it("leave the running ones when they have not been heard of for a day", () => {
    const rollup = rollupOf(start("lost"));
    note(rollup, start("young"), START_MS + DAY_MS / 2);
    const at = (ms: number) => rollup.report(SHARD, START_MS + ms).activeStreams.map(({ requestId }) => requestId);
    expect(at(DAY_MS)).toEqual(["young", "lost"]);
    expect(at(DAY_MS + 1)).toEqual(["young"]);
    note(rollup, start("new"), START_MS + DAY_MS + 1);
    expect(rollup.knownStream("lost")).toBeUndefined();
  });

  it("begin anew under an id that was used before", () => {
    const rollup = rollupOf(start("a"), end("a", 5), start("a"));
    expect(rollup.report(SHARD, START_MS)).toMatchObject({ activeStreamCount: 1, endedStreams: [] });
    note(rollup, end("a", 6));
    expect(counters(rollup).source_events).toEqual({ "": 11 });
  });
});

it("flushes, commits and operators' actions are listed, the newest first, failures with their reason", () => {
  const rollup = rollupOf(
    { event: "BufferFlushFailed", shard: "0-a", batch: 1, attempts: 1, reason: "the bucket failed", retry_ms: 9 },
    { event: "BufferFlushSucceeded", shard: "0-a", events: 5, files: 1, bytes: 70, duration_ms: 12 },
    {
      event: "IcebergCommitted",
      operation: "append",
      snapshot_id: "9",
      files: 1,
      records: 5,
      attempts: 1,
      duration_ms: 3,
    },
    { event: "AdminAction", action: "flush", actor: "ops", result: "200", target: "0" },
  );
  const { flushes, commits, adminActions } = rollup.report(SHARD, START_MS);
  expect(flushes).toMatchObject([
    { events: 5, files: 1, bytes: 70, durationMs: 12, error: null },
    { events: 0, error: "the bucket failed" },
  ]);
  expect(commits).toMatchObject([{ operation: "append", snapshotId: "9", records: 5, error: null }]);
  expect(adminActions).toMatchObject([{ action: "flush", actor: "ops", result: "200", target: "0" }]);
  for (let at = 0; at < 50; at++) note(rollup, { event: "AdminAction", action: `a${at}`, actor: "ops", result: "200" });
  const many = rollup.report(SHARD, START_MS).adminActions;
  expect(many).toHaveLength(ROLLUP_LIMITS.notes);
  expect(many[0]).toMatchObject({ action: "a49" });
  const refusal = { event: "AdminRefused", action: "flush", actor: "unknown", result: "unauthorized" } as const;
  for (let at = 0; at < 100; at++) note(rollup, refusal);
  const { adminActions: flooded } = rollup.report(SHARD, START_MS);
  expect(flooded.filter(({ actor }) => actor === "unknown")).toHaveLength(5);
  expect(flooded.filter(({ actor }) => actor === "ops").map(({ action }) => action)).toEqual(
    many.slice(0, ROLLUP_LIMITS.notes - 5).map(({ action }) => action),
  );
});

it("a timeline holds what was told of a stream last, in its order, for the streams heard of last", () => {
  const rollup = rollupOf(start("a"));
  const count = ROLLUP_LIMITS.timelineEntries + 3;
  for (let at = 1; at <= count; at++) {
    note(rollup, { event: "SseResumeAttempt", position: `1-${at}`, request_id: "a", ...ABOUT }, START_MS + at);
  }
  const timeline = rollup.timeline("a");
  expect(timeline).toHaveLength(ROLLUP_LIMITS.timelineEntries);
  expect(timeline.at(-1)).toEqual({
    atMs: START_MS + count,
    event: "SseResumeAttempt",
    fields: { position: `1-${count}`, route: "demo" },
  });
  for (let at = 0; at < ROLLUP_LIMITS.timelines; at++) note(rollup, start(`b${at}`));
  expect(rollup.timeline("a")).toEqual([]);
  expect(rollup.timeline("b0")).toHaveLength(1);
});

it("what is saved stays below 1 MB, whatever was told, and brings everything back but the timelines", () => {
  const rollup = Rollup.read(undefined);
  for (let at = 0; at < 6000; at++) {
    const about = { request_id: `${at}`.padStart(43, "q"), route: long(at), tenant: wide(at) };
    note(rollup, { event: "SseStreamStarted", ...about });
    if (at % 20 === 0) note(rollup, { ...end("", 1e15, { reason: wide(at) }), ...about });
  }
  for (let at = 0; at < 300; at++) {
    const text = { reason: wide(at), priority: long(at), code: long(at), kind: long(at), action: long(at) };
    const more = { result: long(at + 1), operation: long(at), alert: long(at), severity: long(at), target: wide(at) };
    for (const event of KINDS) note(rollup, { event, events: 1, failures: 1, ...text, ...more, actor: wide(at) });
  }
  const saved = rollup.toText();
  const bytes = new TextEncoder().encode(saved).byteLength;
  expect(bytes).toBeGreaterThan(500_000);
  expect(bytes).toBeLessThan(1_000_000);
  expect(Rollup.read(saved).report(SHARD, START_MS)).toEqual(rollup.report(SHARD, START_MS));
  expect(Rollup.read(saved).toText()).toBe(saved);
});

/** Of more than there is room for, in UTF-8 above all. */
const wide = (at: number) => `${at}`.padStart(200, "漢");
const long = (at: number) => `${at}`.padEnd(200, "x");

const KINDS = [
  "SseStartRefused",
  "SseResumeFailed",
  "SseBufferTrimmed",
  "SseReaderRemoved",
  "SseDegraded",
  "SseArchiveFailed",
  "RateLimiterFailed",
  "BufferFlushFailed",
  "IcebergCommitted",
  "IcebergCommitFailed",
  "TelemetryDropped",
  "AdminAction",
  "AdminRefused",
  "AlertFired",
];
