/**
 * Every staged file comes into the table once, whoever else commits there and whatever fails on the way.
 */
import { describe, expect, it } from "vitest";

import type { Catalog, CommitOutcome } from "../../durable-objects/iceberg/catalog.ts";
import type { TableChange } from "../../durable-objects/iceberg/table-change.ts";
import { currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { createClock, eventsOf, makeTable, type TableParts } from "../fixtures/lake-parts.ts";
import { rowKeys } from "../fixtures/icebird-table.ts";

const SHARD = "0-3fa9c1d2";
const OTHER = "1-88b0c2aa";

async function propertyOf({ committer, catalog }: TableParts): Promise<string | undefined> {
  const { metadata } = await catalog.loadOrCreate();
  return metadata.properties?.[`spillway.committer.${committer.record.committerId}.last-seq`];
}

async function summaryOf({ catalog }: TableParts) {
  return currentSnapshot((await catalog.loadOrCreate()).metadata)?.summary;
}

/** A catalog whose commits answer as told, then as they are. */
function answering(...answers: ((commit: () => Promise<CommitOutcome>) => Promise<CommitOutcome>)[]) {
  const keys: string[] = [];
  const changes: TableChange[] = [];
  const wrapCatalog = (catalog: Catalog): Catalog => ({
    isEmbedded: catalog.isEmbedded,
    load: () => catalog.load(),
    loadOrCreate: () => catalog.loadOrCreate(),
    commit: (base, change, key) => {
      keys.push(key);
      changes.push(change);
      const commit = () => catalog.commit(base, change, key);
      return (answers.shift() ?? ((same) => same()))(commit);
    },
  });
  return { wrapCatalog, keys, changes };
}

const lost = async (): Promise<CommitOutcome> => ({ kind: "unknown", reason: "no answer" });
const busy = async (): Promise<CommitOutcome> => ({ kind: "unknown", reason: "busy", retryAfterMs: 60_000 });
const conflict = async (): Promise<CommitOutcome> => ({ kind: "conflict", reason: "not first" });
const refuse = async (): Promise<CommitOutcome> => ({ kind: "refused", reason: "403" });

describe("an append", () => {
  it("X1 brings all staged files in one snapshot, with the commit's number beside it", async () => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(3));
    await table.stageRows(1, eventsOf(2), OTHER);
    const report = await table.committer.commit();
    const { metadata } = await table.catalog.loadOrCreate();
    expect(report).toEqual({
      ok: true,
      snapshot_id: String(currentSnapshot(metadata)?.["snapshot-id"]),
      committed_files: 2,
      committed_records: 5,
      staged_files: 0,
    });
    expect(metadata.snapshots).toHaveLength(1);
    expect(await propertyOf(table)).toBe("1");
    expect(await table.readKeys()).toEqual([
      `${SHARD}:1000`,
      `${SHARD}:1001`,
      `${SHARD}:1002`,
      `${OTHER}:1000`,
      `${OTHER}:1001`,
    ]);
  });

  it("does nothing where nothing is staged, and says where the table is", async () => {
    const table = makeTable();
    expect(await table.committer.commit()).toMatchObject({ ok: true, snapshot_id: null, committed_files: 0 });
    await table.stageRows(1, eventsOf(1));
    const { snapshot_id: id } = { snapshot_id: null, ...(await table.committer.commit()) };
    expect(await table.committer.commit()).toMatchObject({ ok: true, snapshot_id: id, committed_files: 0 });
    expect((await table.catalog.loadOrCreate()).metadata.snapshots).toHaveLength(1);
  });

  it("is shared by those who ask before it begins", async () => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(1));
    const [first, second] = [table.committer.commit(), table.committer.commit()];
    expect(second).toBe(first);
    expect(await first).toMatchObject({ committed_files: 1 });
  });

  it("takes another commit for more files than one snapshot may have", async () => {
    const table = makeTable();
    for (const [at, count] of [900, 900, 900, 2100].entries()) {
      const batch = at + 1;
      const file = { path: "", day: 20_000, recordCount: 1, fileSizeBytes: 10, jsonBytes: 10 };
      const maps = { columnSizes: {}, valueCounts: {}, nullValueCounts: {}, lowerBounds: {}, upperBounds: {} };
      const files = Array.from({ length: count }, (_, at) => ({
        ...file,
        ...maps,
        path: `s3://bucket/data/${batch}-${at}`,
      }));
      table.store.stage({ shard: SHARD, index: 0 }, batch, JSON.stringify(files));
    }
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 4800, staged_files: 0 });
    // A batch is never split, not even one that is larger than that itself.
    const { snapshots } = (await table.catalog.loadOrCreate()).metadata;
    expect(snapshots?.map(({ summary }) => summary["added-data-files"])).toEqual(["1800", "900", "2100"]);
  });

  it("says in its summary what it added, and what the table has", async () => {
    const table = makeTable();
    for (const batch of [1, 2, 4]) await table.stageRows(batch, eventsOf(2));
    await table.stageRows(7, eventsOf(1), OTHER);
    await table.committer.commit();
    const first = await summaryOf(table);
    expect(first).toMatchObject({
      operation: "append",
      "added-data-files": "4",
      "added-records": "7",
      "changed-partition-count": "1",
      "total-data-files": "4",
      "total-records": "7",
      "total-delete-files": "0",
      "total-position-deletes": "0",
      "total-equality-deletes": "0",
      "spillway.batches": `${SHARD}:1-2+4,${OTHER}:7`,
    });
    expect(first?.["total-files-size"]).toBe(first?.["added-files-size"]);
    await table.stageRows(5, eventsOf(1));
    await table.committer.commit();
    const second = await summaryOf(table);
    expect(second).toMatchObject({ "added-data-files": "1", "total-data-files": "5", "total-records": "8" });
    expect(Number(second?.["total-files-size"])).toBe(
      Number(first?.["total-files-size"]) + Number(second?.["added-files-size"]),
    );
  });

  it("counts the table's files also after a writer whose summary has no totals, but makes up no size", async () => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(2));
    await table.committer.commit();
    table.objects.plant(
      "warehouse/spillway/events/metadata/v3.metadata.json",
      (table.objects.text("warehouse/spillway/events/metadata/v2.metadata.json") ?? "")
        .replaceAll(/"total-[a-z-]+":"\d+",?/g, "")
        .replaceAll(",}", "}"),
    );
    await table.stageRows(2, eventsOf(3));
    expect(await table.committer.commit()).toMatchObject({ ok: true });
    const summary = await summaryOf(table);
    expect(summary).toMatchObject({ "total-data-files": "2", "total-records": "5" });
    expect(summary).not.toHaveProperty("total-files-size");
  });
});

