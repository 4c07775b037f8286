/**
 * Which streams an operator is shown as recent, hot and stuck, by what telemetry and their objects say.
 */
import { describe, expect, it } from "vitest";

import type { StreamInspection } from "../../protocol/admin-streams.ts";
import type { KnownStream } from "../../protocol/rollup.ts";
import { candidatesFor, listOf, type ObjectAnswer, type SeenStream } from "../../workers/stream-lists.ts";
import { inspectionFor, isoAgo, knownStream, NOW_MS } from "../fixtures/known-stream.ts";

const NONE: ObjectAnswer = { kind: "none" };
const NOTHING: ObjectAnswer = { kind: "holds_nothing" };
const says = (inspection: StreamInspection): ObjectAnswer => ({ kind: "holds", inspection });

const seen = (known: KnownStream, answer: ObjectAnswer): SeenStream => ({ known, answer });
const ids = (streams: readonly { readonly request_id: string }[]) => streams.map(({ request_id: id }) => id);
const idsOf = (streams: readonly KnownStream[]) => streams.map(({ requestId }) => requestId);

const isStuck = (given: Partial<KnownStream>, answer: ObjectAnswer) =>
  listOf("stuck", [seen(knownStream("s", given), answer)], NOW_MS)[0]?.stuck;

const ended = (requestId: string, given: Partial<KnownStream> = {}) =>
  knownStream(requestId, { state: "completed", endedAtMs: NOW_MS - 1000, readers: 0, ...given });

describe("recent", () => {
  it("is every stream, the one begun last first, ended or not", () => {
    const streams = [
      knownStream("old", { startedAtMs: NOW_MS - 3000 }),
      ended("new", { startedAtMs: NOW_MS - 1000 }),
      knownStream("between", { startedAtMs: NOW_MS - 2000 }),
    ];
    expect(idsOf(candidatesFor("recent", streams, NOW_MS))).toEqual(["new", "between", "old"]);
  });

  it("shows each as its object says it is, and as telemetry has it where that was not asked", () => {
    const status = { state: "failed", reason: "upstream_reset", ended_at: isoAgo(5000), readers: 0 } as const;
    const [verified, told] = listOf(
      "recent",
      [
        seen(
          knownStream("failed", { startedAtMs: NOW_MS - 60_000 }),
          says(inspectionFor("failed", { status, silentMs: null })),
        ),
        seen(ended("told", { startedAtMs: NOW_MS - 70_000 }), NONE),
      ],
      NOW_MS,
    );
    expect(verified).toEqual({
      request_id: "failed",
      route: "chat",
      tenant: "acme",
      state: "failed",
      started_at: isoAgo(60_000),
      ended_at: isoAgo(5000),
      last_event_at: isoAgo(5000),
      events: 20,
      trimmed_events: 5,
      folded_events: 3,
      resumes: 2,
      readers: 0,
      duration_ms: 55_000,
      retained_bytes: 4000,
      silent_ms: null,
      reason: "upstream_reset",
      is_verified: true,
    });
    expect(told).toMatchObject({ request_id: "told", state: "completed", is_verified: false, retained_bytes: null });
  });

  it("shows as expired what telemetry has running and whose object holds nothing any more", () => {
    const [gone, over] = listOf("recent", [seen(knownStream("gone"), NOTHING), seen(ended("over"), NOTHING)], NOW_MS);
    expect(gone).toMatchObject({ state: "expired", readers: 0, is_verified: true });
    expect(over).toMatchObject({ state: "completed" });
  });
});

describe("hot", () => {
  it("asks the running ones with most readers first, then those with most events a second", () => {
    const streams = [
      knownStream("slow", { readers: 3, events: 60 }),
      knownStream("fast", { readers: 3, events: 600 }),
      knownStream("crowded", { readers: 9, events: 1 }),
      ended("over", { readers: 99 }),
    ];
    expect(idsOf(candidatesFor("hot", streams, NOW_MS))).toEqual(["crowded", "fast", "slow"]);
  });

  it("orders by what the objects say, and leaves out what has ended or is gone", () => {
    const streams = [
      seen(knownStream("one", { readers: 9 }), says(inspectionFor("one", { waitingMs: [0] }))),
      seen(knownStream("three"), says(inspectionFor("three", { waitingMs: [0, 0, 0] }))),
      seen(knownStream("over", { readers: 9 }), says(inspectionFor("over", { status: { state: "completed" } }))),
      seen(knownStream("gone", { readers: 9 }), NOTHING),
      seen(knownStream("told", { readers: 2 }), NONE),
    ];
    const hot = listOf("hot", streams, NOW_MS);
    expect(ids(hot)).toEqual(["three", "told", "one"]);
    expect(hot.map((stream) => stream.is_verified)).toEqual([true, false, true]);
    expect(hot[0]).not.toHaveProperty("stuck");
  });
});

describe("stuck", () => {
  it("asks those first that were not heard of for longest", () => {
    const streams = [
      knownStream("lately", { lastHeardAtMs: NOW_MS - 1000 }),
      knownStream("long ago", { lastHeardAtMs: NOW_MS - 900_000 }),
      ended("over"),
    ];
    expect(idsOf(candidatesFor("stuck", streams, NOW_MS))).toEqual(["long ago", "lately"]);
  });

  it.each([
    ["its source has been silent for a minute", { silentMs: 60_000 }, undefined],
    ["its source has been silent for longer", { silentMs: 60_001 }, "source_silent"],
    ["a reader has taken nothing for half a minute", { waitingMs: [0, 30_000] }, undefined],
    ["a reader has taken nothing for longer", { waitingMs: [0, 30_001] }, "reader_waiting"],
    ["both are stuck: the source is told", { silentMs: 70_000, waitingMs: [40_000] }, "source_silent"],
  ] as const)("%s", (_, given, expected) => {
    const [found] = listOf("stuck", [seen(knownStream("s"), says(inspectionFor("s", given)))], NOW_MS);
    expect(found?.stuck).toBe(expected);
  });

  it("is what nothing was heard of for ten minutes, neither by telemetry nor by its source", () => {
    const unheard = { lastHeardAtMs: NOW_MS - 600_001 };
    expect(isStuck(unheard, NONE)).toBe("not_heard_of");
    expect(isStuck({ lastHeardAtMs: NOW_MS - 600_000 }, NONE)).toBeUndefined();
    // A healthy stream may have nothing to tell for long.
    expect(isStuck(unheard, says(inspectionFor("s", { silentMs: 10 })))).toBeUndefined();
    // It waits for its upstream's answer.
    expect(isStuck(unheard, says(inspectionFor("s", { status: { state: "open" }, silentMs: null })))).toBe(
      "not_heard_of",
    );
  });

  it("is never a stream that is over, whatever telemetry missed", () => {
    const unheard = knownStream("s", { lastHeardAtMs: 0 });
    const over = inspectionFor("s", { status: { state: "interrupted", ended_at: isoAgo(900_000) }, silentMs: null });
    expect(listOf("stuck", [seen(unheard, says(over)), seen(unheard, NOTHING)], NOW_MS)).toEqual([]);
  });

  it("has the one that has been stuck for longest first", () => {
    const streams = [
      seen(knownStream("waiting"), says(inspectionFor("waiting", { waitingMs: [50_000] }))),
      seen(knownStream("unheard", { lastHeardAtMs: NOW_MS - 700_000 }), NONE),
      seen(knownStream("silent"), says(inspectionFor("silent", { silentMs: 90_000 }))),
    ];
    expect(ids(listOf("stuck", streams, NOW_MS))).toEqual(["unheard", "silent", "waiting"]);
  });
});
