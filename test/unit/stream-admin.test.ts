/**
 * What operators are told of streams, brought together from objects, shards and lake, each of which may fail.
 */
import { describe, expect, it, test } from "vitest";

import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import type { KnownStream, ShardRollup, TimelineEntry } from "../../protocol/rollup.ts";
import { shardOf } from "../../protocol/shard-choice.ts";
import { KnownStreams } from "../../workers/known-streams.ts";
import { isRequestId } from "../../workers/request-ids.ts";
import { StreamAdmin, type StreamAdminDeps } from "../../workers/stream-admin.ts";
import { inspectionFor, knownStream, NOW_MS } from "../fixtures/known-stream.ts";

const SHARDS = 4;
const ID = "r";
const OBJECT_ID = "object of r";
const UNREACHABLE = { ok: false, error: { code: "storage_unavailable", retryAfterSec: 2 } } as const;
const FLUSHED: AdminFlushReport = {
  ok: true,
  shards: [],
  failed: [],
  snapshot_id: "1",
  committed_files: 1,
  committed_records: 1,
  remaining_events: 0,
  staged_files: 0,
  commit_error: null,
};

interface Given {
  readonly streams?: Partial<StreamAdminDeps["streams"]>;
  readonly known?: readonly KnownStream[];
  readonly timeline?: readonly TimelineEntry[];
  readonly missing?: readonly string[];
  readonly flushed?: AdminFlushReport;
}

function makeAdmin({ streams = {}, known = [], timeline = [], missing = [], flushed = FLUSHED }: Given) {
  const flushedShards: (readonly number[])[] = [];
  const admin = new StreamAdmin({
    streams: {
      inspect: async () => ({ ok: true, value: undefined }),
      cancelByOperator: async () => ({ ok: true, value: undefined }),
      handOver: async () => ({ ok: true, value: undefined }),
      objectId: (requestId) => `object of ${requestId}`,
      ...streams,
    },
    known: {
      all: async () => ({ streams: [...known], missing: [...missing] }),
      history: async (requestId) => ({
        known: known.find((stream) => stream.requestId === requestId),
        timeline,
        missing,
      }),
    },
    lake: {
      async flushShards(indexes) {
        flushedShards.push(indexes);
        return flushed;
      },
    },
    shards: SHARDS,
    clock: () => NOW_MS,
  });
  return { admin, flushedShards };
}

const rollup = (given: Partial<ShardRollup>): ShardRollup => ({
  shard: "0-life",
  index: 0,
  counters: {},
  histograms: {},
  activeStreamCount: 0,
  activeStreams: [],
  endedStreams: [],
  flushes: [],
  commits: [],
  adminActions: [],
  ...given,
});
const step = (atMs: number, event: string): TimelineEntry => ({ atMs, event, fields: {} });

const handingOver = (isStored: boolean) => async () => ({ ok: true, value: { isStored, telemetryEvents: 7 } }) as const;

describe("a list", () => {
  it("asks at most 100 objects, 25 at once, and none of streams that have ended", async () => {
    let asking = 0;
    let most = 0;
    const asked: string[] = [];
    const inspect: StreamAdminDeps["streams"]["inspect"] = async (requestId) => {
      asked.push(requestId);
      most = Math.max(most, ++asking);
      await new Promise((resolve) => setImmediate(resolve));
      asking--;
      return { ok: true, value: inspectionFor(requestId, { waitingMs: [0] }) };
    };
    const running = Array.from({ length: 150 }, (_, at) => knownStream(`run-${at}`));
    const over = Array.from({ length: 20 }, (_, at) =>
      knownStream(`end-${at}`, { state: "completed", endedAtMs: NOW_MS }),
    );
    const { admin } = makeAdmin({ streams: { inspect }, known: [...running, ...over] });
    const hot = await admin.list("hot", 50);
    expect(hot).toMatchObject({ state: "hot", at: new Date(NOW_MS).toISOString(), missing_shards: [] });
    expect(hot.streams).toHaveLength(50);
    expect(asked).toHaveLength(100);
    expect(most).toBe(25);
    asked.length = 0;
    expect((await admin.list("recent", 30)).streams).toHaveLength(30);
    expect(asked.length).toBeLessThanOrEqual(30);
    expect(asked.filter((id) => id.startsWith("end-"))).toEqual([]);
  });

  it("names the shards it could not ask, and shows what cannot be reached as telemetry has it", async () => {
    const { admin } = makeAdmin({
      streams: { inspect: async () => UNREACHABLE },
      known: [knownStream(ID)],
      missing: ["shard-2"],
    });
    const { streams, missing_shards: missing } = await admin.list("recent", 50);
    expect(missing).toEqual(["shard-2"]);
    expect(streams).toMatchObject([{ request_id: ID, state: "streaming", is_verified: false }]);
  });
});

