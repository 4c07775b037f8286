/**
 * Plans one commit on the table as it was just read: manifests and their list are written here, under
 * names nobody else uses, and become part of the table only by the commit that names them.
 *
 * Source: Iceberg spec, "Snapshots", "Manifest Lists"; summary fields: appendix F.
 */
import type { LoadedTable } from "./catalog.ts";
import type { DataFile } from "./data-file.ts";
import { addedEntry, ENTRY_STATUS, type ManifestEntry } from "./manifest.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import type { ManifestFile } from "./manifest-list.ts";
import type { TableChange, TableRequirement, TableUpdate } from "./table-change.ts";
import { currentSnapshot, sameInt, type LongInt, type Snapshot, type TableMetadata } from "./table-metadata.ts";
import type { PendingCommit, StagedBatch } from "./table-store.ts";

export type CommitPlan =
  | { readonly kind: "snapshot" | "schema" | "expiry"; readonly change: TableChange }
  /** It can never be done any more, and nothing is lost by that. */
  | { readonly kind: "abandoned"; readonly reason: string };

export interface PlanContext {
  readonly base: LoadedTable;
  readonly manifests: ManifestFiles;
  readonly nowMs: number;
  readonly committerId: string;
  /** Distinguishes what this attempt writes from every other attempt's. */
  readonly attemptId: string;
  /** `undefined` where the catalog looks after its snapshots itself. */
  readonly snapshotsKept: number | undefined;
}

export interface AppendWork {
  readonly seq: number;
  readonly snapshotId: number;
  readonly batches: readonly StagedBatch[];
}

/** One manifest of the new files, the same for all attempts, before whatever the table has by now. */
export async function planAppend(work: AppendWork, context: PlanContext): Promise<CommitPlan> {
  const { metadata } = context.base;
  const added = work.batches.flatMap(({ files }) => files);
  const snapshot = { snapshotId: work.snapshotId, sequenceNumber: nextSequenceNumber(metadata) };
  const own = await context.manifests.writeManifest(manifestName(context.committerId, work.seq), metadata, {
    entries: added.map((file) => addedEntry(file, work.snapshotId)),
    ...snapshot,
  });
  const name = `${context.attemptId}-merged`;
  const existing = await context.manifests.mergeIfMany(await readCurrentList(context), metadata, { name, ...snapshot });
  return planSnapshot(context, {
    ...snapshot,
    list: [own, ...existing],
    summary: {
      operation: "append",
      ...countAdded(added),
      "changed-partition-count": String(new Set(added.map(({ day }) => day)).size),
      "spillway.batches": describeBatches(work.batches),
    },
    sizeChange: sizeOf(added),
  });
}

/** Takes files out and puts the ones that hold the same rows in, or gives up where one is gone already. */
export async function planReplace(
  work: Extract<PendingCommit, { kind: "replace" }>,
  context: PlanContext,
): Promise<CommitPlan> {
  const { metadata } = context.base;
  const snapshot = { snapshotId: work.snapshotId, sequenceNumber: nextSequenceNumber(metadata) };
  const list = await readCurrentList(context);
  if (list.some(({ content }) => content !== "data")) {
    return { kind: "abandoned", reason: "the table has got delete files" };
  }
  const removed = new Set(work.removed);
  const rewritten: ManifestFile[] = [];
  let removedSize = 0;
  let found = 0;
  for (const [at, listed] of list.entries()) {
    const { entries } = await context.manifests.readManifest(listed.path);
    const isTouched = entries.some(({ status, file }) => status !== ENTRY_STATUS.deleted && removed.has(file.path));
    if (!isTouched) {
      rewritten.push(listed);
      continue;
    }
    const kept: ManifestEntry[] = [];
    for (const entry of entries) {
      if (entry.status === ENTRY_STATUS.deleted) continue;
      const isRemoved = removed.has(entry.file.path);
      if (isRemoved) {
        found++;
        removedSize += Number(entry.file.fileSizeBytes);
      }
      kept.push(withOwnNumbers(entry, listed, isRemoved ? work.snapshotId : undefined));
    }
    const name = `${context.attemptId}-rewritten-m${at}.avro`;
    rewritten.push(await context.manifests.writeManifest(name, metadata, { entries: kept, ...snapshot }));
  }
  if (found !== removed.size) return { kind: "abandoned", reason: "a file to be replaced has left the table" };
  const own = await context.manifests.writeManifest(manifestName(context.committerId, work.seq), metadata, {
    entries: work.added.map((file) => addedEntry(file, work.snapshotId)),
    ...snapshot,
  });
  const records = work.added.reduce((sum, file) => sum + file.recordCount, 0);
  return planSnapshot(context, {
    ...snapshot,
    list: [own, ...rewritten],
    summary: {
      operation: "replace",
      ...countAdded(work.added),
      "deleted-data-files": String(removed.size),
      "deleted-records": String(records),
      "removed-files-size": String(removedSize),
      "changed-partition-count": String(new Set(work.added.map(({ day }) => day)).size),
    },
    sizeChange: sizeOf(work.added) - removedSize,
  });
}

