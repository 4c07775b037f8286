/**
 * Rewrites small files of one day into fewer, in one commit that replaces them. Rows are moved, never
 * changed: `(shard, seq)` and times stay as they were.
 *
 * Not for tables with delete files, and not for files with columns unknown here: they are left alone.
 * Source: Iceberg spec, "Snapshots", operation `replace`.
 */
import type { CompactionReport } from "../../protocol/lake-call.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { jsonSizeOf } from "../row-size.ts";
import type { LoadedTable } from "./catalog.ts";
import type { Committer } from "./committer.ts";
import { DESCRIPTOR, type DataFile } from "./data-file.ts";
import { dayText, keyOf } from "./locations.ts";
import { ENTRY_STATUS, type ContentFile } from "./manifest.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import type { ObjectStore } from "./object-store.ts";
import { decodeParquet } from "./parquet-decode.ts";
import { encodeParquet } from "./parquet-encode.ts";
import { TABLE_COLUMNS } from "./table-columns.ts";
import { currentSnapshot } from "./table-metadata.ts";

/** Rows and bytes of one file, as for a shard's own: what an isolate can hold. */
const FILE_MAX_ROWS = 20_000;
const FILE_MAX_JSON_BYTES = 8 * 1024 * 1024;
/** A file below both is worth merging with others. */
const SMALL_MAX_ROWS = FILE_MAX_ROWS / 2;
const SMALL_MAX_BYTES = 1024 * 1024;
/** New files of one run: bounds its time, its memory and what is in vain if it has to be given up. */
const OUTPUTS_PER_RUN = 16;
const INPUTS_PER_RUN = 1000;
/** Nothing is committed while a run goes on: where the bucket is slow, it ends with what it has. */
const RUN_MAX_MS = 20_000;
/** Open at once; the platform lets a request have six connections: https://developers.cloudflare.com/workers/platform/limits/ */
const CALLS_AT_ONCE = 6;

export interface CompactionDeps {
  readonly committer: Committer;
  readonly manifests: ManifestFiles;
  readonly objects: ObjectStore;
  readonly randomUuid: () => string;
  readonly clock: () => number;
}

interface SmallFile {
  readonly path: string;
  readonly day: number;
  readonly rows: number;
  readonly fileSizeBytes: number;
}

interface Rewrite {
  readonly removed: string[];
  readonly added: DataFile[];
  readonly endsAtMs: number;
}

/** A run that is late ends after its first new file at the earliest: the next one must find fewer. */
function isOver({ removed, added, endsAtMs }: Rewrite, clock: () => number): boolean {
  const isFull = added.length >= OUTPUTS_PER_RUN || removed.length >= INPUTS_PER_RUN;
  return isFull || (added.length > 0 && clock() >= endsAtMs);
}

/** One run. @throws where storage or catalog fail: nothing has changed then but for files nobody refers to */
export async function compact(table: LoadedTable, deps: CompactionDeps): Promise<CompactionReport> {
  const snapshot = currentSnapshot(table.metadata);
  const snapshotId = snapshot === undefined ? null : String(snapshot["snapshot-id"]);
  const nothing = { ok: true, rewritten_files: 0, added_files: 0, records: 0, snapshot_id: snapshotId, reason: null };
  if (snapshot === undefined) return { ...nothing, remaining_files: 0 };
  const list = await deps.manifests.readList(snapshot["manifest-list"]);
  if (list.some((manifest) => manifest.content !== "data")) {
    return { ...nothing, ok: false, remaining_files: 0, reason: "the table has delete files, which are not ours" };
  }
  // Of another partition spec the value is no day.
  const daily = list.filter((manifest) => manifest.partitionSpecId === table.metadata["default-spec-id"]);
  const small = await findSmallFiles(
    daily.map((manifest) => manifest.path),
    deps.manifests,
  );
  const rewrite: Rewrite = { removed: [], added: [], endsAtMs: deps.clock() + RUN_MAX_MS };
  for (const [day, files] of small) {
    if (isOver(rewrite, deps.clock)) break;
    await rewriteDay(files, { ...deps, day, location: table.metadata.location, rewrite });
  }
  const remaining = [...small.values()].reduce((sum, files) => sum + files.length, 0) - rewrite.removed.length;
  if (rewrite.added.length === 0) return { ...nothing, remaining_files: 0 };
  const done = await deps.committer.commitExtra({ kind: "replace", removed: rewrite.removed, added: rewrite.added });
  const after = currentSnapshot(done.table.metadata);
  const isDone = done.abandoned === undefined;
  return {
    ok: isDone,
    rewritten_files: isDone ? rewrite.removed.length : 0,
    added_files: isDone ? rewrite.added.length : 0,
    records: done.records,
    snapshot_id: after === undefined ? null : String(after["snapshot-id"]),
    remaining_files: remaining,
    reason: done.abandoned ?? null,
  };
}

/** Small live files by day, of days that have at least two. */
async function findSmallFiles(
  manifestPaths: readonly string[],
  manifests: ManifestFiles,
): Promise<ReadonlyMap<number, readonly SmallFile[]>> {
  const byDay = new Map<number, SmallFile[]>();
  for (const path of manifestPaths) {
    const entries = await manifests.readEntries(path);
    // Replacing a file writes its whole manifest anew, and what is unknown there would be lost.
    if (entries.some(({ unknownFields }) => unknownFields.length > 0)) continue;
    for (const { status, file } of entries) {
      if (status === ENTRY_STATUS.deleted) continue;
      const small = asSmall(file);
      if (small === undefined) continue;
      const sameDay = byDay.get(small.day);
      if (sameDay === undefined) byDay.set(small.day, [small]);
      else sameDay.push(small);
    }
  }
  return new Map([...byDay].filter(([, files]) => files.length > 1).toSorted(([left], [right]) => left - right));
}

