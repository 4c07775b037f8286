/**
 * Batches become files once, whatever step an attempt was interrupted after.
 */
import { parquetMetadata } from "hyparquet";
import { describe, expect, it } from "vitest";

import type { Delivery } from "../../durable-objects/analytics/batch-sink.ts";
import { IcebergSink } from "../../durable-objects/analytics/iceberg-sink.ts";
import type { DataFile } from "../../durable-objects/iceberg/data-file.ts";
import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import type { StageCall } from "../../protocol/lake-call.ts";
import { DAY_MS, eventOf, eventsOf, LOCATION, makeShard, makeTable, START_MS } from "../fixtures/lake-parts.ts";
import { MemoryObjects } from "../fixtures/memory-objects.ts";

const DATA = /\/data\//;
const SHARD = "0-3fa9c1d2";
const KEY = "warehouse/spillway/events/data/2026-11-21/0-3fa9c1d2-1.parquet";

function rowOf(seq: number, overrides: Partial<LakeRow> = {}): LakeRow {
  return { ...eventOf(), ingestTimeUs: START_MS * 1000, shard: SHARD, seq, ...overrides };
}

function makeSink({ failStage = () => undefined as "before" | "after" | undefined } = {}) {
  const objects = new MemoryObjects(() => START_MS);
  const staged: StageCall[] = [];
  const sink = new IcebergSink({
    objects,
    tableLocation: async () => LOCATION,
    stage: async (call) => {
      const fault = failStage();
      if (fault === "before") throw new Error("the table object is out of reach");
      staged.push(call);
      if (fault === "after") throw new Error("the answer was lost");
      return "taken";
    },
    withdraw: async () => "withdrawn",
  });
  return { objects, staged, sink };
}

const batchOf = (rows: readonly LakeRow[]) => ({ shardIndex: 0, shard: SHARD, batch: 1, rows });
async function delivered(sink: IcebergSink, rows: readonly LakeRow[]): Promise<Delivery> {
  const delivery = await sink.deliver(batchOf(rows));
  if (delivery === "withdrawn") throw new Error("nobody has withdrawn it");
  return delivery;
}
const filesOf = ({ files }: StageCall): DataFile[] => JSON.parse(files) as DataFile[];

describe("a batch", () => {
  it("becomes one file for each day, under keys that no signature stumbles over", async () => {
    const { objects, staged, sink } = makeSink();
    const days = [0, -1, 2, -1, 0];
    const rows = days.map((day, at) => rowOf(at + 1, { timeUs: (START_MS + day * DAY_MS) * 1000 }));
    expect(await sink.deliver(batchOf(rows))).toMatchObject({ files: 3, poison: [] });
    expect(objects.keys()).toEqual(
      ["2026-11-20", "2026-11-21", "2026-11-23"].map(
        (day) => `warehouse/spillway/events/data/${day}/0-3fa9c1d2-1.parquet`,
      ),
    );
    for (const key of objects.keys()) expect(key).toMatch(/^[\w/.-]+$/);
    const files = staged.flatMap(filesOf);
    expect(files.map(({ recordCount }) => recordCount)).toEqual([2, 2, 1]);
    expect(files.map(({ path }) => path.slice("s3://bucket/".length))).toEqual(objects.keys());
  });

  it("before 1970 has its day all the same", async () => {
    const { objects, sink } = makeSink();
    await sink.deliver(batchOf([rowOf(1, { timeUs: -1 })]));
    expect(objects.keys()).toEqual(["warehouse/spillway/events/data/1969-12-31/0-3fa9c1d2-1.parquet"]);
  });

  it("is staged with what is true of its file", async () => {
    const { objects, staged, sink } = makeSink();
    const delivery = await delivered(sink, [rowOf(1), rowOf(2)]);
    const [file] = staged.flatMap(filesOf);
    const bytes = await objects.get(KEY);
    if (bytes === undefined || file === undefined) throw new Error("no file");
    expect(file.fileSizeBytes).toBe(bytes.byteLength);
    expect(delivery.bytes).toBe(bytes.byteLength);
    expect(Number(parquetMetadata(bytes.slice().buffer).num_rows)).toBe(file.recordCount);
  });

  it("of poison alone stages nothing and writes nothing", async () => {
    const { objects, staged, sink } = makeSink();
    const poison = rowOf(1, { timeUs: 0.5 });
    expect(await sink.deliver(batchOf([poison]))).toEqual({
      files: 0,
      bytes: 0,
      poison: [{ row: poison, reason: expect.stringMatching(/^time: found 0.5/) }],
    });
    expect([objects.keys(), staged]).toEqual([[], []]);
  });

  it("with some poison delivers the rest", async () => {
    const { staged, sink } = makeSink();
    const { poison } = await delivered(sink, [rowOf(1), rowOf(Number.NaN), rowOf(3)]);
    expect(poison.map(({ reason }) => reason)).toEqual(["seq: found NaN, allowed is a safe integer"]);
    expect(staged.flatMap(filesOf)).toMatchObject([{ recordCount: 2 }]);
  });
});

