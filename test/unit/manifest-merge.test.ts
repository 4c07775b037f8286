/**
 * Merging keeps every live file with its numbers, and somebody else's reader agrees on what the files say.
 */
import * as fc from "fast-check";
import { icebergManifests } from "icebird";
import { describe, expect, test, vi } from "vitest";

import { encodeManifestList } from "../../durable-objects/iceberg/manifest-list.ts";
import { mergeManifests, type MergeSource } from "../../durable-objects/iceberg/manifest-merge.ts";
import {
  addedEntry,
  decodeManifest,
  ENTRY_STATUS,
  type ManifestEntry,
} from "../../durable-objects/iceberg/manifest.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createMetadata } from "../../durable-objects/iceberg/table-metadata.ts";
import { asDeleted, dataFile, DAY, entryOf, written } from "../fixtures/manifest-samples.ts";

function paths(entries: readonly ManifestEntry[]): readonly string[] {
  return entries.map(({ file }) => file.path);
}

describe("another reader", () => {
  test("finds the same files, counts and numbers by the list and its manifests", async () => {
    const files = [DAY, DAY + 1].map((day) => dataFile(day, "f"));
    const entries = files.map((file) => addedEntry(file, 5));
    const { listed, bytes } = written({ entries, snapshotId: 5, sequenceNumber: 12 });
    const merged = mergeManifests([{ listed, manifest: decodeManifest(bytes) }]);
    const second = written({
      entries: merged.kind === "merged" ? merged.entries : [],
      snapshotId: 6,
      sequenceNumber: 13,
    });
    const list = encodeManifestList({
      snapshotId: 6,
      parentSnapshotId: 5,
      sequenceNumber: 13,
      manifests: [listed, second.listed],
    });
    const served = new Map([
      ["https://lake/list.avro", list],
      [listed.path, bytes],
      [second.listed.path, second.bytes],
    ]);
    vi.stubGlobal("fetch", async (url: string) => new Response(Uint8Array.from(served.get(url) ?? [])));
    const metadata = createMetadata({ uuid: "u", location: "l", columns: TABLE_COLUMNS, nowMs: 0 });
    const snapshot = {
      "snapshot-id": 6,
      "sequence-number": 13,
      "timestamp-ms": 0,
      "manifest-list": "https://lake/list.avro",
      summary: { operation: "append" },
    };
    const manifests = await icebergManifests({
      ...(metadata as unknown as Parameters<typeof icebergManifests>[0]),
      "current-snapshot-id": 6,
      snapshots: [snapshot] as never,
    });
    vi.unstubAllGlobals();

    expect(manifests.map(({ url }) => url)).toEqual([listed.path, second.listed.path]);
    for (const [at, { entries }] of manifests.entries()) {
      expect(entries.map(({ status }) => status)).toEqual(at === 0 ? [1, 1] : [0, 0]);
      expect(entries.map((entry) => entry.sequence_number)).toEqual([12n, 12n]);
      expect(entries.map((entry) => entry.data_file.file_path)).toEqual(files.map(({ path }) => path));
      expect(entries.map((entry) => entry.data_file.record_count)).toEqual(
        files.map(({ recordCount }) => BigInt(recordCount)),
      );
    }
  });
});

