/**
 * What a table grows through: columns of a later version, many manifests, old snapshots.
 */
import { describe, expect, it } from "vitest";

import { Committer } from "../../durable-objects/iceberg/committer.ts";
import { ManifestFiles } from "../../durable-objects/iceberg/manifest-files.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createMetadata, currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { eventOf, eventsOf, LOCATION, makeTable, START_MS } from "../fixtures/lake-parts.ts";
import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";

const METADATA = "warehouse/spillway/events/metadata";
const FIRST_COLUMNS = TABLE_COLUMNS.slice(0, 11);

describe("a table of the first version", () => {
  it("gets the new column as an optional one in a commit of its own, and its older files are read as before", async () => {
    const table = makeTable({ columns: FIRST_COLUMNS });
    const shard = "0-3fa9c1d2";
    const older = eventOf({ extensions: undefined });
    const row = { ...older, ingestTimeUs: START_MS * 1000, shard, seq: 1 };
    const { bytes, metrics } = encodeParquet([row], FIRST_COLUMNS);
    const path = `${LOCATION}/data/2026-11-21/${shard}-1.parquet`;
    table.objects.plant(path.slice("s3://bucket/".length), bytes);
    const file = { path, day: 20_778, recordCount: 1, fileSizeBytes: bytes.byteLength, jsonBytes: 300, ...metrics };
    table.store.stage({ shard, index: 0 }, 1, JSON.stringify([file]));
    expect(await table.committer.commit()).toMatchObject({ ok: true });

    const newer = makeTable({ clock: table.clock, objects: table.objects }, table.storage);
    const traced = eventOf({ extensions: '{"traceparent":"00-1"}' });
    await newer.stageRows(2, [traced]);
    expect(await newer.committer.commit()).toMatchObject({ ok: true, committed_records: 1 });
    const { metadata } = await newer.catalog.loadOrCreate();
    expect(metadata.schemas.map((schema) => schema.fields.length)).toEqual([11, 12]);
    expect(metadata["current-schema-id"]).toBe(1);
    expect(metadata["last-column-id"]).toBe(12);
    expect(metadata.schemas[1]?.fields.at(-1)).toMatchObject({ id: 12, name: "extensions", required: false });
    // Schema and snapshot, one metadata file each, after the table's own and the first snapshot's.
    expect(newer.objects.keys(/v\d+\.metadata/)).toHaveLength(4);
    expect(metadata.snapshots?.map((snapshot) => snapshot["schema-id"])).toEqual([0, 1]);

    const rows = await newer.readRows();
    const extensionsById = new Map(rows.map((read) => [read["id"], read["extensions"] ?? null]));
    expect(extensionsById).toEqual(
      new Map([
        [older.id, null],
        [traced.id, '{"traceparent":"00-1"}'],
      ]),
    );
  });

  it("gets it once, though two committers come with it at the same time", async () => {
    const first = makeTable({ columns: FIRST_COLUMNS });
    await first.catalog.loadOrCreate();
    const [one, two] = [0, 1].map(() => makeTable({ clock: first.clock, objects: first.objects }));
    if (one === undefined || two === undefined) throw new Error("two were made");
    await one.stageRows(1, eventsOf(2), "0-3fa9c1d2");
    await two.stageRows(1, eventsOf(3), "1-88b0c2aa");
    const reports = await Promise.all([one.committer.commit(), two.committer.commit()]);
    expect(reports).toMatchObject([{ ok: true }, { ok: true }]);
    expect([...one.told, ...two.told].map(({ event }) => event)).toContain("IcebergConflict");
    const { metadata } = await two.catalog.loadOrCreate();
    expect(metadata.schemas).toHaveLength(2);
    expect(await two.readKeys()).toHaveLength(5);
  });

  it("cannot be brought to this version where it lacks a required column", async () => {
    const table = makeTable();
    const metadata = createMetadata({
      uuid: "u",
      location: LOCATION,
      columns: TABLE_COLUMNS.filter(({ name }) => name !== "tenant"),
      nowMs: START_MS,
    });
    table.objects.plant(`${METADATA}/v1.metadata.json`, JSON.stringify(metadata));
    await table.stageRows(1, eventsOf(1));
    expect(await table.committer.commit()).toEqual({
      ok: false,
      reason: "the table lacks the required column tenant",
      staged_files: 1,
    });
  });

  it("keeps the columns that somebody else has added", async () => {
    const table = makeTable();
    const metadata = createMetadata({ uuid: "u", location: LOCATION, columns: FIRST_COLUMNS, nowMs: START_MS });
    const region = { id: 40, name: "region", required: false, type: "string" };
    const schemas = metadata.schemas.map((schema) => ({ ...schema, fields: [...schema.fields, region] }));
    table.objects.plant(`${METADATA}/v1.metadata.json`, JSON.stringify({ ...metadata, schemas, "last-column-id": 40 }));
    await table.stageRows(1, eventsOf(1));
    expect(await table.committer.commit()).toMatchObject({ ok: true });
    const after = (await table.catalog.loadOrCreate()).metadata;
    expect(after.schemas.at(-1)?.fields.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 40, 12]);
    expect(after["last-column-id"]).toBe(40);
    expect(await table.readRows()).toMatchObject([{ region: undefined }]);
  });
});

