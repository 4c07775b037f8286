/**
 * What goes to a pipeline: calls within its limits, and everything at least once.
 */
import { describe, expect, it } from "vitest";

import { PipelinesSink } from "../../durable-objects/analytics/pipelines-sink.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { eventOf, START_MS } from "../fixtures/lake-parts.ts";

/** Platform limits of one call and one record. */
const CALL_MAX_BYTES = 5_000_000;
const RECORD_MAX_BYTES = 1_000_000;

function rowOf(seq: number, overrides: Partial<LakeRow> = {}): LakeRow {
  return { ...eventOf(), ingestTimeUs: START_MS * 1000, shard: "0-3fa9c1d2", seq, ...overrides };
}

function makePipeline() {
  const calls: (readonly object[])[] = [];
  const pipeline = {
    failures: 0,
    send: async (records: readonly object[]) => {
      if (pipeline.failures-- > 0) throw new Error("the pipeline is out of reach");
      calls.push(records);
    },
  };
  return { calls, pipeline, sink: new PipelinesSink(pipeline) };
}

const batchOf = (rows: readonly LakeRow[]) => ({ shardIndex: 0, shard: "0-3fa9c1d2", batch: 1, rows });

describe("a record", () => {
  it("has the table's columns, with null for what is not there", async () => {
    const { calls, sink } = makePipeline();
    const row = rowOf(7, { timeUs: Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 6, requestId: "r-1", data: '{"a":1}' });
    await sink.deliver(batchOf([row]));
    expect(calls).toEqual([
      [
        {
          id: row.id,
          source: row.source,
          type: row.type,
          subject: null,
          time: "2026-01-02T03:04:05.000006Z",
          request_id: "r-1",
          tenant: "acme",
          data: '{"a":1}',
          extensions: null,
          ingest_time: "2026-11-21T09:00:00.000000Z",
          shard: "0-3fa9c1d2",
          seq: 7,
        },
      ],
    ]);
  });

  it("before 1970 has its microseconds, too", async () => {
    const { calls, sink } = makePipeline();
    await sink.deliver(batchOf([rowOf(1, { timeUs: -1 })]));
    expect(calls.flat()).toMatchObject([{ time: "1969-12-31T23:59:59.999999Z" }]);
  });
});

describe("a batch", () => {
  it("is sent in calls within the limit, every row once and in order", async () => {
    const { calls, sink } = makePipeline();
    const rows = Array.from({ length: 30 }, (_, at) => rowOf(at, { data: `"${"€".repeat(200_000)}"` }));
    const { poison, files, bytes } = await sink.deliver(batchOf(rows));
    expect(calls.length).toBeGreaterThan(1);
    // Four of nearly the largest, then a small one, leave no room for another.
    const mixed = [999_000, 999_000, 999_000, 999_000, 190_000, 999_000].map((size, at) =>
      rowOf(at, { data: `"${"x".repeat(size)}"` }),
    );
    expect((await sink.deliver(batchOf(mixed))).poison).toEqual([]);
    const sizes = calls.map((records) => new TextEncoder().encode(JSON.stringify(records)).byteLength);
    for (const size of sizes) expect(size).toBeLessThan(CALL_MAX_BYTES);
    expect(calls.flat()).toMatchObject([...rows, ...mixed].map(({ seq }) => ({ seq })));
    expect({ poison, files }).toEqual({ poison: [], files: 0 });
    expect(bytes).toBeGreaterThan(30 * 600_000);
  });

  it("gives up a record that no call can take, by its bytes, and sends the others", async () => {
    const { calls, sink } = makePipeline();
    const large = rowOf(2, { data: `"${"€".repeat(RECORD_MAX_BYTES / 3)}"` });
    const { poison } = await sink.deliver(batchOf([rowOf(1), large, rowOf(3)]));
    expect(poison).toEqual([{ row: large, reason: expect.stringMatching(/^\d+ bytes, a pipeline takes 1000000$/) }]);
    expect(calls.flat()).toMatchObject([{ seq: 1 }, { seq: 3 }]);
  });

  it("makes no call of nothing", async () => {
    const { calls, sink } = makePipeline();
    expect(await sink.deliver(batchOf([]))).toEqual({ files: 0, bytes: 0, poison: [] });
    expect(calls).toEqual([]);
  });

  it("fails as a whole where a call fails, and is sent whole again", async () => {
    const { calls, pipeline, sink } = makePipeline();
    pipeline.failures = 1;
    const rows = [rowOf(1), rowOf(2)];
    await expect(sink.deliver(batchOf(rows))).rejects.toThrow("out of reach");
    await sink.deliver(batchOf(rows));
    expect(calls.flat()).toMatchObject([{ seq: 1 }, { seq: 2 }]);
  });
});
