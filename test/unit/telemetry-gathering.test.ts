/**
 * Telemetry of one kind shares a record: the first at once, sums at most every ten seconds, the rest at
 * the end.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { TelemetryGathering } from "../../durable-objects/stream/telemetry-gathering.ts";
import type { GatheredTelemetry } from "../../protocol/telemetry.ts";

const GATHERING_MS = 10_000;
const START_MS = 1_750_000_000_000;

type Trim = Extract<GatheredTelemetry, { event: "SseBufferTrimmed" }>;

function trim(seq: number, about: Partial<Trim> = {}): Trim {
  const message = "buffer_trimmed";
  return {
    event: "SseBufferTrimmed",
    seq,
    priority: "normal",
    reason: "max_events",
    unread_events: 0,
    events: 2,
    bytes: 10,
    message,
    ...about,
  };
}

function folded(seq: number): GatheredTelemetry {
  return { event: "SseBufferFolded", seq, events: 8, folded: 7, saved_bytes: 700, message: "Applied event folding" };
}

function gathering() {
  const told: GatheredTelemetry[] = [];
  return { told, gather: new TelemetryGathering((event) => told.push(event)) };
}

describe("telemetry of one kind", () => {
  it("is told at once the first time", () => {
    const { told, gather } = gathering();
    gather.add(trim(3), START_MS);
    expect(told).toEqual([trim(3)]);
  });

  it("is then summed up, and told with the first that comes ten seconds later", () => {
    const { told, gather } = gathering();
    for (const [seq, afterMs] of [
      [1, 0],
      [2, 1],
      [3, GATHERING_MS - 1],
    ] as const)
      gather.add(trim(seq), START_MS + afterMs);
    expect(told).toHaveLength(1);
    gather.add(trim(4), START_MS + GATHERING_MS);
    expect(told[1]).toEqual(trim(4, { events: 6, bytes: 30 }));
    gather.add(trim(5), START_MS + GATHERING_MS + 1);
    expect(told).toHaveLength(2);
  });

  it("is told at the end, and only what was not told before", () => {
    const { told, gather } = gathering();
    gather.add(trim(1), START_MS);
    gather.add(folded(9), START_MS);
    gather.add(trim(2), START_MS + 5);
    gather.tellAll(START_MS + 6);
    gather.tellAll(START_MS + 7);
    expect(told).toEqual([trim(1), folded(9), trim(2)]);
  });

  it("is not mixed with another reason, priority or event", () => {
    const { told, gather } = gathering();
    const kinds = [trim(1), trim(2, { reason: "max_bytes" }), trim(3, { priority: "low" }), folded(4)];
    for (const kind of kinds) gather.add(kind, START_MS);
    expect(told).toEqual(kinds);
  });

  it("is not silenced by a clock that was set back", () => {
    const { told, gather } = gathering();
    gather.add(trim(1), START_MS);
    gather.add(trim(2), START_MS - 3_600_000);
    expect(told).toHaveLength(2);
  });
});

it("loses nothing and tells no kind twice within ten seconds, whatever comes when", () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 8_000 }),
    events: fc.integer({ min: 1, max: 90 }),
    isLow: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const told: { atMs: number; event: GatheredTelemetry }[] = [];
      let nowMs = START_MS;
      const gather = new TelemetryGathering((event) => told.push({ atMs: nowMs, event }));
      for (const [seq, { waitMs, events, isLow }] of steps.entries()) {
        nowMs += waitMs;
        gather.add(trim(seq + 1, { events, priority: isLow ? "low" : "normal" }), nowMs);
      }
      const beforeEnd = told.length;
      gather.tellAll(nowMs);
      for (const priority of ["low", "normal"] as const) {
        const ofKind = told.filter(({ event }) => event.event === "SseBufferTrimmed" && event.priority === priority);
        const given = steps.filter(({ isLow }) => isLow === (priority === "low"));
        expect(ofKind.reduce((sum, { event }) => sum + ("events" in event ? event.events : 0), 0)).toBe(
          given.reduce((sum, { events }) => sum + events, 0),
        );
        const timesMs = told
          .slice(0, beforeEnd)
          .filter(({ event }) => ofKind.some((one) => one.event === event))
          .map(({ atMs }) => atMs);
        for (const [at, timeMs] of timesMs.slice(1).entries())
          expect(timeMs - (timesMs[at] ?? 0)).toBeGreaterThanOrEqual(GATHERING_MS);
      }
    }),
  );
});
