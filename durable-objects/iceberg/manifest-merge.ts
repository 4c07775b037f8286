/**
 * Merging manifests: the live files of several, as one manifest lists them. Pure; which manifests to
 * merge, and when, is decided elsewhere.
 *
 * Source: Iceberg spec v2, "Sequence Number Inheritance" and "Manifests" (status, snapshot_id).
 */
import { ENTRY_STATUS, type ManifestEntry } from "./manifest-entry.ts";
import type { ManifestFile } from "./manifest-list.ts";
import type { Manifest } from "./manifest.ts";
import { sameInt, type LongInt, type PartitionSpec } from "./table-metadata.ts";

/** A manifest and what the manifest list says of it. */
export interface MergeSource {
  readonly listed: ManifestFile;
  readonly manifest: Manifest;
}

export type ManifestMerge =
  | {
      readonly kind: "merged";
      readonly partitionSpec: PartitionSpec;
      /** In the order given. */
      readonly entries: readonly ManifestEntry[];
    }
  /** Merging would lose or guess something; the manifests stay as they are. */
  | { readonly kind: "refused"; readonly reason: string };

const LATEST_FORMAT_VERSION = 2;

/**
 * Live files become `existing`, with numbers of their own; deleted ones are left out, for the snapshots
 * that deleted them are past. What the snapshot being committed itself added or deleted stays so, and
 * inherits from the merged manifest what it would have inherited from its own.
 *
 * @param sources data manifests of one partition spec
 * @param committing id of the snapshot being committed, where manifests of its own are among the sources
 */
export function mergeManifests(sources: readonly MergeSource[], committing?: LongInt): ManifestMerge {
  const [first] = sources;
  if (first === undefined) return { kind: "refused", reason: "nothing to merge" };
  const { partitionSpec } = first.manifest;
  const entries: ManifestEntry[] = [];
  for (const source of sources) {
    const { listed, manifest } = source;
    const refusal = refuseManifest(source, partitionSpec) ?? manifest.entries.map(refuseEntry(listed)).find(Boolean);
    if (refusal !== undefined) return { kind: "refused", reason: `${listed.path}: ${refusal}` };
    for (const entry of manifest.entries) {
      const snapshotId = entry.snapshotId ?? listed.addedSnapshotId;
      if (committing !== undefined && sameInt(snapshotId, committing)) entries.push({ ...entry, snapshotId });
      else if (entry.status !== ENTRY_STATUS.deleted) entries.push(asExisting(entry, listed));
    }
  }
  return { kind: "merged", partitionSpec, entries };
}

function refuseManifest({ listed, manifest }: MergeSource, spec: PartitionSpec): string | undefined {
  if (manifest.formatVersion > LATEST_FORMAT_VERSION) return `format version ${manifest.formatVersion} is not known`;
  if (manifest.content !== "data" || listed.content !== "data") return "it lists deletes";
  if (listed.keyMetadata !== null) return "it is encrypted";
  if (listed.unknownFields.length > 0) return `it has unknown fields: ${listed.unknownFields.join(", ")}`;
  if (listed.partitionSpecId !== spec["spec-id"] || !sameSpec(manifest.partitionSpec, spec)) {
    return "it is by another partition spec";
  }
  return undefined;
}

function sameSpec(left: PartitionSpec, right: PartitionSpec): boolean {
  return (
    left["spec-id"] === right["spec-id"] &&
    left.fields.length === right.fields.length &&
    left.fields.every((field, at) => field["field-id"] === right.fields[at]?.["field-id"])
  );
}

function refuseEntry({ sequenceNumber }: ManifestFile): (entry: ManifestEntry) => string | undefined {
  return (entry) => {
    const { path } = entry.file;
    if (entry.unknownFields.length > 0) return `${path} has unknown fields: ${entry.unknownFields.join(", ")}`;
    if (entry.status === ENTRY_STATUS.added) return undefined;
    const hasNumbers = entry.sequenceNumber !== null && entry.fileSequenceNumber !== null;
    // Only added files inherit; but manifests of version 1, whose sequence number is 0, had none to give.
    return hasNumbers || sameInt(sequenceNumber, 0) ? undefined : `${path} has no sequence number of its own`;
  };
}

function asExisting(entry: ManifestEntry, listed: ManifestFile): ManifestEntry {
  return {
    ...entry,
    status: ENTRY_STATUS.existing,
    snapshotId: entry.snapshotId ?? listed.addedSnapshotId,
    sequenceNumber: entry.sequenceNumber ?? listed.sequenceNumber,
    fileSequenceNumber: entry.fileSequenceNumber ?? listed.sequenceNumber,
  };
}