function asSmall(file: ContentFile): SmallFile | undefined {
  const [day] = file.partition;
  const isParquet = file.format.toUpperCase() === "PARQUET";
  if (typeof day !== "number" || !isParquet) return undefined;
  const rows = Number(file.recordCount);
  const fileSizeBytes = Number(file.fileSizeBytes);
  const isSmall = rows < SMALL_MAX_ROWS && fileSizeBytes < SMALL_MAX_BYTES;
  return isSmall ? { path: file.path, day, rows, fileSizeBytes } : undefined;
}

interface DayRun extends CompactionDeps {
  readonly day: number;
  readonly location: string;
  readonly rewrite: Rewrite;
}

async function rewriteDay(small: readonly SmallFile[], run: DayRun): Promise<void> {
  // Small ones first: they are what fills a file with the most of them gone.
  const files = small.toSorted((left, right) => left.rows - right.rows).slice(0, INPUTS_PER_RUN);
  const looksUntilMs = (run.clock() + run.rewrite.endsAtMs) / 2;
  const sized = await inParts(
    files,
    async (file) => ({ ...file, jsonBytes: await jsonBytesOf(file, run.objects) }),
    () => run.clock() >= looksUntilMs,
  );
  for (const group of pack(sized)) {
    if (isOver(run.rewrite, run.clock)) return;
    // A file alone gains nothing by being written again.
    if (group.length > 1) await rewriteGroup(group, run);
  }
}

interface SizedFile extends SmallFile {
  readonly jsonBytes: number;
}

/** JSON bytes for each byte of a foreign file: more than our own data ever had. */
const FOREIGN_EXPANSION = 20;

/** Full by its JSON, a file that compresses well is small by its own size: only what lies beside it tells. */
async function jsonBytesOf({ path, fileSizeBytes }: SmallFile, objects: ObjectStore): Promise<number> {
  const descriptor = (await objects.head(keyOf(path)))?.metadata[DESCRIPTOR];
  if (descriptor === undefined) return fileSizeBytes * FOREIGN_EXPANSION;
  return (JSON.parse(descriptor) as DataFile).jsonBytes;
}

/** Runs of files that fit one file together. */
function pack(files: readonly SizedFile[]): SizedFile[][] {
  const groups: SizedFile[][] = [];
  let rows = Number.POSITIVE_INFINITY;
  let jsonBytes = 0;
  for (const file of files) {
    if (rows + file.rows > FILE_MAX_ROWS || jsonBytes + file.jsonBytes > FILE_MAX_JSON_BYTES) {
      groups.push([]);
      rows = 0;
      jsonBytes = 0;
    }
    rows += file.rows;
    jsonBytes += file.jsonBytes;
    groups.at(-1)?.push(file);
  }
  return groups;
}

async function rewriteGroup(group: readonly SizedFile[], run: DayRun): Promise<void> {
  const read = await inParts(group, async ({ path }) => ({ path, rows: await readRows(path, run.objects) }));
  const rows: LakeRow[] = [];
  const sources: string[] = [];
  for (const { path, rows: more } of read) {
    if (more === undefined) continue;
    for (const row of more) rows.push(row);
    sources.push(path);
  }
  if (sources.length < 2) return;
  run.rewrite.added.push(await putMerged(rows, run));
  run.rewrite.removed.push(...sources);
}

/**
 * Some at once, in their order.
 *
 * @param isLate asked after each part: whether to leave it at those
 */
async function inParts<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  isLate: () => boolean = () => false,
): Promise<R[]> {
  const done: R[] = [];
  for (let at = 0; at < items.length && (at === 0 || !isLate()); at += CALLS_AT_ONCE) {
    done.push(...(await Promise.all(items.slice(at, at + CALLS_AT_ONCE).map(work))));
  }
  return done;
}

/** @returns `undefined` for a file that is better left as it is */
async function readRows(path: string, objects: ObjectStore): Promise<LakeRow[] | undefined> {
  const bytes = await objects.get(keyOf(path));
  if (bytes === undefined) throw new Error(`a data file of the table is missing: ${path}`);
  try {
    return await decodeParquet(bytes);
  } catch {
    // Columns, types or a codec of another writer: its rows cannot be written again without loss.
    return undefined;
  }
}

async function putMerged(rows: readonly LakeRow[], { day, location, objects, randomUuid }: DayRun): Promise<DataFile> {
  const path = `${location}/data/${dayText(day)}/compact-${randomUuid()}.parquet`;
  const { bytes, recordCount, metrics } = encodeParquet(rows, TABLE_COLUMNS);
  const jsonBytes = rows.reduce((sum, row) => sum + jsonSizeOf(row), 0);
  const file: DataFile = { path, day, recordCount, fileSizeBytes: bytes.byteLength, jsonBytes, ...metrics };
  const outcome = await objects.putIfAbsent(keyOf(path), bytes, { [DESCRIPTOR]: JSON.stringify(file) });
  if (outcome !== "written") throw new Error(`a new data file could not be written: ${outcome}`);
  return file;
}
