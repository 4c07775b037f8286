/**
 * The table's state as operators see it. Pure.
 */
import type { TableStatus } from "../../protocol/lake-call.ts";
import type { LakeSettings } from "../../protocol/lake-settings.ts";
import type { LoadedTable } from "./catalog.ts";
import { currentSnapshot } from "./table-metadata.ts";
import type { CommitterRecord } from "./table-store.ts";

/** @param found the table; or that there is none yet, or that the catalog cannot be read just now */
export function describeTable(
  settings: LakeSettings,
  staged: { readonly staged_files: number; readonly record: CommitterRecord },
  found: LoadedTable | "missing" | "unreadable",
): TableStatus {
  const table = typeof found === "string" ? undefined : found;
  const snapshot = table === undefined ? undefined : currentSnapshot(table.metadata);
  const total = (name: string) => {
    const text = snapshot?.summary[name];
    return text === undefined ? null : Number(text);
  };
  const isEmpty = found !== "unreadable" && snapshot === undefined;
  const { record } = staged;
  return {
    table: `${settings.namespace}.${settings.table}`,
    catalog: settings.catalog.kind,
    location: table?.metadata.location ?? null,
    metadata_location: table?.metadataLocation ?? null,
    snapshot_id: snapshot === undefined ? null : String(snapshot["snapshot-id"]),
    snapshots: table?.metadata.snapshots?.length ?? 0,
    files: isEmpty ? 0 : total("total-data-files"),
    rows: isEmpty ? 0 : total("total-records"),
    staged_files: staged.staged_files,
    last_commit_at: isoOrNull(record.lastCommitAtMs),
    last_error: record.lastError ?? null,
    next_attempt_at: isoOrNull(record.nextAttemptAtMs),
  };
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
