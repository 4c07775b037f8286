/**
 * Small files become fewer, and nothing else about the table changes.
 */
import { describe, expect, it } from "vitest";

import { currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { encodeManifestList } from "../../durable-objects/iceberg/manifest-list.ts";
import { ENTRY_STATUS } from "../../durable-objects/iceberg/manifest.ts";
import { DAY_MS, eventOf, eventsOf, makeTable, START_MS, type TableParts } from "../fixtures/lake-parts.ts";

const METADATA = "warehouse/spillway/events/metadata";

async function makeSmallFiles(files: number, daysBack = 0): Promise<TableParts> {
  const table = makeTable();
  for (let batch = 1; batch <= files; batch++) {
    const timeUs = (START_MS - (batch % (daysBack + 1)) * DAY_MS) * 1000 + batch;
    await table.stageRows(batch, [eventOf({ timeUs }), eventOf({ timeUs, extensions: '{"a":1}', subject: "s" })]);
    await table.committer.commit();
  }
  return table;
}

async function snapshotOf({ catalog }: TableParts) {
  const snapshot = currentSnapshot((await catalog.loadOrCreate()).metadata);
  if (snapshot === undefined) throw new Error("the table is empty");
  return snapshot;
}

async function liveFiles(table: TableParts): Promise<string[]> {
  const list = await table.manifests.readList((await snapshotOf(table))["manifest-list"]);
  const entries = await Promise.all(list.map(({ path }) => table.manifests.readEntries(path)));
  return entries
    .flat()
    .filter(({ status }) => status !== ENTRY_STATUS.deleted)
    .map(({ file }) => file.path);
}

const bySeq = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  rows.toSorted((left, right) => Number(left["seq"]) - Number(right["seq"]));

describe("compaction", () => {
  it("leaves every row as it was, in one file a day, and the old files named as deleted", async () => {
    const table = await makeSmallFiles(6, 1);
    const before = bySeq(await table.readRows());
    const report = await table.maintenance.compact();
    expect(report).toEqual({
      ok: true,
      rewritten_files: 6,
      added_files: 2,
      records: 12,
      snapshot_id: String((await snapshotOf(table))["snapshot-id"]),
      remaining_files: 0,
      reason: null,
    });
    expect(bySeq(await table.readRows())).toEqual(before);
    expect(await liveFiles(table)).toHaveLength(2);
    const list = await table.manifests.readList((await snapshotOf(table))["manifest-list"]);
    expect(list.reduce((sum, { deletedFilesCount }) => sum + deletedFilesCount, 0)).toBe(6);
    const { summary } = await snapshotOf(table);
    expect(summary).toMatchObject({
      operation: "replace",
      "added-data-files": "2",
      "added-records": "12",
      "deleted-data-files": "6",
      "deleted-records": "12",
      "changed-partition-count": "2",
      "total-data-files": "2",
      "total-records": "12",
    });
    expect(Number(summary["total-files-size"])).toBe(Number(summary["added-files-size"]));
    expect(table.told).toContainEqual(expect.objectContaining({ event: "IcebergCommitted", operation: "replace" }));
  });

  it("never brings back a file that an earlier rewrite took out of the same manifest", async () => {
    const table = makeTable();
    const dayBefore = { timeUs: (START_MS - DAY_MS) * 1000 };
    // One commit, one manifest: two files of one day, and one of another that is left alone at first.
    await table.stageRows(1, eventsOf(1));
    await table.stageRows(2, eventsOf(1));
    await table.stageRows(3, eventsOf(1, dayBefore));
    await table.committer.commit();
    expect(await table.maintenance.compact()).toMatchObject({ rewritten_files: 2, added_files: 1 });
    await table.stageRows(4, eventsOf(1, dayBefore));
    await table.committer.commit();
    expect(await table.maintenance.compact()).toMatchObject({ rewritten_files: 2, added_files: 1 });
    expect(await liveFiles(table)).toHaveLength(2);
    expect(await table.readKeys()).toEqual([1, 2, 3, 4].map((batch) => `0-3fa9c1d2:${batch}000`));
    const list = await table.manifests.readList((await snapshotOf(table))["manifest-list"]);
    const entries = (await Promise.all(list.map(({ path }) => table.manifests.readEntries(path)))).flat();
    // Each deleted file is named by the snapshot that took it out, and by none after.
    const deleted = entries.filter(({ status }) => status === ENTRY_STATUS.deleted);
    expect(deleted.map(({ file }) => file.path.replace(/^.*-|\.parquet$/g, "")).toSorted()).toEqual(["3", "4"]);
  });

  it("changes nothing where there is nothing to gain", async () => {
    const empty = makeTable();
    expect(await empty.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 0, snapshot_id: null });
    const table = await makeSmallFiles(1);
    const before = await snapshotOf(table);
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 0, remaining_files: 0 });
    expect(await snapshotOf(table)).toEqual(before);
    expect(table.objects.keys(/compact-/)).toEqual([]);
  });

  it("reads no file that is full, however small it is compressed", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch, eventsOf(100, { data: JSON.stringify("x".repeat(60_000)) }));
      await table.committer.commit();
    }
    const before = table.objects.countCalls("get", /\.parquet$/);
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 0 });
    expect(table.objects.countCalls("get", /\.parquet$/)).toBe(before);
  });

  it("never puts more rows into a file than a file may have", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 3; batch++) {
      await table.stageRows(batch * 10, eventsOf(9000));
      await table.committer.commit();
    }
    expect(await table.maintenance.compact()).toMatchObject({
      ok: true,
      rewritten_files: 2,
      added_files: 1,
      records: 18_000,
    });
    expect(await snapshotOf(table)).toMatchObject({ summary: { "total-data-files": "2", "total-records": "27000" } });
  });

  it("is given up where one of its files has left the table meanwhile, and no row is lost", async () => {
    const table = await makeSmallFiles(4);
    const other = makeTable({ clock: table.clock, objects: table.objects });
    const release = table.objects.hold("putIfAbsent", /compact-/);
    const late = table.maintenance.compact();
    // Only the first one is held: the other committer's own run goes through.
    await Promise.resolve();
    while (table.objects.countCalls("putIfAbsent", /compact-/) === 0) await new Promise((done) => setImmediate(done));
    expect(await other.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 4 });
    release();
    expect(await late).toMatchObject({
      ok: false,
      rewritten_files: 0,
      added_files: 0,
      reason: "a file to be replaced has left the table",
    });
    expect(table.store.pendingCommit()).toBeUndefined();
    expect(await table.readKeys()).toHaveLength(8);
    expect(await liveFiles(table)).toHaveLength(1);
  });

  it("takes along what others append meanwhile", async () => {
    const table = await makeSmallFiles(3);
    const other = makeTable({ clock: table.clock, objects: table.objects });
    await other.stageRows(1, eventsOf(5), "1-88b0c2aa");
    const [report] = await Promise.all([table.maintenance.compact(), other.committer.commit()]);
    expect(report).toMatchObject({ ok: true, rewritten_files: 3 });
    expect(await table.readKeys()).toHaveLength(11);
  });

  it.each(["before", "after"] as const)("is done once where the commit's answer is lost (%s)", async (fault) => {
    const table = await makeSmallFiles(3);
    table.objects.fail("putIfAbsent", /v5\.metadata/, { fault });
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 3, added_files: 1 });
    expect(await liveFiles(table)).toHaveLength(1);
    expect(await table.readKeys()).toHaveLength(6);
  });

  it("is finished by the next commit where the process died before it was done", async () => {
    const table = await makeSmallFiles(3);
    table.objects.fail("putIfAbsent", /v5\.metadata/, { times: 99 });
    expect(await table.maintenance.compact()).toMatchObject({ ok: false });
    table.objects.heal();
    const again = table.restart();
    expect(again.committer.pendingPaths("s3://bucket/x")).toHaveLength(2);
    expect(again.committer.dueAtMs(again.clock.nowMs, 0)).toBeDefined();
    await again.stageRows(9, eventsOf(1));
    expect(await again.committer.commit()).toMatchObject({ ok: true, committed_files: 1, committed_records: 1 });
    expect(await liveFiles(again)).toHaveLength(2);
    expect(await again.readKeys()).toHaveLength(7);
  });

  it("refuses a table that has delete files", async () => {
    const table = await makeSmallFiles(3);
    const { metadata } = await table.catalog.loadOrCreate();
    const snapshot = await snapshotOf(table);
    const list = await table.manifests.readList(snapshot["manifest-list"]);
    const deletes = list.map((manifest, at) => (at === 0 ? { ...manifest, content: "deletes" as const } : manifest));
    table.objects.plant(
      `${METADATA}/foreign.avro`,
      encodeManifestList({
        snapshotId: snapshot["snapshot-id"],
        sequenceNumber: snapshot["sequence-number"],
        parentSnapshotId: null,
        manifests: deletes,
      }),
    );
    const foreign = { ...snapshot, "manifest-list": `s3://bucket/${METADATA}/foreign.avro` };
    const snapshots = metadata.snapshots?.map((each) => (each === snapshot ? foreign : each));
    table.objects.plant(`${METADATA}/v5.metadata.json`, JSON.stringify({ ...metadata, snapshots }));
    expect(await table.maintenance.compact()).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/delete files/),
    });
    expect(table.objects.keys(/v6/)).toEqual([]);
  });

  it("leaves files alone whose columns it does not know, and rewrites the others", async () => {
    const table = await makeSmallFiles(3);
    const [strange] = table.objects.keys(/-1\.parquet/);
    if (strange === undefined) throw new Error("no file");
    // Another writer's codec or columns: not to be read here.
    table.objects.plant(strange, "PAR1 of somebody else PAR1");
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, rewritten_files: 2, added_files: 1 });
    const live = await liveFiles(table);
    expect(live).toContain(`s3://bucket/${strange}`);
    expect(live).toHaveLength(2);
  });

  it("fails, and changes nothing, where a file of the table is missing", async () => {
    const table = await makeSmallFiles(3);
    const before = await snapshotOf(table);
    table.objects.lose(/-2\.parquet/);
    expect(await table.maintenance.compact()).toMatchObject({ ok: false, reason: expect.stringMatching(/missing/) });
    expect(await snapshotOf(table)).toEqual(before);
  });
});
