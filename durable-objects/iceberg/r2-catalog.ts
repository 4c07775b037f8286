/**
 * The embedded catalog: metadata files numbered one after the other in the bucket, each written only if
 * its number is free. That put is the commit point; two committers cannot both have it.
 *
 * `version-hint.text` is for readers who look for the newest file, and for a fast start here: it may lag
 * behind, and is never trusted to be the last.
 *
 * Source: Iceberg spec, "File System Tables".
 */
import { CatalogError, type Catalog, type CommitOutcome, type LoadedTable } from "./catalog.ts";
import { keyOf } from "./locations.ts";
import { parseLossless, stringifyLossless } from "./lossless-json.ts";
import { applyChange } from "./metadata-updates.ts";
import type { ObjectStore } from "./object-store.ts";
import type { TableChange } from "./table-change.ts";
import { findUnfit } from "./table-check.ts";
import type { TableColumn } from "./table-columns.ts";
import { createMetadata, type TableMetadata } from "./table-metadata.ts";

/** Older metadata files that the log names, and that are kept. */
export const METADATA_LOG_MAX = 20;

/** Far less than the age at which a metadata file may be deleted (an hour at the least). */
const TRUSTED_FOR_MS = 60_000;

export interface R2CatalogDeps {
  readonly objects: ObjectStore;
  /** Absolute, without a slash at its end. */
  readonly location: string;
  /** Of a table that has to be made. */
  readonly columns: readonly TableColumn[];
  readonly clock: () => number;
  readonly randomUuid: () => string;
}

interface VersionedTable extends LoadedTable {
  readonly version: number;
}

const VERSION_FILE = /\/v(\d+)\.metadata\.json$/;

export class R2Catalog implements Catalog {
  readonly isEmbedded = true;
  private readonly deps: R2CatalogDeps;
  /** The newest table seen: metadata files never change, so only a newer one can replace it. */
  private newest: VersionedTable | undefined;
  private seenAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: R2CatalogDeps) {
    this.deps = deps;
  }

  async loadOrCreate(): Promise<LoadedTable> {
    return (await this.load()) ?? this.create();
  }

  /** @returns `undefined` where there is no table yet */
  async load(): Promise<LoadedTable | undefined> {
    const known = (await this.knownVersion()) ?? (await this.findHighestVersion());
    if (known === undefined) return undefined;
    let version = known;
    while ((await this.deps.objects.head(this.keyOfVersion(version + 1))) !== undefined) version++;
    if (this.newest?.version !== version) this.newest = await this.readVersion(version);
    this.seenAtMs = this.deps.clock();
    return this.newest;
  }

  /**
   * A version to probe on from. One seen long ago may have had its successors deleted since: probing from
   * there would take it for the newest, and commit beside the table.
   */
  private async knownVersion(): Promise<number | undefined> {
    const isFresh = this.deps.clock() - this.seenAtMs < TRUSTED_FOR_MS;
    if (this.newest !== undefined && isFresh) return this.newest.version;
    const hinted = await this.readHint();
    return hinted === undefined ? undefined : Math.max(hinted, this.newest?.version ?? 0);
  }

  async commit(base: LoadedTable, change: TableChange): Promise<CommitOutcome> {
    const version = versionOf(base.metadataLocation);
    const applied = applyChange(base.metadata, change, {
      nowMs: this.deps.clock(),
      previousLocation: base.metadataLocation,
      metadataLogMax: METADATA_LOG_MAX,
    });
    if (!applied.ok) return { kind: "conflict", reason: applied.reason };
    return this.write(version + 1, applied.metadata);
  }

  /**
   * A hint that lags behind what has been deleted would lead to an old version with nothing after it, and
   * the next commit would go beside the table.
   */
  async prepareSweep(): Promise<void> {
    await this.load();
    if (this.newest !== undefined) await this.putHint(this.newest.version);
  }

  private async create(): Promise<LoadedTable> {
    const { location, columns, clock, randomUuid } = this.deps;
    const outcome = await this.write(1, createMetadata({ uuid: randomUuid(), location, columns, nowMs: clock() }));
    if (outcome.kind === "committed") return outcome.table;
    const table = await this.load();
    if (table === undefined) throw new CatalogError("the table could not be made");
    return table;
  }

  private async write(version: number, metadata: TableMetadata): Promise<CommitOutcome> {
    const bytes = new TextEncoder().encode(stringifyLossless(metadata));
    let outcome;
    try {
      outcome = await this.deps.objects.putIfAbsent(this.keyOfVersion(version), bytes);
    } catch (error) {
      return { kind: "unknown", reason: error instanceof Error ? error.message : "the bucket failed" };
    }
    if (outcome !== "written") return { kind: "conflict", reason: `metadata version ${version}: ${outcome}` };
    const table = { metadata, metadataLocation: `${this.deps.location}/metadata/v${version}.metadata.json`, version };
    this.newest = table;
    this.seenAtMs = this.deps.clock();
    await this.writeHint(version);
    return { kind: "committed", table };
  }

  private async readVersion(version: number): Promise<VersionedTable> {
    const bytes = await this.deps.objects.get(this.keyOfVersion(version));
    if (bytes === undefined) throw new CatalogError(`metadata version ${version} is missing`);
    // Checked just below for what the committer relies on.
    const metadata = parseLossless(new TextDecoder().decode(bytes)) as TableMetadata;
    const unfit = findUnfit(metadata, this.deps.columns);
    if (unfit !== undefined) throw new CatalogError(unfit);
    return { metadata, metadataLocation: `${this.deps.location}/metadata/v${version}.metadata.json`, version };
  }

  private async readHint(): Promise<number | undefined> {
    const bytes = await this.deps.objects.get(this.hintKey);
    const version = bytes === undefined ? Number.NaN : Number(new TextDecoder().decode(bytes).trim());
    if (!Number.isSafeInteger(version) || version < 1) return undefined;
    // A hint to a file that is not there is no hint: the listing below decides.
    return (await this.deps.objects.head(this.keyOfVersion(version))) === undefined ? undefined : version;
  }

  /** Without a hint: old versions may have been deleted, so that probing from the first would find none. */
  private async findHighestVersion(): Promise<number | undefined> {
    let highest: number | undefined;
    let cursor: string | undefined;
    do {
      const page = await this.deps.objects.list(`${keyOf(this.deps.location)}/metadata/v`, cursor);
      for (const { key } of page.objects) {
        const version = Number(VERSION_FILE.exec(key)?.[1] ?? 0);
        if (version > (highest ?? 0)) highest = version;
      }
      ({ cursor } = page);
    } while (cursor !== undefined);
    return highest;
  }

  private async writeHint(version: number): Promise<void> {
    try {
      await this.putHint(version);
    } catch {
      // The commit stands without it; the next one writes it anew.
    }
  }

  private async putHint(version: number): Promise<void> {
    await this.deps.objects.put(this.hintKey, new TextEncoder().encode(String(version)));
  }

  private keyOfVersion(version: number): string {
    return `${keyOf(this.deps.location)}/metadata/v${version}.metadata.json`;
  }

  private get hintKey(): string {
    return `${keyOf(this.deps.location)}/metadata/version-hint.text`;
  }
}

function versionOf(metadataLocation: string): number {
  const version = Number(VERSION_FILE.exec(metadataLocation)?.[1]);
  if (!Number.isSafeInteger(version)) throw new CatalogError("not a numbered metadata file");
  return version;
}
