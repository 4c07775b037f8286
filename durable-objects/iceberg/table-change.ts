/**
 * A change to a table as the REST catalog's protocol words it. Ids are 63-bit: number where that is
 * exact, bigint beyond.
 *
 * Source: Iceberg REST Catalog OpenAPI, `TableRequirement` and `TableUpdate`.
 */
import type { LongInt, Schema, Snapshot } from "./table-metadata.ts";

export type TableRequirement =
  | { readonly type: "assert-create" }
  | { readonly type: "assert-table-uuid"; readonly uuid: string }
  | { readonly type: "assert-ref-snapshot-id"; readonly ref: string; readonly "snapshot-id": LongInt | null }
  | { readonly type: "assert-current-schema-id"; readonly "current-schema-id": number }
  | { readonly type: "assert-last-assigned-field-id"; readonly "last-assigned-field-id": number };

export type TableUpdate =
  | { readonly action: "add-schema"; readonly schema: Schema; readonly "last-column-id": number }
  /** `-1`: the schema added in the same change. */
  | { readonly action: "set-current-schema"; readonly "schema-id": number }
  | { readonly action: "add-snapshot"; readonly snapshot: Snapshot }
  | {
      readonly action: "set-snapshot-ref";
      readonly "ref-name": string;
      readonly type: "branch";
      readonly "snapshot-id": LongInt;
    }
  | { readonly action: "remove-snapshots"; readonly "snapshot-ids": readonly LongInt[] }
  | { readonly action: "set-properties"; readonly updates: Readonly<Record<string, string>> };

export interface TableChange {
  readonly requirements: readonly TableRequirement[];
  readonly updates: readonly TableUpdate[];
}