describe("what is asked of the catalog", () => {
  it("is that the table is the one that was read, at the snapshot that was read, whatever the commit is", async () => {
    const { wrapCatalog, changes } = answering();
    const table = makeTable({ wrapCatalog });
    const ids: unknown[] = [null];
    for (const batch of [1, 2]) {
      await table.stageRows(batch, eventsOf(1));
      await table.committer.commit();
      ids.push(currentSnapshot((await table.catalog.loadOrCreate()).metadata)?.["snapshot-id"]);
    }
    await table.committer.commitExtra({ kind: "expire", keep: 1 });
    const { metadata } = await table.catalog.loadOrCreate();
    expect(changes.map(({ requirements }) => requirements)).toEqual(
      ids.map((id) => [
        { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
        { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": id },
      ]),
    );
    expect(metadata.snapshots).toHaveLength(1);
  });
});

describe("another committer", () => {
  it("conflicts, and both writers' rows are there in the end", async () => {
    const table = makeTable();
    const other = makeTable({ clock: table.clock, objects: table.objects });
    await table.stageRows(1, eventsOf(3));
    await other.stageRows(1, eventsOf(2), OTHER);
    const reports = await Promise.all([table.committer.commit(), other.committer.commit()]);
    expect(reports).toMatchObject([{ ok: true }, { ok: true }]);
    expect([...table.told, ...other.told].map(({ event }) => event)).toContain("IcebergConflict");
    expect(await table.readKeys()).toHaveLength(5);
    expect([await propertyOf(table), await propertyOf(other)]).toEqual(["1", "1"]);
    const { metadata } = await other.catalog.loadOrCreate();
    expect(metadata.snapshots?.map((snapshot) => snapshot["sequence-number"])).toEqual([1, 2]);
    expect(await summaryOf(table)).toMatchObject({ "total-records": "5" });
  });

  it("X4 wins so often that this one gives up for now, with all it has, and waits ever longer", async () => {
    const { wrapCatalog, keys } = answering(...Array.from({ length: 24 }, () => conflict));
    const clock = createClock();
    const table = makeTable({ clock, wrapCatalog });
    await table.stageRows(1, eventsOf(1));
    const delays: number[] = [];
    for (let run = 1; run <= 3; run++) {
      const report = await table.committer.commit();
      expect(report).toEqual({ ok: false, reason: "no commit within 8 attempts: not first", staged_files: 1 });
      delays.push((table.committer.dueAtMs(clock.nowMs, 0) ?? 0) - clock.nowMs);
    }
    for (const [at, delay] of delays.entries()) {
      expect(delay).toBeGreaterThanOrEqual(500 * 2 ** at);
      expect(delay).toBeLessThanOrEqual(1000 * 2 ** at);
    }
    expect(table.waits).toHaveLength(24);
    // Within a run the waits grow from tens of milliseconds to two seconds at most.
    expect(table.waits[0]).toBeLessThanOrEqual(50);
    expect(Math.max(...table.waits)).toBeLessThanOrEqual(2000);
    expect(new Set(keys).size).toBe(1);
    expect(await table.restart().committer.commit()).toMatchObject({ ok: true, committed_records: 1 });
    expect(await table.readKeys()).toHaveLength(1);
  });
});

describe("X2 an unknown outcome", () => {
  it("is found to have been applied, and is not applied again", async () => {
    const { wrapCatalog, keys } = answering(async (commit) => (await commit(), lost()));
    const table = makeTable({ wrapCatalog });
    await table.stageRows(1, eventsOf(2));
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 1, committed_records: 2 });
    expect(keys).toHaveLength(1);
    expect((await table.catalog.loadOrCreate()).metadata.snapshots).toHaveLength(1);
    expect(await table.readKeys()).toHaveLength(2);
  });

  it("is tried again where it was not applied, under the same key and snapshot id", async () => {
    const { wrapCatalog, keys, changes } = answering(lost, lost);
    const table = makeTable({ wrapCatalog });
    await table.stageRows(1, eventsOf(2));
    expect(await table.committer.commit()).toMatchObject({ ok: true });
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    const ids = changes.flatMap(({ updates }) =>
      updates.flatMap((update) => (update.action === "add-snapshot" ? [update.snapshot["snapshot-id"]] : [])),
    );
    expect(new Set(ids).size).toBe(1);
    expect(await table.readKeys()).toHaveLength(2);
  });

  it("is found to have been applied also after others have committed on top, and after a restart", async () => {
    const table = makeTable();
    table.objects.fail("putIfAbsent", /v2\.metadata/, { fault: "after" });
    table.objects.fail("head", /v[12]\.metadata/, { times: 99 });
    await table.stageRows(1, eventsOf(2));
    await table.committer.commit();
    table.objects.heal();
    const other = makeTable({ clock: table.clock, objects: table.objects });
    for (let batch = 1; batch <= 3; batch++) {
      await other.stageRows(batch, eventsOf(1), OTHER);
      await other.committer.commit();
    }
    const again = table.restart();
    expect(await again.committer.commit()).toMatchObject({ ok: true, staged_files: 0 });
    expect(await again.readKeys()).toHaveLength(5);
  });

  it("waits as long as the catalog asks, up to two seconds", async () => {
    const { wrapCatalog } = answering(busy);
    const table = makeTable({ wrapCatalog });
    await table.stageRows(1, eventsOf(1));
    await table.committer.commit();
    expect(table.waits).toEqual([2000]);
  });
});

