/**
 * What the sweep deletes, and everything it must never delete.
 */
import { describe, expect, it } from "vitest";

import { DAY_MS, eventsOf, makeTable, type TableParts } from "../fixtures/lake-parts.ts";

const ROOT = "warehouse/spillway/events";
const HOUR_MS = 3_600_000;

async function makeTableOf(commits: number, options: { snapshotsKept?: number } = {}): Promise<TableParts> {
  const table = makeTable({ settings: { orphanMinAgeMs: HOUR_MS, ...options } });
  for (let batch = 1; batch <= commits; batch++) {
    await table.stageRows(batch, eventsOf(1));
    await table.committer.commit();
  }
  return table;
}

describe("the sweep", () => {
  it("deletes old objects that nothing refers to, page by page", async () => {
    const table = await makeTableOf(3);
    const before = table.objects.keys();
    for (let at = 0; at < 12; at++) {
      table.objects.plant(`${ROOT}/data/2026-11-21/compact-${at}.parquet`, "x");
      table.objects.plant(`${ROOT}/metadata/snap-${at}-lost.avro`, "x");
    }
    table.objects.pageSize = 5;
    table.clock.nowMs += 2 * HOUR_MS;
    expect(await table.maintenance.expire()).toEqual({
      ok: true,
      expired_snapshots: 0,
      deleted_objects: 24,
      kept_young_objects: 0,
      reason: null,
    });
    expect(table.objects.keys()).toEqual(before);
    expect(await table.readKeys()).toHaveLength(3);
  });

  it("keeps what is young, and tells how much", async () => {
    const table = await makeTableOf(1);
    table.objects.plant(`${ROOT}/data/2026-11-21/compact-1.parquet`, "x");
    table.clock.nowMs += HOUR_MS;
    expect(await table.maintenance.expire()).toMatchObject({ deleted_objects: 0, kept_young_objects: 1 });
    table.clock.nowMs += 1;
    expect(await table.maintenance.expire()).toMatchObject({ deleted_objects: 1, kept_young_objects: 0 });
  });

  it("keeps what is staged, what may still be staged, and what a shard unknown here wrote", async () => {
    const table = await makeTableOf(2);
    await table.stageRows(3, eventsOf(1));
    const kept = ["0-3fa9c1d2-4", "0-3fa9c1d2-77", "5-00c0ffee-1"];
    for (const name of kept) table.objects.plant(`${ROOT}/data/2026-11-21/${name}.parquet`, "x");
    table.clock.nowMs += 30 * DAY_MS;
    await table.maintenance.expire();
    const names = table.objects.keys(/\/data\//).map((key) => key.replace(/^.*\/|\.parquet$/g, ""));
    expect(names).toEqual(["0-3fa9c1d2-1", "0-3fa9c1d2-2", "0-3fa9c1d2-3", ...kept]);
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    expect(await table.readKeys()).toHaveLength(3);
  });

  it("deletes a batch's file that its shard staged in another form, or that never came into the table", async () => {
    const table = await makeTableOf(2);
    table.objects.plant(`${ROOT}/data/2026-11-20/0-3fa9c1d2-2.parquet`, "x");
    table.clock.nowMs += DAY_MS;
    expect(await table.maintenance.expire()).toMatchObject({ deleted_objects: 1 });
    expect(table.objects.keys(/2026-11-20/)).toEqual([]);
  });

  it("keeps the files of a commit that is under way, however long it takes", async () => {
    const table = await makeTableOf(3);
    table.objects.fail("putIfAbsent", /v5\.metadata/, { times: 99 });
    expect(await table.maintenance.compact()).toMatchObject({ ok: false });
    table.objects.heal();
    table.clock.nowMs += DAY_MS;
    // Lists and manifests of single attempts go; whatever the commit needs stays.
    expect(await table.maintenance.expire()).toMatchObject({ ok: true });
    expect(table.objects.keys(/compact-/)).toHaveLength(1);
    expect(await table.committer.commit()).toMatchObject({ ok: true });
    expect(await table.readKeys()).toHaveLength(3);
    expect(await table.maintenance.expire(1)).toMatchObject({ ok: true });
    table.clock.nowMs += DAY_MS;
    await table.maintenance.expire(1);
    expect(await table.readKeys()).toHaveLength(3);
  });

  it.each(["data", "metadata"])("keeps what is committed while it goes on: before it lists %s", async (folder) => {
    const table = await makeTableOf(1);
    await table.stageRows(2, eventsOf(1));
    // Another one is in the bucket and not staged yet.
    const late = eventsOf(1);
    const unstaged = makeTable({ clock: table.clock, objects: table.objects });
    await unstaged.stageRows(3, late);
    // So long was it that nothing could be committed.
    table.clock.nowMs += 2 * DAY_MS;
    const release = table.objects.hold("list", new RegExp(`/${folder}/$`));
    const sweep = table.maintenance.expire();
    while (table.objects.countCalls("list", new RegExp(`/${folder}/$`)) === 0) {
      await new Promise((done) => setImmediate(done));
    }
    await table.stageRows(3, late);
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 2 });
    release();
    expect(await sweep).toMatchObject({ ok: true });
    expect(await table.readKeys()).toHaveLength(3);
  });

  it("keeps the metadata files the log names and the hint, and deletes those before", async () => {
    const table = await makeTableOf(26);
    table.clock.nowMs += DAY_MS;
    expect(await table.maintenance.expire()).toMatchObject({ ok: true, deleted_objects: 6 });
    expect(table.objects.keys(/v\d+\.metadata/)).toHaveLength(21);
    expect(table.objects.keys(/v[1-6]\.metadata/)).toEqual([]);
    expect(table.objects.text(`${ROOT}/metadata/version-hint.text`)).toBe("27");
    expect(await table.restart().readKeys()).toHaveLength(26);
  });

  it("keeps a file that only a rewritten manifest names, as one that was there before", async () => {
    const table = makeTable({ settings: { orphanMinAgeMs: HOUR_MS } });
    await table.stageRows(1, eventsOf(1));
    await table.stageRows(2, eventsOf(1));
    await table.stageRows(3, eventsOf(1, { timeUs: (table.clock.nowMs - DAY_MS) * 1000 }));
    await table.committer.commit();
    expect(await table.maintenance.compact()).toMatchObject({ rewritten_files: 2 });
    table.clock.nowMs += DAY_MS;
    expect(await table.maintenance.expire(1)).toMatchObject({ expired_snapshots: 1 });
    expect(table.objects.keys(/\/data\//)).toHaveLength(2);
    expect(await table.readKeys()).toHaveLength(3);
  });

  it("touches nothing outside the table's two folders", async () => {
    const table = await makeTableOf(1);
    const others = [`${ROOT}/notes.txt`, `${ROOT}-2/data/x.parquet`, "dead-letters/0/1-2.ndjson"];
    for (const key of others) table.objects.plant(key, "x");
    table.clock.nowMs += DAY_MS;
    expect(await table.maintenance.expire()).toMatchObject({ deleted_objects: 0 });
    for (const key of others) expect(table.objects.text(key)).toBe("x");
  });

  it("deletes nothing where it cannot read all that is referred to", async () => {
    const table = await makeTableOf(2);
    table.objects.plant(`${ROOT}/data/2026-11-21/compact-1.parquet`, "x");
    table.clock.nowMs += DAY_MS;
    const again = table.restart();
    again.objects.fail("get", /-2-m0\.avro/);
    expect(await again.maintenance.expire()).toMatchObject({ ok: false, reason: "get failed", deleted_objects: 0 });
    expect(again.objects.countCalls("delete", /./)).toBe(0);
  });
});

describe("expiry", () => {
  it("drops all but the newest snapshots, then what they alone referred to", async () => {
    const table = await makeTableOf(5);
    await table.maintenance.compact();
    expect(table.objects.keys(/snap-/)).toHaveLength(6);
    table.clock.nowMs += DAY_MS;
    const report = await table.maintenance.expire(1);
    expect(report).toMatchObject({ ok: true, expired_snapshots: 5 });
    const { metadata } = await table.catalog.loadOrCreate();
    expect(metadata.snapshots).toHaveLength(1);
    expect(metadata["snapshot-log"]).toHaveLength(1);
    expect(table.objects.keys(/\.parquet/)).toHaveLength(1);
    expect(table.objects.keys(/snap-/)).toHaveLength(1);
    expect(await table.readKeys()).toHaveLength(5);
    // Nothing of what is there now is missing for a committer that begins anew.
    const again = table.restart();
    await again.stageRows(6, eventsOf(1));
    expect(await again.committer.commit()).toMatchObject({ ok: true });
    expect(await again.readKeys()).toHaveLength(6);
  });

  it("keeps files that a younger snapshot still refers to", async () => {
    const table = await makeTableOf(4);
    table.clock.nowMs += DAY_MS;
    expect(await table.maintenance.expire(2)).toMatchObject({ expired_snapshots: 2 });
    expect(table.objects.keys(/\.parquet/)).toHaveLength(4);
    expect(table.objects.keys(/snap-/)).toHaveLength(2);
    expect(await table.readKeys()).toHaveLength(4);
  });
});
