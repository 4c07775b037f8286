/**
 * The seam between the committer and whoever keeps the table's current metadata.
 *
 * Both sides speak the REST catalog's commit: requirements that must hold, and updates to apply.
 * Source: Iceberg REST Catalog OpenAPI, `CommitTableRequest`.
 */
import type { TableMetadata } from "./table-metadata.ts";
import type { TableChange } from "./table-change.ts";

export interface LoadedTable {
  readonly metadata: TableMetadata;
  /** Absolute path of the metadata file this was read from. */
  readonly metadataLocation: string;
}

export type CommitOutcome =
  | { readonly kind: "committed"; readonly table: LoadedTable }
  /** A requirement did not hold, or another committer was first. Nothing of ours was applied. */
  | { readonly kind: "conflict"; readonly reason: string }
  /** Whether it was applied only a reload can tell. */
  | { readonly kind: "unknown"; readonly reason: string; readonly retryAfterMs?: number }
  /** Refused for good: trying again changes nothing. */
  | { readonly kind: "refused"; readonly reason: string };

/** Thrown where the catalog cannot be read or answers nonsense; the reason names no secret. */
export class CatalogError extends Error {
  override readonly name = "CatalogError";
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, retryAfterMs?: number) {
    super(reason);
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Catalog {
  /** Whether this catalog's snapshots, orphans and small files are ours to look after. */
  readonly isEmbedded: boolean;
  /** Reads the table anew; `undefined` where there is none. @throws {CatalogError} */
  load(): Promise<LoadedTable | undefined>;
  /** Reads the table anew, or makes it. @throws {CatalogError} */
  loadOrCreate(): Promise<LoadedTable>;
  /** @param idempotencyKey the same for every attempt at one commit, a UUID */
  commit(base: LoadedTable, change: TableChange, idempotencyKey: string): Promise<CommitOutcome>;
  /** Before old metadata is deleted: brings up to date whatever leads to the newest. @throws where it cannot */
  prepareSweep?(): Promise<void>;
}