describe("X3 a commit that fails", () => {
  it("is not repeated within its run where the catalog refuses it, and nothing is let go", async () => {
    const { wrapCatalog, keys } = answering(refuse);
    const table = makeTable({ wrapCatalog });
    await table.stageRows(1, eventsOf(1));
    expect(await table.committer.commit()).toEqual({
      ok: false,
      reason: "the catalog refuses the commit: 403",
      staged_files: 1,
    });
    expect(keys).toHaveLength(1);
    expect(table.told).toContainEqual(expect.objectContaining({ event: "IcebergCommitFailed", attempts: 1 }));
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    expect(table.committer.record).toMatchObject({ attempts: 0, lastError: undefined, nextAttemptAtMs: undefined });
  });

  it("leaves no error behind that no commit would end, where there was nothing to commit", async () => {
    let isDown = true;
    const wrapCatalog = (catalog: Catalog): Catalog => ({
      isEmbedded: catalog.isEmbedded,
      load: () => catalog.load(),
      loadOrCreate: () => (isDown ? Promise.reject(new Error("the catalog is down")) : catalog.loadOrCreate()),
      commit: (...call) => catalog.commit(...call),
    });
    const table = makeTable({ wrapCatalog });
    expect(await table.committer.commit()).toEqual({ ok: false, reason: "the catalog is down", staged_files: 0 });
    expect(table.committer.record).toMatchObject({ attempts: 0, lastError: undefined });
    await table.stageRows(1, eventsOf(1));
    expect(await table.committer.commit()).toMatchObject({ ok: false, staged_files: 1 });
    expect(table.committer.record).toMatchObject({ attempts: 1, lastError: "the catalog is down" });
    isDown = false;
    expect(await table.committer.commit()).toMatchObject({ ok: true });
    expect(table.committer.record).toMatchObject({ attempts: 0, lastError: undefined });
  });

  it("never throws, also where storage refuses to keep the failure itself", async () => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(1));
    table.storage.shouldFail = (kind) => kind === "write";
    expect(await table.committer.commit()).toMatchObject({ ok: false, reason: expect.stringMatching(/FULL/) });
    expect(table.committer.dueAtMs(table.clock.nowMs, 0)).toBeGreaterThan(table.clock.nowMs);
    table.storage.shouldFail = () => false;
    expect(await table.committer.commit()).toMatchObject({ ok: true, committed_files: 1 });
    expect(await table.readKeys()).toHaveLength(1);
  });

  const steps = [
    ["reading the table", "get", /v\d+\.metadata|version-hint/],
    ["writing the manifest", "putIfAbsent", /-m0\.avro/],
    ["writing the list", "putIfAbsent", /snap-/],
    ["writing the metadata", "putIfAbsent", /v\d+\.metadata/],
  ] as const;
  for (const fault of ["before", "after"] as const) {
    it.each(steps)(`is done once after a crash at %s (${fault})`, async (_, operation, key) => {
      const table = makeTable();
      await table.stageRows(1, eventsOf(1), OTHER);
      await table.committer.commit();
      await table.stageRows(2, eventsOf(2), OTHER);
      // The process that sees the failure does not live to try again.
      table.objects.fail(operation, key, { fault, times: 1 });
      table.objects.fail("head", /./, { times: 99 });
      const dying = table.restart();
      await dying.committer.commit();
      table.objects.heal();
      const again = table.restart();
      expect(await again.committer.commit()).toMatchObject({ ok: true, staged_files: 0 });
      expect(await again.readKeys()).toEqual([`${OTHER}:1000`, `${OTHER}:2000`, `${OTHER}:2001`]);
      expect((await again.catalog.loadOrCreate()).metadata.snapshots).toHaveLength(2);
    });
  }

  it.each([0, 1, 2, 3, 4, 5, 6])("is done once where the process dies at its statement %i", async (statements) => {
    const table = makeTable();
    await table.stageRows(1, eventsOf(2));
    table.storage.crashAfterStatements = statements;
    await table.committer.commit().catch(() => undefined);
    const again = table.restart();
    await again.stageRows(2, eventsOf(1));
    expect(await again.committer.commit()).toMatchObject({ ok: true, staged_files: 0 });
    expect(await again.readKeys()).toEqual([`${SHARD}:1000`, `${SHARD}:1001`, `${SHARD}:2000`]);
  });
});

