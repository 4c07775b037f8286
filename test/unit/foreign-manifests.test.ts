/**
 * Manifests of other writers that cannot be read here, or not written again without loss: our rows come
 * into the table all the same.
 */
import { describe, expect, it } from "vitest";

import { readAvroFile, writeAvroFile } from "../../durable-objects/iceberg/avro-container.ts";
import type { AvroRecord } from "../../durable-objects/iceberg/avro-schema.ts";
import { currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { eventsOf, makeTable, type TableParts } from "../fixtures/lake-parts.ts";

const METADATA = "warehouse/spillway/events/metadata";

/** The manifest as a later version of the format would have it: its first entry says something more. */
async function addUnknownField({ objects }: TableParts, pattern: RegExp): Promise<void> {
  const [key] = objects.keys(pattern);
  const bytes = key === undefined ? undefined : await objects.get(key);
  if (key === undefined || bytes === undefined) throw new Error("no manifest");
  const { metadata, records } = readAvroFile(bytes);
  const schema = JSON.parse(metadata.get("avro.schema") ?? "") as { fields: object[] };
  schema.fields.push({ name: "tracking", type: ["null", "long"], "field-id": 9 });
  const more = records.map((record, at) => ({ ...(record as AvroRecord), tracking: at === 0 ? 5 : null }));
  const decoder = new TextDecoder();
  const rest = [...metadata].filter(([name]) => !name.startsWith("avro."));
  const texts = Object.fromEntries(
    rest.map(([name, value]) => [name, typeof value === "string" ? value : decoder.decode(value)]),
  );
  objects.plant(key, writeAvroFile({ schema, metadata: texts, records: more, codec: "deflate" }));
}

async function summaryOf({ catalog }: TableParts) {
  return currentSnapshot((await catalog.loadOrCreate()).metadata)?.summary;
}

describe("an entry with fields of a later format", () => {
  it("is left alone by compaction, which rewrites what is in other manifests", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
    }
    await addUnknownField(table, /-1-m0\.avro/);
    const again = table.restart();
    expect(await again.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 2, added_files: 1 });
    expect(await again.readKeys()).toHaveLength(3);
    expect(await summaryOf(again)).toMatchObject({ "total-data-files": "2" });
  });

  it("beside small files in one manifest leaves them as they are, and never stands in the way of a commit", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) await table.stageRows(batch, eventsOf(1));
    await table.committer.commit();
    await addUnknownField(table, /-1-m0\.avro/);
    const again = table.restart();
    const { rewritten_files: rewritten } = await again.maintenance.compact();
    expect(rewritten).toBe(0);
    expect(again.store.pendingCommit()).toBeUndefined();
    await again.stageRows(4, eventsOf(1));
    expect(await again.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    expect(await again.readKeys()).toHaveLength(4);
  });
});

describe("merging a hundred manifests", () => {
  it("leaves the one beside that it would lose something of", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 100; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
    }
    await addUnknownField(table, /-50-m0\.avro/);
    const again = table.restart();
    await again.stageRows(101, eventsOf(1));
    await again.committer.commit();
    const snapshot = currentSnapshot((await again.catalog.loadOrCreate()).metadata);
    const list = await again.manifests.readList(snapshot?.["manifest-list"] ?? "");
    expect(list.map(({ existingFilesCount }) => existingFilesCount).toSorted((a, b) => a - b)).toEqual([0, 0, 99]);
    expect(await again.readKeys()).toHaveLength(101);
  });
});

describe("a manifest that cannot be read here", () => {
  it("is not merged, and does not hold up appends to a table with many manifests", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 100; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
    }
    const [key] = table.objects.keys(/-50-m0\.avro/);
    const bytes = key === undefined ? undefined : await table.objects.get(key);
    if (key === undefined || bytes === undefined) throw new Error("no manifest");
    table.objects.plant(key, "Obj\u0001 by a codec of its own");
    const again = table.restart();
    await again.stageRows(101, eventsOf(1));
    expect(await again.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    expect(await summaryOf(again)).toMatchObject({ "total-data-files": "101", "total-records": "101" });
    // Its own reader can read it still.
    again.objects.plant(key, bytes);
    expect(await again.readKeys()).toHaveLength(101);
  });

  it("ends a compaction without leaving a commit behind that can never be done", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
    }
    // Another writer's append comes between planning and committing.
    const release = table.objects.hold("putIfAbsent", /compact-/);
    const compaction = table.maintenance.compact();
    while (table.objects.countCalls("putIfAbsent", /compact-/) === 0) await new Promise((done) => setImmediate(done));
    const other = makeTable({ clock: table.clock, objects: table.objects });
    await other.stageRows(1, eventsOf(1), "1-88b0c2aa");
    await other.committer.commit();
    const [foreign] = table.objects.keys(new RegExp(`${other.committer.record.committerId}-1-m0`));
    const bytes = foreign === undefined ? undefined : await table.objects.get(foreign);
    if (foreign === undefined || bytes === undefined) throw new Error("no manifest");
    table.objects.plant(foreign, "Obj\u0001 by a codec of its own");
    release();
    expect(await compaction).toMatchObject({ ok: false, rewritten_files: 0 });
    expect(table.store.pendingCommit()).toBeUndefined();
    await table.stageRows(4, eventsOf(1));
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    table.objects.plant(foreign, bytes);
    expect(await table.readKeys()).toHaveLength(5);
  });
});

describe("files by another partition spec", () => {
  it("are left alone by compaction: what they are partitioned by is no day", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 2; batch++) await table.stageRows(batch, eventsOf(1));
    await table.committer.commit();
    const { metadata } = await table.catalog.loadOrCreate();
    const hourly = metadata["partition-specs"].map((spec) => ({
      "spec-id": 0,
      fields: spec.fields.map((field) => ({ ...field, transform: "hour" })),
    }));
    const daily = metadata["partition-specs"].map((spec) => ({ ...spec, "spec-id": 1 }));
    const evolved = { ...metadata, "partition-specs": [...hourly, ...daily], "default-spec-id": 1 };
    table.objects.plant(`${METADATA}/v3.metadata.json`, JSON.stringify(evolved));
    for (let batch = 3; batch <= 4; batch++) await table.stageRows(batch, eventsOf(1));
    await table.committer.commit();
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 2, added_files: 1 });
    expect(await summaryOf(table)).toMatchObject({ "total-data-files": "3" });
    expect(await table.readKeys()).toHaveLength(4);
  });
});
