/**
 * When a table is looked after, and what a day's run does.
 */
import { describe, expect, it } from "vitest";

import { Maintenance } from "../../durable-objects/iceberg/maintenance.ts";
import { describeTable } from "../../durable-objects/iceberg/table-report.ts";
import { currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { DAY_MS, eventsOf, LOCATION, makeTable, nextUuid, settingsOf, START_MS } from "../fixtures/lake-parts.ts";
import type { TableParts } from "../fixtures/lake-parts.ts";

async function commitOne(table: TableParts, batch: number): Promise<void> {
  await table.stageRows(batch, eventsOf(1));
  await table.committer.commit();
}

/** All turns of a day that are due. */
async function runDay(maintenance: Maintenance, clock: { readonly nowMs: number }): Promise<number> {
  let turns = 0;
  do {
    await maintenance.takeTurn();
    turns++;
  } while ((maintenance.dueAtMs() ?? Number.POSITIVE_INFINITY) <= clock.nowMs);
  return turns;
}

describe("a day's run", () => {
  it("is due a day after the first commit, then a day after the last run, if anything was committed since", async () => {
    const table = makeTable();
    expect(table.maintenance.dueAtMs()).toBeUndefined();
    await commitOne(table, 1);
    expect(table.maintenance.dueAtMs()).toBe(START_MS + DAY_MS);
    table.clock.nowMs += DAY_MS;
    await runDay(table.maintenance, table.clock);
    // Its own commits do not count.
    expect(table.maintenance.dueAtMs()).toBeUndefined();
    table.clock.nowMs += 3 * DAY_MS;
    await commitOne(table, 2);
    expect(table.maintenance.dueAtMs()).toBe(START_MS + 2 * DAY_MS);
    expect(table.restart().maintenance.dueAtMs()).toBe(START_MS + 2 * DAY_MS);
  });

  it("is not put off by commits that go on", async () => {
    const table = makeTable();
    for (let hour = 0; hour < 24; hour++) {
      await commitOne(table, hour + 1);
      table.clock.nowMs += DAY_MS / 24;
    }
    expect(table.maintenance.dueAtMs()).toBe(START_MS + DAY_MS);
    expect(table.restart().maintenance.dueAtMs()).toBe(START_MS + DAY_MS);
  });

  it("merges small files, drops snapshots beyond the setting, and sweeps", async () => {
    const table = makeTable({ settings: { snapshotsKept: 4 } });
    for (let batch = 1; batch <= 6; batch++) await commitOne(table, batch);
    table.objects.plant("warehouse/spillway/events/data/2026-11-21/compact-lost.parquet", "x");
    table.clock.nowMs += 2 * DAY_MS;
    await runDay(table.maintenance, table.clock);
    const { metadata } = await table.catalog.loadOrCreate();
    expect(metadata.snapshots).toHaveLength(4);
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-data-files": "1", "total-records": "6" });
    expect(table.objects.keys(/compact-lost/)).toEqual([]);
    expect(await table.readKeys()).toHaveLength(6);
    // Nothing is left to do the next time.
    const before = table.objects.keys();
    await runDay(table.maintenance, table.clock);
    expect(table.objects.keys()).toEqual(before);
  });

  it("runs as often as there are files to merge, up to its bound", async () => {
    const table = makeTable();
    // Twenty days of two files each: more new files than one run makes.
    for (let batch = 1; batch <= 2; batch++) {
      const events = Array.from({ length: 20 }, (_, day) => eventsOf(1, { timeUs: (START_MS - day * DAY_MS) * 1000 }));
      await table.stageRows(batch, events.flat());
    }
    await table.committer.commit();
    expect(await table.maintenance.compact()).toMatchObject({
      rewritten_files: 32,
      added_files: 16,
      remaining_files: 8,
    });
    await runDay(table.maintenance, table.clock);
    const { metadata } = await table.catalog.loadOrCreate();
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-data-files": "20", "total-records": "40" });
    expect(await table.readKeys()).toHaveLength(40);
  });

  it("takes a turn for each compaction run, so that no alarm does more than one, and commits go in between", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 2; batch++) {
      const events = Array.from({ length: 40 }, (_, day) => eventsOf(1, { timeUs: (START_MS - day * DAY_MS) * 1000 }));
      await table.stageRows(batch, events.flat());
    }
    await table.committer.commit();
    const files: number[] = [];
    for (let turn = 1; turn <= 4; turn++) {
      await table.maintenance.takeTurn();
      expect(table.maintenance.dueAtMs()).toBe(table.clock.nowMs);
      if (turn === 2) await commitOne(table, 3);
      const { metadata } = await table.catalog.loadOrCreate();
      files.push(Number(currentSnapshot(metadata)?.summary["total-data-files"]));
    }
    // A sweep; three runs of sixteen new files at most, the commit's own file joined by the last of them.
    expect(files).toEqual([80, 65, 49, 40]);
    await table.maintenance.takeTurn();
    expect(table.maintenance.dueAtMs()).toBeUndefined();
    expect(await table.readKeys()).toHaveLength(81);
  });

  it("sweeps first, so that a compaction that fails every day keeps no orphan alive; and tries again in an hour", async () => {
    const table = makeTable();
    await commitOne(table, 1);
    await commitOne(table, 2);
    table.objects.plant("warehouse/spillway/events/data/2026-11-21/compact-lost.parquet", "x");
    table.clock.nowMs += 2 * DAY_MS;
    table.objects.fail("get", /\.parquet$/, { times: 999 });
    expect(await runDay(table.maintenance, table.clock)).toBe(2);
    expect(table.objects.keys(/compact-lost/)).toEqual([]);
    expect(table.told).toContainEqual(expect.objectContaining({ event: "IcebergMaintenanceFailed", step: "compact" }));
    expect(table.maintenance.dueAtMs()).toBe(table.clock.nowMs + 3_600_000);
    table.objects.heal();
    table.clock.nowMs += 3_600_000;
    await runDay(table.maintenance, table.clock);
    const { metadata } = await table.catalog.loadOrCreate();
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-data-files": "1", "total-records": "2" });
  });

  it("merges files although sweeping fails, and tries again in an hour", async () => {
    const table = makeTable();
    await commitOne(table, 1);
    await commitOne(table, 2);
    table.clock.nowMs += 2 * DAY_MS;
    table.objects.fail("list", /./, { times: 999 });
    await runDay(table.maintenance, table.clock);
    const { metadata } = await table.catalog.loadOrCreate();
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-data-files": "1", "total-records": "2" });
    expect(table.told).toContainEqual(expect.objectContaining({ event: "IcebergMaintenanceFailed", step: "sweep" }));
    expect(table.maintenance.dueAtMs()).toBe(table.clock.nowMs + 3_600_000);
  });

  it.each([0, 1, 2])(
    "a turn that the object does not survive, after %i others, is not repeated for an hour",
    async (turns) => {
      const table = makeTable();
      await commitOne(table, 1);
      await commitOne(table, 2);
      table.clock.nowMs += 2 * DAY_MS;
      for (let turn = 0; turn < turns; turn++) await table.maintenance.takeTurn();
      void table.maintenance.takeTurn();
      const { maintenance } = table.restart();
      expect(maintenance.dueAtMs()).toBe(table.clock.nowMs + 3_600_000);
      table.clock.nowMs += 3_600_000;
      await runDay(maintenance, table.clock);
      expect(maintenance.dueAtMs() ?? table.clock.nowMs + DAY_MS).toBe(table.clock.nowMs + DAY_MS);
    },
  );

  it("a compaction run ends early where the bucket is slow, with at least one new file", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 2; batch++) {
      const events = Array.from({ length: 6 }, (_, day) => eventsOf(1, { timeUs: (START_MS - day * DAY_MS) * 1000 }));
      await table.stageRows(batch, events.flat());
    }
    await table.committer.commit();
    const get = table.objects.get.bind(table.objects);
    table.objects.get = (key) => {
      table.clock.nowMs += key.endsWith(".parquet") ? 6000 : 0;
      return get(key);
    };
    expect(await table.maintenance.compact()).toMatchObject({ ok: true, added_files: 2, remaining_files: 8 });
    await runDay(table.maintenance, table.clock);
    const { metadata } = await table.catalog.loadOrCreate();
    expect(currentSnapshot(metadata)?.summary).toMatchObject({ "total-data-files": "6", "total-records": "12" });
  });

  it("never throws, and is tried again in an hour, without another commit", async () => {
    const table = makeTable();
    await commitOne(table, 1);
    table.clock.nowMs += DAY_MS;
    for (const operation of ["get", "head", "list"] as const) table.objects.fail(operation, /./, { times: 999 });
    const { maintenance, clock } = table.restart();
    await runDay(maintenance, clock);
    expect(maintenance.dueAtMs()).toBe(clock.nowMs + 3_600_000);
    table.objects.heal();
    clock.nowMs += 3_600_000;
    await runDay(maintenance, clock);
    expect(maintenance.dueAtMs()).toBeUndefined();
  });

  it("deletes nothing where the hint to the newest metadata cannot be brought up to date", async () => {
    const table = makeTable();
    for (let batch = 1; batch <= 30; batch++) await commitOne(table, batch);
    table.objects.plant("warehouse/spillway/events/metadata/version-hint.text", "2");
    table.clock.nowMs += 2 * DAY_MS;
    table.objects.fail("put", /version-hint/, { times: 999 });
    expect(await table.maintenance.expire()).toMatchObject({ ok: false, deleted_objects: 0 });
    expect(table.objects.keys(/\/v2\.metadata/)).toHaveLength(1);
    table.objects.heal();
    expect(await table.maintenance.expire()).toMatchObject({ ok: true });
    expect(table.objects.keys(/\/v2\.metadata/)).toEqual([]);
    expect(Number(table.objects.text("warehouse/spillway/events/metadata/version-hint.text"))).toBeGreaterThan(30);
  });

  it("leaves the table of another catalog alone", async () => {
    const table = makeTable();
    await commitOne(table, 1);
    const maintenance = new Maintenance({
      committer: table.committer,
      catalog: {
        isEmbedded: false,
        load: () => table.catalog.load(),
        loadOrCreate: () => table.catalog.loadOrCreate(),
        commit: (base, change) => table.catalog.commit(base, change),
      },
      manifests: table.manifests,
      objects: table.objects,
      store: table.store,
      settings: settingsOf(),
      clock: table.clock.read,
      randomUuid: nextUuid,
      telemetry: () => undefined,
    });
    expect(maintenance.dueAtMs()).toBeUndefined();
    const reason = "this catalog looks after its tables itself";
    expect(await maintenance.compact()).toMatchObject({ ok: false, reason });
    expect(await maintenance.expire()).toMatchObject({ ok: false, reason });
    expect(table.objects.countCalls("delete", /./)).toBe(0);
  });
});