describe("one stream", () => {
  const timeline = [{ atMs: NOW_MS - 1000, event: "SseStreamStarted", fields: { route: "chat" } }];
  const steps = [{ at: new Date(NOW_MS - 1000).toISOString(), event: "SseStreamStarted", route: "chat" }];

  it("is what its object says, with its timeline", async () => {
    const inspection = inspectionFor(ID);
    const { admin } = makeAdmin({ streams: { inspect: async () => ({ ok: true, value: inspection }) }, timeline });
    const value = { ...inspection, timeline: steps, timeline_error: null };
    expect(await admin.report(ID)).toEqual({ ok: true, value });
  });

  it("is told also where a shard cannot be asked, and that it cannot", async () => {
    const inspect: StreamAdminDeps["streams"]["inspect"] = async () => ({ ok: true, value: inspectionFor(ID) });
    const { admin } = makeAdmin({ streams: { inspect }, missing: ["shard-1"] });
    expect(await admin.report(ID)).toMatchObject({
      ok: true,
      value: { timeline: [], timeline_error: "cannot be asked: shard-1" },
    });
  });

  it("whose object holds nothing is what a shard still knows", async () => {
    const { admin } = makeAdmin({ known: [knownStream(ID, { state: "completed", endedAtMs: NOW_MS })], timeline });
    expect(await admin.report(ID)).toMatchObject({
      ok: true,
      value: { status: null, summary: { request_id: ID, state: "completed" }, timeline: steps },
    });
    const { admin: byTimeline } = makeAdmin({ timeline });
    expect(await byTimeline.report(ID)).toMatchObject({ ok: true, value: { status: null, summary: null } });
  });

  it("that nobody knows is not found; where a shard could not be asked, that is not certain", async () => {
    expect(await makeAdmin({}).admin.report(ID)).toEqual({ ok: false, error: { code: "stream_not_found" } });
    expect(await makeAdmin({ missing: ["shard-1"] }).admin.report(ID)).toEqual(UNREACHABLE);
    expect(await makeAdmin({ streams: { inspect: async () => UNREACHABLE } }).admin.report(ID)).toEqual(UNREACHABLE);
  });

  it("that is to be cancelled and is not there is not found", async () => {
    expect(await makeAdmin({}).admin.cancel(ID)).toEqual({ ok: false, error: { code: "stream_not_found" } });
    const { status } = inspectionFor(ID);
    const { admin } = makeAdmin({ streams: { cancelByOperator: async () => ({ ok: true, value: status }) } });
    expect(await admin.cancel(ID)).toEqual({ ok: true, value: status });
  });
});

