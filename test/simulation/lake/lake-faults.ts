/**
 * Faults put into the lake on purpose: a checker that does not find them sees nothing. Each is installed
 * for one run and taken out again.
 */
import { DeadLetterStore, type DeadLetter } from "../../../durable-objects/analytics/dead-letter-store.ts";
import { BufferReset } from "../../../durable-objects/analytics/buffer-reset.ts";
import { DedupWindow } from "../../../durable-objects/analytics/dedup-window.ts";
import { ExportParts } from "../../../durable-objects/analytics/export-parts.ts";
import { IcebergSink } from "../../../durable-objects/analytics/iceberg-sink.ts";
import { PlaceStore } from "../../../durable-objects/analytics/place-store.ts";
import { RollupKeeper } from "../../../durable-objects/analytics/rollup-keeper.ts";
import { RollupStore, type StoredRollup } from "../../../durable-objects/analytics/rollup-store.ts";
import { ShardBuffer } from "../../../durable-objects/analytics/shard-buffer.ts";
import {
  ShardStore,
  type SealedBatch,
  type ShardRecord,
  type StoredShard,
} from "../../../durable-objects/analytics/shard-store.ts";
import type { CommitOutcome, LoadedTable } from "../../../durable-objects/iceberg/catalog.ts";
import { Committer, type CommitterDeps, type ExtraCommit } from "../../../durable-objects/iceberg/committer.ts";
import { Maintenance, type MaintenanceDeps } from "../../../durable-objects/iceberg/maintenance.ts";
import { R2Catalog, type R2CatalogDeps } from "../../../durable-objects/iceberg/r2-catalog.ts";
import type { TableChange } from "../../../durable-objects/iceberg/table-change.ts";
import { currentSnapshot } from "../../../durable-objects/iceberg/table-metadata.ts";
import { TableStore, type KnownShard, type PendingCommit } from "../../../durable-objects/iceberg/table-store.ts";
import type { SqlPort } from "../../../durable-objects/sql-storage.ts";
import { replaceMethod, type Method } from "../method-patch.ts";
import { ShardObject } from "./sim-shard.ts";

export interface LakeFault {
  readonly name: string;
  /** Changes a prototype; what it returns changes it back. */
  readonly install: () => () => void;
}

/** Private members are reached by name; the code under test knows what they are. */
type Make = (self: object, original: Method) => Method;

export function fault(name: string, type: { readonly prototype: object }, method: string, make: Make): LakeFault {
  return { name, install: () => replaceMethod(type.prototype, method, make) };
}

