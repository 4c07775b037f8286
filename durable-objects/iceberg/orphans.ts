/**
 * Deletes objects under the table's location that nothing refers to: of expired snapshots, of commits
 * that were given up, of crashes. Marks everything the table refers to, then sweeps what is old enough.
 *
 * Never deleted: what is staged, what a shard may still stage, anything young, anything outside `data/`
 * and `metadata/`.
 */
import { hash53 } from "../hash53.ts";
import type { LoadedTable } from "./catalog.ts";
import { keyOf } from "./locations.ts";
import { ENTRY_STATUS } from "./manifest.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import type { ObjectStore } from "./object-store.ts";

export interface SweepDeps {
  readonly manifests: ManifestFiles;
  readonly objects: ObjectStore;
  readonly clock: () => number;
  readonly minAgeMs: number;
  /** Paths that are not in the table yet: staged files, files of a commit under way. */
  readonly listPending: () => readonly string[];
  /** Highest batch each shard's life has staged. */
  readonly lastStagedBatch: (shard: string) => number | undefined;
}

export interface SweepReport {
  readonly deleted: number;
  readonly keptYoung: number;
}

/** File of a shard's batch: `<shard>-<batch>.parquet`, where a shard is `<index>-<8 hex digits>`. */
const BATCH_FILE = /\/(\d+-[0-9a-f]{8})-(\d+)\.parquet$/;
const MARK_SEED = 0x9747b28c;

/** @throws where storage fails; what has been deleted by then was unreferenced */
export async function sweepOrphans(table: LoadedTable, deps: SweepDeps): Promise<SweepReport> {
  const marked = await markReferenced(table, deps.manifests);
  const oldestKeptMs = deps.clock() - deps.minAgeMs;
  let deleted = 0;
  let keptYoung = 0;
  const root = keyOf(table.metadata.location);
  for (const folder of ["data", "metadata"]) {
    let cursor: string | undefined;
    do {
      const page = await deps.objects.list(`${root}/${folder}/`, cursor);
      ({ cursor } = page);
      const unmarked = page.objects.filter(({ key }) => !marked.has(markOf(key)));
      const old = unmarked.filter(({ uploadedMs }) => uploadedMs < oldestKeptMs);
      keptYoung += unmarked.length - old.length;
      // Looked up again for every page, with no await before the delete is sent.
      const pending = new Set(deps.listPending().map(keyOf));
      const orphans = old.map(({ key }) => key).filter((key) => !pending.has(key) && !mayBeStaged(key, deps));
      if (orphans.length > 0) await deps.objects.delete(orphans);
      deleted += orphans.length;
    } while (cursor !== undefined);
  }
  return { deleted, keptYoung };
}

/** A batch is staged once and in order: beyond the last one, its shard may be about to stage it. */
function mayBeStaged(key: string, { lastStagedBatch }: SweepDeps): boolean {
  const [, shard, batch] = BATCH_FILE.exec(key) ?? [];
  if (shard === undefined) return false;
  return Number(batch) > (lastStagedBatch(shard) ?? 0);
}

/** Marks are 53-bit hashes: a million files cost 40 MB, and a collision only keeps an orphan. */
async function markReferenced({ metadata, metadataLocation }: LoadedTable, manifests: ManifestFiles) {
  const marked = new Set<number>();
  const mark = (path: string) => marked.add(markOf(keyOf(path)));
  mark(metadataLocation);
  mark(`${metadata.location}/metadata/version-hint.text`);
  for (const entry of metadata["metadata-log"] ?? []) mark(entry["metadata-file"]);
  const seen = new Set<string>();
  for (const snapshot of metadata.snapshots ?? []) {
    mark(snapshot["manifest-list"]);
    for (const { path } of await manifests.readList(snapshot["manifest-list"])) {
      if (seen.has(path)) continue;
      seen.add(path);
      mark(path);
      for (const { status, file } of await manifests.readEntries(path)) {
        // A deleted entry's file is referred to by the older snapshots, whose manifests are read as well.
        if (status !== ENTRY_STATUS.deleted) mark(file.path);
      }
    }
  }
  return marked;
}

function markOf(key: string): number {
  return hash53(key, MARK_SEED);
}
