/**
 * Reads the table as any reader would, from its current metadata down to the rows, and holds every claim
 * on the way against what is in the bucket. What was read once is remembered: files never change.
 */
import { keyOf } from "../../../durable-objects/iceberg/locations.ts";
import { parseLossless } from "../../../durable-objects/iceberg/lossless-json.ts";
import { decodeManifest, ENTRY_STATUS, type ManifestEntry } from "../../../durable-objects/iceberg/manifest.ts";
import { decodeManifestList } from "../../../durable-objects/iceberg/manifest-list.ts";
import { decodeParquet } from "../../../durable-objects/iceberg/parquet-decode.ts";
import type { Snapshot, TableMetadata } from "../../../durable-objects/iceberg/table-metadata.ts";
import { dayOf } from "../../../protocol/lake-event.ts";
import type { Coverage } from "../coverage.ts";
import { breach } from "./lake-violation.ts";
import type { LakeModel, Taken } from "./lake-model.ts";
import type { SimBucket } from "./sim-bucket.ts";
import type { CatalogServer } from "./sim-catalog.ts";

const VERSION = /\/v(\d+)\.metadata\.json$/;
const PROPERTY = /^spillway\.committer\.(.+)\.last-seq$/;

export interface SnapshotView {
  readonly rows: ReadonlySet<Taken>;
  /** Keys of everything it refers to. */
  readonly keys: ReadonlySet<string>;
}

export interface TableView {
  readonly metadata: TableMetadata;
  readonly rows: ReadonlySet<Taken>;
  /** Keys of everything that any snapshot refers to. */
  readonly referenced: ReadonlySet<string>;
  /** By committer. */
  readonly lastSeqs: ReadonlyMap<string, number>;
}

export interface ReaderDeps {
  readonly bucket: SimBucket;
  /** `undefined`: the table's metadata is in the bucket itself. */
  readonly server: CatalogServer | undefined;
  readonly model: LakeModel;
  readonly coverage: Coverage;
  /** Where the catalog is ours. */
  readonly snapshotsKept: number;
}

export class TableReader {
  view: TableView | undefined;
  private readonly deps: ReaderDeps;
  private highestVersion = 0;
  private lastSequence = 0n;
  private readonly snapshots = new Map<string, SnapshotView>();
  private readonly manifests = new Map<string, readonly ManifestEntry[]>();
  private readonly files = new Map<string, { readonly rows: readonly Taken[]; readonly sizeBytes: number }>();

  constructor(deps: ReaderDeps) {
    this.deps = deps;
    deps.bucket.onWrite = (key) => this.noteWrite(key);
  }

  /** Each version follows the one before: nobody overwrites, nobody goes on from an older one. */
  private noteWrite(key: string): void {
    const version = Number(VERSION.exec(key)?.[1] ?? 0);
    if (version === 0) return;
    if (version !== this.highestVersion + 1) {
      breach("metadata has one history", `version ${version} is written after version ${this.highestVersion}`);
    }
    this.highestVersion = version;
  }

  /** @returns the table as it is now; `undefined` before it is made */
  async read(): Promise<TableView | undefined> {
    const metadata = this.currentMetadata();
    if (metadata === undefined) return undefined;
    const referenced = new Set<string>();
    let rows: ReadonlySet<Taken> = new Set();
    const snapshots = metadata.snapshots ?? [];
    for (const snapshot of snapshots) {
      const view = await this.readSnapshot(snapshot);
      for (const key of view.keys) referenced.add(key);
      if (snapshot["snapshot-id"] === metadata["current-snapshot-id"]) ({ rows } = view);
    }
    this.checkMetadata(metadata);
    const before = this.view?.metadata.snapshots?.length ?? 0;
    if (snapshots.length < before) this.deps.coverage.note("snapshots expired");
    const isEmbedded = this.deps.server === undefined;
    if (isEmbedded) for (const entry of metadata["metadata-log"] ?? []) referenced.add(keyOf(entry["metadata-file"]));
    const lastSeqs = new Map<string, number>();
    for (const [name, value] of Object.entries(metadata.properties ?? {})) {
      const committer = PROPERTY.exec(name)?.[1];
      if (committer !== undefined) lastSeqs.set(committer, Number(value));
    }
    for (const [committer, seq] of this.view?.lastSeqs ?? []) {
      if ((lastSeqs.get(committer) ?? 0) < seq) {
        breach("X1 commits are numbered", `committer ${committer} falls back from ${seq}`);
      }
    }
    this.view = { metadata, rows, referenced, lastSeqs };
    this.checkReferenced();
    return this.view;
  }

  /** Everything the table refers to is there. */
  checkReferenced(): void {
    for (const key of this.view?.referenced ?? []) {
      if (!this.deps.bucket.objects.has(key)) breach("the table refers to what is there", `${key} is gone`);
    }
  }

  /** Rows of a data file, each held against what was taken. */
  async readFile(path: string): Promise<{ readonly rows: readonly Taken[]; readonly sizeBytes: number }> {
    const known = this.files.get(path);
    if (known !== undefined) return known;
    const bytes = this.bytesOf(path);
    const rows = (await decodeParquet(bytes)).map((row) => this.deps.model.match(row));
    const read = { rows, sizeBytes: bytes.byteLength };
    this.files.set(path, read);
    return read;
  }

  private currentMetadata(): TableMetadata | undefined {
    const { bucket, server } = this.deps;
    if (server !== undefined) return server.metadata;
    if (this.highestVersion === 0) return undefined;
    const key = [...bucket.objects.keys()].find((name) => Number(VERSION.exec(name)?.[1]) === this.highestVersion);
    if (key === undefined) breach("the table refers to what is there", `metadata ${this.highestVersion} is gone`);
    return parseLossless(new TextDecoder().decode(bucket.objects.get(key)?.bytes)) as TableMetadata;
  }