/** Drops the oldest snapshots; what they alone refer to is swept later. */
export function planExpiry(keep: number, { base }: PlanContext): CommitPlan {
  const updates = expireBeyond(base.metadata, keep);
  return { kind: "expiry", change: { requirements: requirementsOf(base.metadata), updates } };
}

interface NewSnapshot {
  readonly snapshotId: LongInt;
  readonly sequenceNumber: LongInt;
  readonly list: readonly ManifestFile[];
  readonly summary: Readonly<Record<string, string>>;
  /** Bytes of data files added, less those removed. */
  readonly sizeChange: number;
}

async function planSnapshot(context: PlanContext, planned: NewSnapshot): Promise<CommitPlan> {
  const { base, manifests, nowMs, attemptId, snapshotsKept } = context;
  const { metadata } = base;
  const parent = currentSnapshot(metadata);
  const parentSnapshotId = parent?.["snapshot-id"] ?? null;
  const { snapshotId, sequenceNumber, list } = planned;
  const path = await manifests.writeList(`snap-${snapshotId}-${attemptId}.avro`, metadata, {
    snapshotId,
    sequenceNumber,
    parentSnapshotId,
    manifests: list,
  });
  const snapshot: Snapshot = {
    "snapshot-id": snapshotId,
    ...(parentSnapshotId === null ? {} : { "parent-snapshot-id": parentSnapshotId }),
    "sequence-number": sequenceNumber,
    // A clock behind the last writer's must not take the table's history back.
    "timestamp-ms": Math.max(nowMs, metadata["last-updated-ms"]),
    "manifest-list": path,
    summary: { ...planned.summary, ...totalsOf(list, parent, planned.sizeChange) },
    "schema-id": metadata["current-schema-id"],
  };
  const updates: TableUpdate[] = [
    { action: "add-snapshot", snapshot },
    { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": snapshotId },
  ];
  // One fewer than are kept: the new one is among them.
  if (snapshotsKept !== undefined) updates.push(...expireBeyond(withoutMain(metadata), snapshotsKept - 1));
  return { kind: "snapshot", change: { requirements: requirementsOf(metadata), updates } };
}

function requirementsOf(metadata: TableMetadata): TableRequirement[] {
  const snapshotId = currentSnapshot(metadata)?.["snapshot-id"] ?? null;
  return [
    { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
    { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": snapshotId },
  ];
}

/** The oldest snapshots beyond `keep`, but none that a branch or tag is at, nor the current one. */
function expireBeyond(metadata: TableMetadata, keep: number): TableUpdate[] {
  const snapshots = metadata.snapshots ?? [];
  const current = currentSnapshot(metadata)?.["snapshot-id"];
  const held = [...Object.values(metadata.refs ?? {}).map((ref) => ref["snapshot-id"]), current];
  const isHeld = (id: LongInt) => held.some((other) => other !== undefined && sameInt(other, id));
  const expired = snapshots
    .toSorted((left, right) => (BigInt(left["sequence-number"]) < BigInt(right["sequence-number"]) ? -1 : 1))
    .slice(0, Math.max(0, snapshots.length - keep))
    .map((snapshot) => snapshot["snapshot-id"])
    .filter((id) => !isHeld(id));
  return expired.length === 0 ? [] : [{ action: "remove-snapshots", "snapshot-ids": expired }];
}

/** As it is once the main branch has moved on: what it was at is held by other branches and tags alone. */
function withoutMain(metadata: TableMetadata): TableMetadata {
  const { main: _, ...refs } = metadata.refs ?? {};
  return { ...metadata, refs, "current-snapshot-id": null };
}

/** Totals by the manifest list, which is there whatever a foreign writer's summary says. */
function totalsOf(list: readonly ManifestFile[], parent: Snapshot | undefined, sizeChange: number) {
  let files = 0;
  let records = 0n;
  let deleteFiles = 0;
  for (const manifest of list) {
    const live = manifest.addedFilesCount + manifest.existingFilesCount;
    if (manifest.content === "data") {
      files += live;
      records += BigInt(manifest.addedRowsCount) + BigInt(manifest.existingRowsCount);
    } else deleteFiles += live;
  }
  const parentSize = parent === undefined ? "0" : parent.summary["total-files-size"];
  return {
    "total-data-files": String(files),
    "total-records": String(records),
    "total-delete-files": String(deleteFiles),
    ...(deleteFiles === 0 ? { "total-position-deletes": "0", "total-equality-deletes": "0" } : {}),
    ...(parentSize === undefined ? {} : { "total-files-size": String(Number(parentSize) + sizeChange) }),
  };
}

function countAdded(files: readonly DataFile[]) {
  return {
    "added-data-files": String(files.length),
    "added-records": String(files.reduce((sum, file) => sum + file.recordCount, 0)),
    "added-files-size": String(sizeOf(files)),
  };
}

function sizeOf(files: readonly DataFile[]): number {
  return files.reduce((sum, file) => sum + file.fileSizeBytes, 0);
}

/** Runs of batches of each shard, such as `0-3fa9c1d2:17-23,1-88b0c2aa:4`. */
function describeBatches(batches: readonly StagedBatch[]): string {
  const byShard = new Map<string, { first: number; last: number }[]>();
  for (const { shard, batch } of batches) {
    const runs = byShard.get(shard) ?? [];
    byShard.set(shard, runs);
    const last = runs.at(-1);
    if (last !== undefined && last.last + 1 === batch) last.last = batch;
    else runs.push({ first: batch, last: batch });
  }
  return Array.from(byShard, ([shard, runs]) => `${shard}:${runs.map(describeRun).join("+")}`).join(",");
}

function describeRun({ first, last }: { readonly first: number; readonly last: number }): string {
  return first === last ? String(first) : `${first}-${last}`;
}

/** A live entry of an older manifest, its inherited numbers written out, or the same file as deleted. */
function withOwnNumbers(entry: ManifestEntry, listed: ManifestFile, deletedBy: LongInt | undefined): ManifestEntry {
  return {
    ...entry,
    status: deletedBy === undefined ? ENTRY_STATUS.existing : ENTRY_STATUS.deleted,
    snapshotId: deletedBy ?? entry.snapshotId ?? listed.addedSnapshotId,
    sequenceNumber: entry.sequenceNumber ?? listed.sequenceNumber,
    fileSequenceNumber: entry.fileSequenceNumber ?? listed.sequenceNumber,
  };
}

async function readCurrentList({ base, manifests }: PlanContext): Promise<readonly ManifestFile[]> {
  const snapshot = currentSnapshot(base.metadata);
  return snapshot === undefined ? [] : manifests.readList(snapshot["manifest-list"]);
}

function nextSequenceNumber(metadata: TableMetadata): LongInt {
  const next = BigInt(metadata["last-sequence-number"]) + 1n;
  return next <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(next) : next;
}

/** The one manifest that a commit's own files are in, whatever attempt succeeds. */
export function manifestName(committerId: string, seq: number): string {
  return `${committerId}-${seq}-m0.avro`;
}