describe("merging", () => {
  test("keeps every live file with its snapshot and sequence numbers, and no deleted one", () => {
    const first = written({ entries: [entryOf("a", 11), entryOf("b", null)], snapshotId: 11, sequenceNumber: 1 });
    const existing = { ...entryOf("c", 7), status: ENTRY_STATUS.existing, sequenceNumber: 3, fileSequenceNumber: 4 };
    const rewritten = { ...entryOf("e", 12), sequenceNumber: 2 };
    const second = written({
      entries: [existing, asDeleted(entryOf("d", 12), 12, 1), rewritten],
      snapshotId: 12,
      sequenceNumber: 5,
    });
    const merge = mergeManifests([first, second]);
    if (merge.kind === "refused") throw new Error(merge.reason);
    const numbers = merge.entries.map((entry) => [
      entry.status,
      entry.file.path.at(-"x.parquet".length),
      entry.snapshotId,
      entry.sequenceNumber,
      entry.fileSequenceNumber,
    ]);
    expect(numbers).toEqual([
      [0, "a", 11, 1, 1],
      [0, "b", 11, 1, 1],
      [0, "c", 7, 3, 4],
      [0, "e", 12, 2, 5],
    ]);
    const again = written({ entries: merge.entries, snapshotId: 13, sequenceNumber: 6 });
    expect(again.listed).toMatchObject({ existingFilesCount: 4, addedFilesCount: 0, minSequenceNumber: 1 });
    expect(again.manifest.entries).toEqual(merge.entries);
  });

  test("leaves what the committing snapshot adds or deletes as it is", () => {
    const own = written({
      entries: [entryOf("new", null), asDeleted(entryOf("old", 13), 13, 1)],
      snapshotId: 13,
      sequenceNumber: 6,
    });
    const older = written({ entries: [entryOf("a", 11)], snapshotId: 11, sequenceNumber: 1 });
    const merge = mergeManifests([own, older], 13n);
    const statuses = merge.kind === "merged" ? merge.entries.map(({ status }) => status) : [];
    expect(statuses).toEqual([ENTRY_STATUS.added, ENTRY_STATUS.deleted, ENTRY_STATUS.existing]);
    expect(merge).toMatchObject({ entries: [{ snapshotId: 13, sequenceNumber: null }, {}, { sequenceNumber: 1 }] });
  });

  test("neither loses nor repeats a file, whatever the manifests", () => {
    const manifest = fc.array(fc.constantFrom("added", "deleted"), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(manifest, { minLength: 1, maxLength: 5 }), (manifests) => {
        const sources = manifests.map((statuses, at) => {
          const entries = statuses.map((status, index) => {
            const entry = entryOf(`${at}-${index}`, null);
            return status === "added" ? entry : asDeleted(entry, at, at);
          });
          return written({ entries, snapshotId: at, sequenceNumber: at + 1 });
        });
        const merge = mergeManifests(sources);
        const live = sources.flatMap(({ manifest }) => manifest.entries.filter(({ status }) => status === 1));
        expect(merge.kind === "merged" ? paths(merge.entries) : merge.reason).toEqual(paths(live));
      }),
      { numRuns: 50 },
    );
  });

  const good = written({ entries: [entryOf("a", 11)], snapshotId: 11, sequenceNumber: 1 });
  const [entry] = good.manifest.entries;
  const withEntry = (change: Partial<ManifestEntry>): MergeSource => ({
    ...good,
    manifest: { ...good.manifest, entries: entry === undefined ? [] : [{ ...entry, ...change }] },
  });
  test.each<[string, MergeSource, string]>([
    ["a later format", { ...good, manifest: { ...good.manifest, formatVersion: 3 } }, "format version 3"],
    ["unknown fields of a file", withEntry({ unknownFields: ["first_row_id"] }), "unknown fields: first_row_id"],
    ["unknown fields of the list", { ...good, listed: { ...good.listed, unknownFields: ["x"] } }, "unknown fields: x"],
    ["deletes", { ...good, listed: { ...good.listed, content: "deletes" } }, "deletes"],
    ["encryption", { ...good, listed: { ...good.listed, keyMetadata: new Uint8Array() } }, "encrypted"],
    ["another spec", { ...good, listed: { ...good.listed, partitionSpecId: 1 } }, "another partition spec"],
    ["existing files without numbers", withEntry({ status: ENTRY_STATUS.existing }), "no sequence number"],
  ])("is refused for %s", (_, source, reason) => {
    const merge = mergeManifests([good, source]);
    expect(merge.kind === "refused" ? merge.reason : "merged").toContain(reason);
  });

  test("of nothing is refused", () => {
    expect(mergeManifests([]).kind).toBe("refused");
  });
});