describe("the table's state", () => {
  it("is told in full of a table with rows", async () => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(3));
    await table.committer.commit();
    const loaded = await table.catalog.loadOrCreate();
    const staged = { staged_files: table.store.countStagedFiles(), record: table.committer.record };
    expect(describeTable(settingsOf(), staged, loaded)).toEqual({
      table: "spillway.events",
      catalog: "r2",
      location: LOCATION,
      metadata_location: `${LOCATION}/metadata/v2.metadata.json`,
      snapshot_id: String(currentSnapshot(loaded.metadata)?.["snapshot-id"]),
      snapshots: 1,
      files: 1,
      rows: 3,
      staged_files: 0,
      last_commit_at: new Date(START_MS).toISOString(),
      last_error: null,
      next_attempt_at: null,
    });
  });

  it("has no files of an empty table, and knows none of one it cannot read", async () => {
    const table = makeTable();
    const staged = { staged_files: 2, record: table.committer.record };
    const loaded = await table.catalog.loadOrCreate();
    expect(describeTable(settingsOf(), staged, loaded)).toMatchObject({ files: 0, rows: 0, snapshot_id: null });
    const none = { files: 0, rows: 0, location: null, snapshot_id: null };
    expect(describeTable(settingsOf(), staged, "missing")).toMatchObject(none);
    expect(describeTable(settingsOf(), staged, "unreadable")).toMatchObject({
      files: null,
      rows: null,
      location: null,
      snapshots: 0,
      staged_files: 2,
    });
  });

  it("claims no totals where another writer's snapshot has none", async () => {
    const table = makeTable();
    await commitOne(table, 1);
    const loaded = await table.catalog.loadOrCreate();
    const snapshots = loaded.metadata.snapshots?.map((snapshot) => ({ ...snapshot, summary: { operation: "append" } }));
    const foreign = { ...loaded, metadata: { ...loaded.metadata, ...(snapshots && { snapshots }) } };
    const staged = { staged_files: 0, record: table.committer.record };
    expect(describeTable(settingsOf(), staged, foreign)).toMatchObject({ files: null, rows: null, snapshots: 1 });
  });
});
