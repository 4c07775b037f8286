/**
 * Applies a change to table metadata, as a REST catalog would: requirements first, then the updates in
 * their order. Pure; the embedded catalog's half of a commit.
 *
 * Source: Iceberg REST Catalog OpenAPI, `TableUpdate`; Iceberg spec, "Optimistic Concurrency".
 */
import type { TableChange, TableRequirement, TableUpdate } from "./table-change.ts";
import { sameInt, type LongInt, type Snapshot, type TableMetadata } from "./table-metadata.ts";

export interface ApplyContext {
  readonly nowMs: number;
  /** Where the metadata being replaced lies: an entry of the metadata log. */
  readonly previousLocation: string;
  /** Entries the metadata log may hold. */
  readonly metadataLogMax: number;
}

export type ApplyOutcome =
  | { readonly ok: true; readonly metadata: TableMetadata }
  | { readonly ok: false; readonly reason: string };

export function applyChange(metadata: TableMetadata, change: TableChange, context: ApplyContext): ApplyOutcome {
  for (const requirement of change.requirements) {
    const reason = findBreach(metadata, requirement);
    if (reason !== undefined) return { ok: false, reason };
  }
  const changed = change.updates.reduce((state, update) => applyUpdate(state, update, context), metadata);
  const log = [
    ...(metadata["metadata-log"] ?? []),
    { "metadata-file": context.previousLocation, "timestamp-ms": metadata["last-updated-ms"] },
  ];
  return {
    ok: true,
    metadata: {
      ...changed,
      "last-updated-ms": Math.max(context.nowMs, metadata["last-updated-ms"]),
      "metadata-log": log.slice(-context.metadataLogMax),
    },
  };
}

/** @returns what does not hold, or `undefined` */
function findBreach(metadata: TableMetadata, requirement: TableRequirement): string | undefined {
  switch (requirement.type) {
    case "assert-create":
      return "the table exists";
    case "assert-table-uuid":
      return metadata["table-uuid"] === requirement.uuid ? undefined : "another table is at this place";
    case "assert-ref-snapshot-id": {
      const actual = metadata.refs?.[requirement.ref]?.["snapshot-id"] ?? null;
      const expected = requirement["snapshot-id"];
      const isSame = actual === null || expected === null ? actual === expected : sameInt(actual, expected);
      return isSame ? undefined : `branch ${requirement.ref} is at snapshot ${actual}, not ${expected}`;
    }
    case "assert-current-schema-id":
      return metadata["current-schema-id"] === requirement["current-schema-id"] ? undefined : "the schema has changed";
    case "assert-last-assigned-field-id":
      return metadata["last-column-id"] === requirement["last-assigned-field-id"]
        ? undefined
        : "a column has been added";
  }
}

function applyUpdate(metadata: TableMetadata, update: TableUpdate, { nowMs }: ApplyContext): TableMetadata {
  switch (update.action) {
    case "add-schema": {
      const schemaId = 1 + Math.max(...metadata.schemas.map((schema) => schema["schema-id"]));
      return {
        ...metadata,
        schemas: [...metadata.schemas, { ...update.schema, "schema-id": schemaId }],
        "last-column-id": Math.max(metadata["last-column-id"], update["last-column-id"]),
      };
    }
    case "set-current-schema": {
      const added = metadata.schemas.at(-1)?.["schema-id"] ?? 0;
      const schemaId = update["schema-id"] === -1 ? added : update["schema-id"];
      return { ...metadata, "current-schema-id": schemaId };
    }
    case "add-snapshot":
      return addSnapshot(metadata, update.snapshot);
    case "set-snapshot-ref":
      return setMainBranch(metadata, update, nowMs);
    case "remove-snapshots":
      return removeSnapshots(metadata, update["snapshot-ids"]);
    case "set-properties":
      return { ...metadata, properties: { ...metadata.properties, ...update.updates } };
  }
}

function addSnapshot(metadata: TableMetadata, snapshot: Snapshot): TableMetadata {
  const last = BigInt(metadata["last-sequence-number"]);
  // Whoever plans a snapshot numbers it by the metadata it planned on; the branch requirement holds that.
  if (BigInt(snapshot["sequence-number"]) <= last) throw new Error("a snapshot's sequence number must grow");
  const isKnown = metadata.snapshots?.some((known) => sameInt(known["snapshot-id"], snapshot["snapshot-id"]));
  // Readers would find the first of the two, without what the second one adds.
  if (isKnown === true) throw new Error("a snapshot of this id is there already");
  return {
    ...metadata,
    snapshots: [...(metadata.snapshots ?? []), snapshot],
    "last-sequence-number": snapshot["sequence-number"],
  };
}

function setMainBranch(
  metadata: TableMetadata,
  update: Extract<TableUpdate, { action: "set-snapshot-ref" }>,
  nowMs: number,
): TableMetadata {
  const id = update["snapshot-id"];
  const refs = { ...metadata.refs, [update["ref-name"]]: { type: update.type, "snapshot-id": id } };
  if (update["ref-name"] !== "main") return { ...metadata, refs };
  const snapshot = metadata.snapshots?.find((candidate) => sameInt(candidate["snapshot-id"], id));
  const entry = { "snapshot-id": id, "timestamp-ms": snapshot?.["timestamp-ms"] ?? nowMs };
  return {
    ...metadata,
    refs,
    "current-snapshot-id": id,
    "snapshot-log": [...(metadata["snapshot-log"] ?? []), entry],
  };
}

/** A log entry of a snapshot that is gone ends the history there (spec, "snapshot-log"). */
function removeSnapshots(metadata: TableMetadata, ids: readonly LongInt[]): TableMetadata {
  const gone = new Set(ids.map(BigInt));
  const isGone = (id: LongInt) => gone.has(BigInt(id));
  for (const [name, ref] of Object.entries(metadata.refs ?? {})) {
    if (isGone(ref["snapshot-id"])) throw new Error(`snapshot of ${name} cannot be removed`);
  }
  const log = metadata["snapshot-log"] ?? [];
  const lastGone = log.findLastIndex((entry) => isGone(entry["snapshot-id"]));
  return {
    ...metadata,
    snapshots: (metadata.snapshots ?? []).filter((snapshot) => !isGone(snapshot["snapshot-id"])),
    "snapshot-log": log.slice(lastGone + 1),
  };
}
