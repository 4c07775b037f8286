/**
 * Telemetry lines: one JSON line each, bounded per kind, with a count of what was held back.
 */
import { expect, test } from "vitest";

import { createLogSink, type TelemetryRecord } from "../../protocol/telemetry.ts";

function record(event: "SseStreamStarted" | "SseResumeAttempt", timeMs: number): TelemetryRecord {
  const time = new Date(timeMs).toISOString();
  return event === "SseStreamStarted" ? { event, time } : { event, position: "1-1", time };
}

test("each record is one line of JSON, event first", () => {
  const lines: string[] = [];
  createLogSink((line) => lines.push(line))(record("SseStreamStarted", 0));
  expect(lines).toEqual(['{"event":"SseStreamStarted","time":"1970-01-01T00:00:00.000Z"}']);
});

test("a flood of one kind is held to 50 lines a second, counted, and does not hide another kind", () => {
  const lines: string[] = [];
  const sink = createLogSink((line) => lines.push(line));
  for (let n = 0; n < 500; n++) sink(record("SseStreamStarted", 10));
  sink(record("SseResumeAttempt", 10));
  expect(lines).toHaveLength(51);
  sink(record("SseStreamStarted", 1200));
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ event: "SseStreamStarted", suppressed: 450 });
  sink(record("SseStreamStarted", 1201));
  expect(JSON.parse(lines.at(-1) ?? "")).not.toHaveProperty("suppressed");
});

test("what was held back is told with the next record of any kind, once its second is over, and once only", () => {
  const lines: string[] = [];
  const sink = createLogSink((line) => lines.push(line));
  for (let n = 0; n < 60; n++) sink(record("SseStreamStarted", 10));
  sink(record("SseResumeAttempt", 1009));
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ event: "SseResumeAttempt" });
  sink(record("SseResumeAttempt", 1010));
  expect(lines.slice(-2).map((line) => JSON.parse(line))).toMatchObject([
    { event: "TelemetrySuppressed", kind: "SseStreamStarted", suppressed: 10 },
    { event: "SseResumeAttempt" },
  ]);
  sink(record("SseStreamStarted", 3000));
  sink(record("SseResumeAttempt", 3000));
  expect(lines.filter((line) => line.includes("suppressed"))).toHaveLength(1);
});