export const LAKE_FAULTS: readonly LakeFault[] = [
  fault("a batch counts as delivered before it is staged", IcebergSink, "deliver", (_, original) => (batch) => {
    (original(batch) as Promise<unknown>).catch(() => undefined);
    return Promise.resolve({ files: 1, bytes: 0, poison: [] });
  }),
  fault("staging a batch again takes it again", TableStore, "stage", (self, original) => (shard, batch, files) => {
    const sql = Reflect.get(self, "sql") as SqlPort;
    const { shard: name } = shard as KnownShard;
    sql.exec("UPDATE known_shard SET last_batch = ? WHERE shard = ?", Number(batch) - 1, name);
    const [there] = sql
      .exec("SELECT 1 AS found FROM staged_batch WHERE shard = ? AND batch = ?", name, Number(batch))
      .toArray();
    return there === undefined ? original(shard, batch, files) : false;
  }),
  fault("an attempt does not look whether the commit is done", Committer, "lastSeqIn", () => () => 0),
  fault("a commit does not set its number", Committer, "withProperty", () => (change) => change),
  fault("a commit asserts nothing of the branch", Committer, "withProperty", (_, original) => (change, pending) => {
    const { requirements, updates } = original(change, pending) as TableChange;
    return { requirements: requirements.filter(({ type }) => type !== "assert-ref-snapshot-id"), updates };
  }),
  fault("metadata is written over what is there", R2Catalog, "write", (self, original) => (version, metadata) => {
    const deps = Reflect.get(self, "deps") as R2CatalogDeps;
    const { objects } = deps;
    const putIfAbsent = async (key: string, bytes: Uint8Array) => {
      await objects.put(key, bytes);
      return "written";
    };
    Reflect.set(self, "deps", { ...deps, objects: { ...objects, putIfAbsent } });
    return original(version, metadata);
  }),
  fault("the table is not read anew", R2Catalog, "loadOrCreate", (self, original) => () => {
    const newest: unknown = Reflect.get(self, "newest");
    return newest === undefined ? original() : Promise.resolve(newest);
  }),
  fault("an unknown outcome counts as done", R2Catalog, "commit", (_, original) => async (base, change) => {
    const outcome = (await original(base, change)) as CommitOutcome;
    return outcome.kind === "unknown" ? { kind: "committed", table: base as LoadedTable } : outcome;
  }),
  fault("a sweep does not spare what is staged", TableStore, "listStagedPaths", () => () => []),
  fault("a sweep does not spare what is young", Maintenance, "expire", (self, original) => (...args) => {
    const deps = Reflect.get(self, "deps") as MaintenanceDeps;
    Reflect.set(self, "deps", { ...deps, settings: { ...deps.settings, orphanMinAgeMs: -1 } });
    return original(...args);
  }),
  {
    name: "a sweep does not note what is staged before it reads the table",
    install: () => {
      let isBeginning = false;
      const restoreExpire = replaceMethod(Maintenance.prototype, "expire", (_, original) => (...args) => {
        isBeginning = true;
        return original(...args);
      });
      const restoreList = replaceMethod(TableStore.prototype, "listStagedPaths", (_, original) => () => {
        const isFirst = isBeginning;
        isBeginning = false;
        return isFirst ? [] : original();
      });
      return () => {
        restoreExpire();
        restoreList();
      };
    },
  },
  fault("compaction writes one file too few", Committer, "commitExtra", (_, original) => (extra) => {
    const commit = extra as ExtraCommit;
    return original(commit.kind === "replace" ? { ...commit, added: commit.added.slice(1) } : commit);
  }),
  fault("compaction leaves one file in", Committer, "commitExtra", (_, original) => (extra) => {
    const commit = extra as ExtraCommit;
    return original(commit.kind === "replace" ? { ...commit, removed: commit.removed.slice(1) } : commit);
  }),
  fault(
    "compaction does not look whether its files are still there",
    Committer,
    "plan",
    (self, original) => async (pending, base, batches) => {
      const commit = pending as PendingCommit;
      if (commit.kind !== "replace") return original(pending, base, batches);
      const live = await livePaths(Reflect.get(self, "deps") as CommitterDeps, base as LoadedTable);
      return original({ ...commit, removed: commit.removed.filter((path) => live.has(path)) }, base, batches);
    },
  ),
  fault("snapshots are kept for ever", Committer, "plan", (self, original) => (...args) => {
    Reflect.set(self, "deps", {
      ...(Reflect.get(self, "deps") as CommitterDeps),
      snapshotsKept: Number.MAX_SAFE_INTEGER,
    });
    return original(...args);
  }),
  fault("the dedup window forgets", DedupWindow, "has", () => () => false),
  fault("traffic postpones the age deadline", ShardBuffer, "wantedAtMs", (self, original) => (nowMs) => {
    const open = Reflect.get(self, "open") as StoredShard["open"];
    const newest = open.at(-1);
    const wantedAtMs = original(nowMs);
    if (newest === undefined || wantedAtMs === undefined || wantedAtMs === nowMs) return wantedAtMs;
    const settings = Reflect.get(self, "settings") as { flushAgeMs: number };
    return newest.appendedAtMs + settings.flushAgeMs;
  }),
  fault(
    "the alarm is set only after the answer",
    ShardObject,
    "arm",
    (_, original) => (overdueMs) => (overdueMs === undefined ? original() : Promise.resolve()),
  ),
  fault("a seal is not kept", ShardStore, "seal", () => () => undefined),
  fault(
    "batch numbers begin anew with the process",
    ShardStore,
    "seal",
    (_, original) => (batch, record) => original(batch, { ...(record as ShardRecord), nextBatch: 1 }),
  ),
  fault("seqs begin anew with the process", ShardStore, "load", (_, original) => () => {
    const stored = original() as StoredShard | undefined;
    if (stored === undefined) return undefined;
    return { ...stored, nextSeq: Math.max(1, stored.nextSeq - 1) };
  }),
  fault("a failed flush lets its batch go", ShardBuffer, "noteFailure", (self, original) => (...args) => {
    original(...args);
    const [batch] = Reflect.get(self, "sealed") as SealedBatch[];
    if (batch !== undefined && self instanceof ShardBuffer) self.finish(batch, [], Number(args[1]));
  }),
  fault(
    "rows that cannot be written are let go",
    ShardBuffer,
    "finish",
    (_, original) => (batch, __, nowMs) => original(batch, [], nowMs),
  ),
  fault(
    "a dead letter leaves unwritten",
    DeadLetterStore,
    "list",
    (_, original) => (limit, after) => (original(Number(limit) + 1, after) as DeadLetter[]).slice(1),
  ),
  fault(
    "events leave before what they tell is summed up for good",
    RollupKeeper,
    "saveIfChanged",
    () => () => undefined,
  ),
  fault("what is summed up already is summed up again", RollupStore, "load", (_, original) => () => {
    const stored = original() as StoredRollup | undefined;
    return stored === undefined ? undefined : { ...stored, uptoSeq: Math.max(0, stored.uptoSeq - 50) };
  }),
  fault("a reset drops what it has not written", ExportParts, "end", () => async () => []),
  fault("a reset drops a batch that the table object has", BufferReset, "settle", () => async () => "withdrawn"),
  fault("a reset makes nothing unknown", DedupWindow, "forgetRows", () => () => undefined),
  fault("a reset does not note what it drops", PlaceStore, "noteDropped", () => () => undefined),
  fault("a replay forgets where it has brought events", PlaceStore, "put", () => () => undefined),
];

async function livePaths({ manifests }: CommitterDeps, { metadata }: LoadedTable): Promise<ReadonlySet<string>> {
  const paths = new Set<string>();
  const snapshot = currentSnapshot(metadata);
  for (const { path } of snapshot === undefined ? [] : await manifests.readList(snapshot["manifest-list"])) {
    for (const { status, file } of await manifests.readEntries(path)) if (status !== 2) paths.add(file.path);
  }
  return paths;
}

/** Runs something with a fault in place. */
export async function withLakeFault<T>(fault: LakeFault, run: () => Promise<T>): Promise<T> {
  const remove = fault.install();
  try {
    return await run();
  } finally {
    remove();
  }
}