describe("a flush of one stream", () => {
  it("hands over first, then flushes the stream's own shard alone", async () => {
    const { admin, flushedShards } = makeAdmin({ streams: { handOver: handingOver(true) } });
    const stream = { request_id: ID, stored: true, telemetry_events: 7, error: null };
    expect(await admin.flush(ID)).toEqual({ ...FLUSHED, stream });
    expect(flushedShards).toEqual([[shardOf([OBJECT_ID], SHARDS)]]);
  });

  it("without such a stream flushes all the same: what it told may still be in its shard", async () => {
    const { admin, flushedShards } = makeAdmin({});
    expect(await admin.flush(ID)).toEqual({ ...FLUSHED, stream: null });
    expect(flushedShards).toHaveLength(1);
  });

  it("is not whole where the stream could not store, could not be asked, or the lake has failed", async () => {
    expect(await makeAdmin({ streams: { handOver: handingOver(false) } }).admin.flush(ID)).toMatchObject({
      ok: false,
      stream: { stored: false, error: null },
    });
    expect(await makeAdmin({ streams: { handOver: async () => UNREACHABLE } }).admin.flush(ID)).toMatchObject({
      ok: false,
      stream: { stored: false, telemetry_events: 0, error: expect.stringMatching(/reached/) },
    });
    expect(await makeAdmin({ flushed: { ...FLUSHED, ok: false } }).admin.flush(ID)).toMatchObject({ ok: false });
  });
});

describe("what shards know", () => {
  it("is every stream once, as it was heard of last, and the shards that did not answer by name", async () => {
    const shards = [
      rollup({ activeStreams: [knownStream("moved", { lastHeardAtMs: 1 })] }),
      rollup({ endedStreams: [knownStream("moved", { lastHeardAtMs: 2, state: "completed", endedAtMs: 2 })] }),
      undefined,
    ];
    const known = new KnownStreams({
      shards: 4,
      shard: (index) => ({
        rollup: async () => (index === 3 ? Promise.reject(new Error("out of reach")) : shards[index]),
        timeline: async () => [],
        knownStream: async () => undefined,
      }),
      findShards: async () => ({ indexes: [0, 1, 2, 3] }),
    });
    const { streams, missing } = await known.all((found) => [...found]);
    expect(streams).toMatchObject([{ requestId: "moved", state: "completed" }]);
    expect(missing).toEqual(["shard-3"]);
  });

  it("is asked of a few shards at a time, and kept no more of than is wanted", async () => {
    let asking = 0;
    let most = 0;
    const known = new KnownStreams({
      shards: 256,
      shard: (index) => ({
        rollup: async () => {
          most = Math.max(most, ++asking);
          await new Promise((resolve) => setImmediate(resolve));
          asking--;
          return rollup({ activeStreams: [knownStream(`${index}-a`), knownStream(`${index}-b`)] });
        },
        timeline: async () => [],
        knownStream: async () => undefined,
      }),
      findShards: async () => ({ indexes: Array.from({ length: 256 }, (_, index) => index) }),
    });
    const { streams } = await known.all((found) => found.slice(0, 1));
    expect([streams.length, most]).toEqual([256, 16]);
  });

  it("of one stream is in its object's shard and in its request's: both in one timeline", async () => {
    const objectId = Array.from({ length: 100 }, (_, at) => `object-${at}`).find(
      (id) => shardOf([id], SHARDS) !== shardOf([ID], SHARDS),
    );
    if (objectId === undefined) throw new Error("no object id of another shard");
    const byShard = new Map([
      [shardOf([objectId], SHARDS), [step(1, "SseStreamStarted"), step(3, "SseStreamEnded")]],
      [shardOf([ID], SHARDS), [step(2, "SseResumeFailed")]],
    ]);
    const known = new KnownStreams({
      shards: SHARDS,
      shard: (index) => ({
        rollup: async () => undefined,
        timeline: async () => byShard.get(index) ?? [],
        knownStream: async () => undefined,
      }),
      findShards: async () => ({ indexes: [] }),
    });
    const { timeline, missing } = await known.history(ID, objectId);
    expect(timeline.map(({ event }) => event)).toEqual(["SseStreamStarted", "SseResumeFailed", "SseStreamEnded"]);
    expect(missing).toEqual([]);
  });
});

test("an id looks like one of ours or like nothing at all", () => {
  expect(["A".repeat(27), "a-_9".repeat(10) + "abc"].map(isRequestId)).toEqual([true, true]);
  const others = [
    "",
    "A".repeat(26),
    "A".repeat(28),
    "A".repeat(44),
    `${"A".repeat(26)}\n`,
    `${"A".repeat(27)}\n`,
    "é".repeat(27),
  ];
  expect(others.filter(isRequestId)).toEqual([]);
});