describe("an interrupted delivery", () => {
  it("leaves one file of the same content, where the put's answer was lost", async () => {
    const { objects, staged, sink } = makeSink();
    objects.fail("putIfAbsent", DATA, { fault: "after" });
    const batch = batchOf([rowOf(1), rowOf(2)]);
    await expect(sink.deliver(batch)).rejects.toThrow("lost");
    const before = await objects.get(KEY);
    expect(await sink.deliver(batch)).toMatchObject({ files: 1 });
    expect(await objects.get(KEY)).toEqual(before);
    expect(staged).toHaveLength(1);
  });

  it.each(["before", "throttled"] as const)("stages nothing where the put fails (%s)", async (fault) => {
    const { objects, staged, sink } = makeSink();
    objects.fail("putIfAbsent", DATA, { fault });
    const batch = batchOf([rowOf(1)]);
    await expect(sink.deliver(batch)).rejects.toThrow(/putIfAbsent failed|fewer writes/);
    expect(staged).toEqual([]);
    expect(await sink.deliver(batch)).toMatchObject({ files: 1 });
  });

  it("stages the same files again where staging failed, or its answer was lost", async () => {
    const faults: ("before" | "after")[] = ["before", "after"];
    const { staged, sink } = makeSink({ failStage: () => faults.shift() });
    const batch = batchOf([rowOf(1), rowOf(2, { timeUs: (START_MS + DAY_MS) * 1000 })]);
    await expect(sink.deliver(batch)).rejects.toThrow("out of reach");
    await expect(sink.deliver(batch)).rejects.toThrow("lost");
    await sink.deliver(batch);
    expect(staged).toHaveLength(2);
    expect(staged[1]).toEqual(staged[0]);
  });

  it("finishes a batch of which only some days were written", async () => {
    const { objects, staged, sink } = makeSink();
    objects.fail("putIfAbsent", /2026-11-22/);
    const batch = batchOf([rowOf(1), rowOf(2, { timeUs: (START_MS + DAY_MS) * 1000 })]);
    await expect(sink.deliver(batch)).rejects.toThrow("putIfAbsent failed");
    expect(objects.keys()).toHaveLength(1);
    await sink.deliver(batch);
    expect(staged.flatMap(filesOf).map(({ recordCount }) => recordCount)).toEqual([1, 1]);
  });

  it("takes the word of the file that is there, which another version may have written", async () => {
    const { objects, staged, sink } = makeSink();
    const rows = [rowOf(1), rowOf(2)];
    const older = encodeParquet(rows, TABLE_COLUMNS.slice(0, 11));
    const file: DataFile = {
      path: `s3://bucket/${KEY}`,
      day: 20_778,
      recordCount: 2,
      fileSizeBytes: older.bytes.byteLength,
      jsonBytes: 1,
      ...older.metrics,
    };
    objects.plant(KEY, older.bytes, { descriptor: JSON.stringify(file) });
    await sink.deliver(batchOf(rows));
    expect(staged.flatMap(filesOf)).toEqual([file]);
    expect(await objects.get(KEY)).toEqual(older.bytes);
  });

  it("sets aside the rows that an earlier version's file lacks", async () => {
    const { objects, staged, sink } = makeSink();
    const [kept, missing] = [rowOf(1), rowOf(2)];
    const { bytes, metrics } = encodeParquet([kept], TABLE_COLUMNS);
    const file = {
      path: `s3://bucket/${KEY}`,
      day: 20_778,
      recordCount: 1,
      fileSizeBytes: bytes.byteLength,
      jsonBytes: 1,
    };
    objects.plant(KEY, bytes, { descriptor: JSON.stringify({ ...file, ...metrics }) });
    const { poison } = await delivered(sink, [kept, missing]);
    expect(poison.map(({ row }) => row)).toEqual([missing]);
    expect(staged.flatMap(filesOf)).toMatchObject([file]);
  });

  it("goes no further where a file is there that nobody describes", async () => {
    const { objects, staged, sink } = makeSink();
    objects.plant(KEY, "a stranger's");
    await expect(sink.deliver(batchOf([rowOf(1)]))).rejects.toThrow("without its descriptor");
    expect(staged).toEqual([]);
  });
});

describe("L1 a shard and its table, through a crash after every step", () => {
  const steps = ["put", "stage", "finish"] as const;
  it.each(steps)("keeps every event exactly once: %s", async (step) => {
    const table = makeTable();
    const shard = makeShard({ clock: table.clock });
    const events = [...eventsOf(3), eventOf({ timeUs: (START_MS + DAY_MS) * 1000 })];
    shard.append(events);
    if (step === "put") table.objects.fail("putIfAbsent", /2026-11-22/, { fault: "after" });
    const crashing = new IcebergSink({
      objects: table.objects,
      tableLocation: async () => LOCATION,
      stage: async ({ shard: name, shardIndex, batch, files }) => {
        table.store.stage({ shard: name, index: shardIndex }, batch, files);
        if (step === "stage") throw new Error("the process dies here");
        shard.storage.shouldFail = (kind) => step === "finish" && kind === "write";
        return "taken";
      },
      withdraw: async () => "withdrawn",
    });
    expect(await shard.createFlush(crashing, table.objects).flush()).toMatchObject({ remaining: 4 });
    const again = shard.restart();
    expect(await again.createFlush(table.sink, table.objects).flush()).toMatchObject({ files: 2, remaining: 0 });
    expect(table.store.countStagedFiles()).toBe(2);
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 2, committed_records: 4 });
    expect(await table.readKeys()).toEqual([1, 2, 3, 4].map((seq) => `${SHARD}:${seq}`));
    expect(table.objects.keys(DATA)).toHaveLength(2);
  });

  it("stages a batch once also where that is asked for after its commit", async () => {
    const table = makeTable();
    const events = eventsOf(2);
    await table.stageRows(1, events);
    await table.committer.commit();
    await table.stageRows(1, events);
    expect(table.store.countStagedFiles()).toBe(0);
    expect(table.restart().store.lastBatchOf(SHARD)).toBe(1);
  });
});