  private checkMetadata(metadata: TableMetadata): void {
    const { server, snapshotsKept } = this.deps;
    const snapshots = metadata.snapshots ?? [];
    if (server === undefined && snapshots.length > snapshotsKept) {
      breach("maintenance moves rows and no more", `${snapshots.length} snapshots, kept are ${snapshotsKept}`);
    }
    const last = BigInt(metadata["last-sequence-number"]);
    if (last < this.lastSequence)
      breach("metadata has one history", `sequence number ${last} after ${this.lastSequence}`);
    this.lastSequence = last;
    let before = 0n;
    for (const snapshot of snapshots) {
      const sequence = BigInt(snapshot["sequence-number"]);
      if (sequence <= before || sequence > last) {
        breach("metadata has one history", `a snapshot has sequence number ${sequence}, the one before ${before}`);
      }
      before = sequence;
    }
    const current = metadata["current-snapshot-id"];
    if (current !== null && current !== snapshots.at(-1)?.["snapshot-id"]) {
      breach("metadata has one history", "the current snapshot is not the last");
    }
  }

  private async readSnapshot(snapshot: Snapshot): Promise<SnapshotView> {
    const id = String(snapshot["snapshot-id"]);
    const known = this.snapshots.get(id);
    if (known !== undefined) return known;
    const keys = new Set([keyOf(snapshot["manifest-list"])]);
    const rows = new Set<Taken>();
    const list = decodeManifestList(this.bytesOf(snapshot["manifest-list"]));
    const total = { files: 0, records: 0, bytes: 0 };
    for (const manifest of list) {
      keys.add(keyOf(manifest.path));
      const bytes = this.bytesOf(manifest.path);
      if (bytes.byteLength !== Number(manifest.length)) {
        breach("the table refers to what is there", `${manifest.path} is not as long as its list says`);
      }
      const live = this.entriesOf(manifest.path, bytes).filter(({ status }) => status !== ENTRY_STATUS.deleted);
      if (live.length !== manifest.addedFilesCount + manifest.existingFilesCount) {
        breach(
          "the table refers to what is there",
          `${manifest.path} has ${live.length} files, its list says otherwise`,
        );
      }
      for (const { file } of live) {
        keys.add(keyOf(file.path));
        const data = await this.readFile(file.path);
        if (data.rows.length !== Number(file.recordCount) || data.sizeBytes !== Number(file.fileSizeBytes)) {
          breach("the table refers to what is there", `${file.path} is not as its manifest says`);
        }
        for (const row of data.rows) {
          if (file.partition[0] !== dayOf(row.event.timeUs)) {
            breach(
              "the table refers to what is there",
              `${file.path} holds ${row.seq}, and says ${String(file.partition[0])}`,
            );
          }
          if (rows.has(row)) breach("L1 nothing counts twice", `${row.shard}/${row.seq} is in the table twice`);
          rows.add(row);
        }
        total.files++;
        total.records += data.rows.length;
        total.bytes += data.sizeBytes;
      }
    }
    if (list.length < this.manifestsOf(snapshot)) this.deps.coverage.note("manifests merged");
    this.checkSummary(snapshot, total);
    this.checkAgainstParent(snapshot, rows);
    const view = { rows, keys };
    this.snapshots.set(id, view);
    this.listLengths.set(id, list.length);
    this.deps.coverage.note(`snapshot: ${snapshot.summary["operation"]}`);
    return view;
  }

  private readonly listLengths = new Map<string, number>();

  private manifestsOf({ "parent-snapshot-id": parent }: Snapshot): number {
    return parent === undefined ? 0 : (this.listLengths.get(String(parent)) ?? 0);
  }

  private checkSummary({ summary, "snapshot-id": id }: Snapshot, total: Record<"files" | "records" | "bytes", number>) {
    const claims = [
      ["total-data-files", total.files],
      ["total-records", total.records],
      ["total-files-size", total.bytes],
    ] as const;
    for (const [name, actual] of claims) {
      if (summary[name] !== String(actual)) {
        breach("the table refers to what is there", `snapshot ${id}: ${name} is ${summary[name]}, counted ${actual}`);
      }
    }
  }

  private checkAgainstParent(snapshot: Snapshot, rows: ReadonlySet<Taken>): void {
    const parent = this.snapshots.get(String(snapshot["parent-snapshot-id"]));
    if (parent === undefined) return;
    for (const row of parent.rows) {
      if (!rows.has(row)) {
        const { operation } = snapshot.summary;
        breach("maintenance moves rows and no more", `${operation} takes ${row.shard}/${row.seq} out of the table`);
      }
    }
    const added = snapshot.summary["operation"] === "append" ? Number(snapshot.summary["added-records"]) : 0;
    if (rows.size !== parent.rows.size + added) {
      breach("maintenance moves rows and no more", `${rows.size} rows after ${parent.rows.size} and ${added} added`);
    }
  }

  private entriesOf(path: string, bytes: Uint8Array): readonly ManifestEntry[] {
    const known = this.manifests.get(path);
    if (known !== undefined) return known;
    const { entries } = decodeManifest(bytes);
    this.manifests.set(path, entries);
    return entries;
  }

  private bytesOf(path: string): Uint8Array {
    const bytes = this.deps.bucket.objects.get(keyOf(path))?.bytes;
    if (bytes === undefined) breach("the table refers to what is there", `${path} is gone`);
    return bytes;
  }
}