describe("when a commit is due", () => {
  it("is one interval after the last one, and at once where that is long ago", async () => {
    const clock = createClock();
    const table = makeTable({ clock });
    expect(table.committer.dueAtMs(clock.nowMs, 10_000)).toBeUndefined();
    await table.stageRows(1, eventsOf(1));
    expect(table.committer.dueAtMs(clock.nowMs, 10_000)).toBe(clock.nowMs);
    await table.committer.commit();
    expect(table.committer.dueAtMs(clock.nowMs, 10_000)).toBeUndefined();
    const committedAtMs = clock.nowMs;
    await table.stageRows(2, eventsOf(1));
    for (const sinceMs of [0, 4000, 9999]) {
      clock.nowMs = committedAtMs + sinceMs;
      // Batches that come meanwhile do not postpone it.
      expect(table.restart().committer.dueAtMs(clock.nowMs, 10_000)).toBe(committedAtMs + 10_000);
    }
    clock.nowMs = committedAtMs + 25_000;
    expect(table.committer.dueAtMs(clock.nowMs, 10_000)).toBe(clock.nowMs);
  });

  it("is never more than an interval away, though the clock was set back", async () => {
    const clock = createClock();
    const table = makeTable({ clock });
    await table.stageRows(1, eventsOf(1));
    await table.committer.commit();
    await table.stageRows(2, eventsOf(1));
    clock.nowMs -= 3_600_000;
    expect(table.committer.dueAtMs(clock.nowMs, 10_000)).toBe(clock.nowMs + 10_000);
  });
});

describe("rowKeys", () => {
  it("tells a row that is there twice", () => {
    expect(
      rowKeys([
        { shard: "a", seq: 1n },
        { shard: "a", seq: 1 },
      ]),
    ).toEqual(["a:1", "a:1"]);
  });
});