describe("many commits", () => {
  it("are merged to few manifests, and every row is still read once, also of the snapshots before", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 101; batch++) {
      await table.stageRows(batch, eventsOf(1));
      expect(await table.committer.commit()).toMatchObject({ ok: true });
    }
    const { metadata } = await table.catalog.loadOrCreate();
    const lists = await Promise.all(
      (metadata.snapshots ?? []).map((snapshot) =>
        new ManifestFiles(table.objects).readList(snapshot["manifest-list"]),
      ),
    );
    // The hundredth finds 99 before itself, the next one a hundred.
    expect(lists.map((list) => list.length).slice(-2)).toEqual([100, 2]);
    expect(await table.readKeys()).toEqual(
      Array.from({ length: 101 }, (_, at) => `0-3fa9c1d2:${(at + 1) * 1000}`).toSorted(),
    );
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-records": "101", "total-data-files": "101" });
    const [merged] = lists.at(-1)?.filter(({ existingFilesCount }) => existingFilesCount > 0) ?? [];
    expect(merged).toMatchObject({ addedFilesCount: 0, existingFilesCount: 100, existingRowsCount: 100 });
  });

  it("keep no more snapshots than asked for, by the commit that adds one", async () => {
    const table = makeTable({ settings: { snapshotsKept: 3 } });
    for (let batch = 1; batch <= 6; batch++) {
      table.clock.nowMs += 1000;
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
      const { metadata } = await table.catalog.loadOrCreate();
      expect(metadata.snapshots).toHaveLength(Math.min(batch, 3));
      expect(metadata["snapshot-log"]).toHaveLength(Math.min(batch, 3));
    }
    expect(table.objects.keys(/v\d+\.metadata/)).toHaveLength(7);
    expect(await table.readKeys()).toHaveLength(6);
  });

  it("keep the new snapshot alone where one is asked for", async () => {
    const table = makeTable({ settings: { snapshotsKept: 1 } });
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
      const { metadata } = await table.catalog.loadOrCreate();
      expect(metadata.snapshots).toHaveLength(1);
      expect(metadata.snapshots?.[0]?.["snapshot-id"]).toBe(metadata["current-snapshot-id"]);
    }
    expect(await table.readKeys()).toHaveLength(3);
  });

  it("never take the table's history back with a clock that was set back", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
      table.clock.nowMs -= 60_000;
    }
    const { metadata } = await table.catalog.loadOrCreate();
    expect(metadata.snapshots?.map((snapshot) => snapshot["timestamp-ms"])).toEqual([START_MS, START_MS, START_MS]);
    expect(metadata["last-updated-ms"]).toBe(START_MS);
  });

  it("leave snapshots alone that a tag is at", async () => {
    const table = makeTable({ settings: { snapshotsKept: 2 } });
    await table.stageRows(1, eventsOf(1));
    await table.committer.commit();
    const { metadata } = await table.catalog.loadOrCreate();
    const tagged = currentSnapshot(metadata)?.["snapshot-id"];
    const refs = { ...metadata.refs, audit: { type: "tag", "snapshot-id": tagged } };
    table.objects.plant(`${METADATA}/v3.metadata.json`, JSON.stringify({ ...metadata, refs }));
    for (let batch = 2; batch <= 5; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
    }
    const after = (await table.catalog.loadOrCreate()).metadata;
    expect(after.snapshots?.map((snapshot) => snapshot["snapshot-id"])).toContain(tagged);
    expect(after.snapshots).toHaveLength(3);
  });

  it("leave snapshots to a catalog that looks after them itself", async () => {
    const table = makeTable();
    const committer = new Committer({
      store: table.store,
      manifests: table.manifests,
      catalog: {
        isEmbedded: false,
        load: () => table.catalog.load(),
        loadOrCreate: () => table.catalog.loadOrCreate(),
        commit: (base, change) => table.catalog.commit(base, change),
      },
      columns: TABLE_COLUMNS,
      snapshotsKept: 1,
      clock: table.clock.read,
      random: () => Math.random(),
      randomUuid: () => crypto.randomUUID(),
      sleep: async () => undefined,
      telemetry: () => undefined,
    });
    for (let batch = 1; batch <= 4; batch++) {
      await table.stageRows(batch, eventsOf(1));
      await committer.commit();
    }
    expect((await table.catalog.loadOrCreate()).metadata.snapshots).toHaveLength(4);
  });
});
