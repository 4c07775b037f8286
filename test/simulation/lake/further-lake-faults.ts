/**
 * More faults put into the lake on purpose, beside lake-faults.ts: these are run by the nightly alone, so
 * that the unit tests stay short.
 */
import { IcebergSink } from "../../../durable-objects/analytics/iceberg-sink.ts";
import { ShardStore, type SealedBatch } from "../../../durable-objects/analytics/shard-store.ts";
import { Committer } from "../../../durable-objects/iceberg/committer.ts";
import type { DataFile } from "../../../durable-objects/iceberg/data-file.ts";
import type { ManifestFile } from "../../../durable-objects/iceberg/manifest-list.ts";
import { ManifestFiles } from "../../../durable-objects/iceberg/manifest-files.ts";
import { Maintenance, type MaintenanceDeps } from "../../../durable-objects/iceberg/maintenance.ts";
import { TableStore, type CommitterRecord, type PendingCommit } from "../../../durable-objects/iceberg/table-store.ts";
import { fault, type LakeFault } from "./lake-faults.ts";

/** Further than any append of the simulation reaches. */
const LATER_SEQS = 20;

export const FURTHER_LAKE_FAULTS: readonly LakeFault[] = [
  fault("an append is acknowledged and not written", ShardStore, "append", (_, original) => (appends, ...rest) => {
    const written = appends as readonly unknown[];
    return original(written.slice(0, -1), ...rest);
  }),
  fault("a sealed batch is read with what came after it", ShardStore, "readPayloads", (_, original) => (batch) => {
    const sealed = batch as SealedBatch;
    return original({ ...sealed, uptoSeq: sealed.uptoSeq + LATER_SEQS });
  }),
  fault("a commit takes the number of the one before", Committer, "newCommit", (_, original) => () => {
    const commit = original() as PendingCommit;
    return { ...commit, seq: Math.max(1, commit.seq - 1) };
  }),
  fault("commit numbers begin anew with the process", TableStore, "load", (_, original) => (committerId) => ({
    ...(original(committerId) as CommitterRecord),
    nextCommitSeq: 1,
  })),
  fault("a commit sets the number of the one before", Committer, "withProperty", (_, original) => (change, pending) => {
    const commit = pending as PendingCommit;
    return original(change, { ...commit, seq: commit.seq - 1 });
  }),
  fault("a manifest list lacks an older manifest", ManifestFiles, "writeList", (_, original) => (...args) => {
    const [name, metadata, list] = args as [string, object, { readonly manifests: readonly ManifestFile[] }];
    const { manifests } = list;
    return original(name, metadata, { ...list, manifests: manifests.length > 1 ? manifests.slice(1) : manifests });
  }),
  fault("a manifest list lacks the newest manifest", ManifestFiles, "writeList", (_, original) => (...args) => {
    const [name, metadata, list] = args as [string, object, { readonly manifests: readonly ManifestFile[] }];
    const { manifests } = list;
    return original(name, metadata, { ...list, manifests: manifests.length > 1 ? manifests.slice(0, -1) : manifests });
  }),
  fault("a sweep does not look into manifests", Maintenance, "expire", sweepingBlindly("readEntries")),
  fault("a sweep does not look into manifest lists", Maintenance, "expire", sweepingBlindly("readList")),
  fault("a batch that was given up is taken for delivered", TableStore, "isWithdrawn", () => () => false),
  fault("a file is put under the day before its own", IcebergSink, "putFile", (_, original) => async (...args) => {
    const file = (await original(...args)) as DataFile;
    return { ...file, day: file.day - 1 };
  }),
  fault("a file counts a row too many", IcebergSink, "putFile", (_, original) => async (...args) => {
    const file = (await original(...args)) as DataFile;
    return { ...file, recordCount: file.recordCount + 1 };
  }),
  fault("a table object forgets which batch was the last", TableStore, "lastBatchOf", () => () => undefined),
];

/** Finds nothing where it should find what the table refers to. */
function sweepingBlindly(method: "readEntries" | "readList") {
  return (self: object, original: (...args: unknown[]) => unknown) =>
    async (...args: unknown[]) => {
      const deps = Reflect.get(self, "deps") as MaintenanceDeps;
      const { manifests } = deps;
      const blind = Object.create(manifests, { [method]: { value: () => Promise.resolve([]) } }) as ManifestFiles;
      Reflect.set(self, "deps", { ...deps, manifests: blind });
      try {
        return await original(...args);
      } finally {
        Reflect.set(self, "deps", { ...(Reflect.get(self, "deps") as MaintenanceDeps), manifests });
      }
    };
}
