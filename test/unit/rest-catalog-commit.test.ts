/**
 * Commits to a table in a REST catalog: every outcome told apart, none taken for another.
 */
import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";

import type { LoadedTable } from "../../durable-objects/iceberg/catalog.ts";
import type { TableChange } from "../../durable-objects/iceberg/table-change.ts";
import { currentSnapshot, type LongInt, type TableMetadata } from "../../durable-objects/iceberg/table-metadata.ts";
import {
  CATALOG_TABLE,
  HUGE_ID,
  startCatalogScene,
  type CatalogScene,
  type CatalogSceneSettings,
} from "../fixtures/rest-catalog-scene.ts";
import type { CatalogServer } from "../fixtures/rest-catalog-server.ts";

const servers: CatalogServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function ready(settings: CatalogSceneSettings = {}): Promise<CatalogScene & { base: LoadedTable }> {
  const scene = await startCatalogScene(settings);
  servers.push(scene.server);
  return { ...scene, base: await scene.catalog.loadOrCreate() };
}

function append(metadata: TableMetadata, id: LongInt, sequence = 1): TableChange {
  const head = currentSnapshot(metadata)?.["snapshot-id"] ?? null;
  return {
    requirements: [
      { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
      { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": head },
    ],
    updates: [
      {
        action: "add-snapshot",
        snapshot: {
          "snapshot-id": id,
          ...(head !== null && { "parent-snapshot-id": head }),
          "sequence-number": sequence,
          "timestamp-ms": Date.now(),
          "manifest-list": `${metadata.location}/metadata/snap-${id}.avro`,
          summary: { operation: "append" },
          "schema-id": 0,
        },
      },
      { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
      { action: "set-properties", updates: { "committer.last-seq": "1" } },
    ],
  };
}

describe("committing", () => {
  test("is applied, and answers the table as it is now, ids exact", async () => {
    const { catalog, server, base } = await ready();
    const key = randomUUID();
    const outcome = await catalog.commit(base, append(base.metadata, HUGE_ID), key);
    expect(outcome).toMatchObject({
      kind: "committed",
      table: { metadataLocation: server.table(CATALOG_TABLE)?.location, metadata: { "current-snapshot-id": HUGE_ID } },
    });
    expect(server.calls.at(-1)?.headers["idempotency-key"]).toBe(key);
    expect(server.table(CATALOG_TABLE)?.metadata.properties).toMatchObject({ "committer.last-seq": "1" });
    if (outcome.kind !== "committed") return;
    const next = await catalog.commit(outcome.table, append(outcome.table.metadata, HUGE_ID + 1n, 2), key);
    expect(next.kind).toBe("committed");
  });

  test("on what another has changed since is a conflict, and nothing is applied", async () => {
    const { catalog, server, base } = await ready();
    await catalog.commit(base, append(base.metadata, HUGE_ID), randomUUID());
    const outcome = await catalog.commit(base, append(base.metadata, HUGE_ID + 1n), randomUUID());
    expect(outcome.kind).toBe("conflict");
    expect(outcome).toMatchObject({ reason: expect.stringContaining("status 409, CommitFailedException") });
    expect(server.table(CATALOG_TABLE)?.metadata.snapshots).toHaveLength(1);
  });

  test.each([
    [409, "conflict"],
    [412, "conflict"],
    [400, "refused"],
    [401, "refused"],
    [403, "refused"],
    [404, "refused"],
    [422, "refused"],
    [302, "refused"],
    [202, "unknown"],
    [204, "unknown"],
    [408, "unknown"],
    [429, "unknown"],
    [500, "unknown"],
    [502, "unknown"],
    [503, "unknown"],
    [504, "unknown"],
  ])("status %i means %s, after one request", async (status, kind) => {
    const { catalog, server, base } = await ready();
    server.fail("commit", { how: { status, headers: { location: server.uri } } });
    const outcome = await catalog.commit(base, append(base.metadata, 1), randomUUID());
    expect(outcome).toMatchObject({ kind, reason: expect.stringContaining(`status ${status}`) });
    expect(server.calls.filter(({ operation }) => operation === "commit")).toHaveLength(1);
  });

  test("429 says when to come back", async () => {
    const { catalog, server, base } = await ready();
    server.fail("commit", { how: { status: 429, headers: { "retry-after": "7" } } });
    const outcome = await catalog.commit(base, append(base.metadata, 1), randomUUID());
    expect(outcome).toMatchObject({ kind: "unknown", retryAfterMs: 7000 });
  });

  test.each<[string, Parameters<CatalogServer["fail"]>[1]]>([
    ["500", { how: { status: 500 }, isApplied: true }],
    ["a cut connection", { how: "reset", isApplied: true }],
    ["no answer", { how: "hang", isApplied: true }],
    ["garbage", { how: "garbage", isApplied: true }],
    ["an answer that is no table", { how: { status: 200, body: "{}" }, isApplied: true }],
  ])("that was applied and answered with %s is unknown, and a reload tells", async (_, fault) => {
    const { catalog, server, base } = await ready({ catalog: { timeoutMs: 300 } });
    server.fail("commit", fault);
    const outcome = await catalog.commit(base, append(base.metadata, HUGE_ID), randomUUID());
    expect(outcome.kind).toBe("unknown");
    const { metadata } = await catalog.loadOrCreate();
    expect(currentSnapshot(metadata)?.["snapshot-id"]).toBe(HUGE_ID);
  });

  test("without the configuration is unknown too", async () => {
    const { catalog, server, base } = await ready();
    server.fail("commit", { how: { status: 403 } });
    await catalog.commit(base, append(base.metadata, 1), randomUUID());
    server.fail("config", { how: { status: 400 } });
    const outcome = await catalog.commit(base, append(base.metadata, 1), randomUUID());
    expect(outcome).toEqual({ kind: "unknown", reason: "the catalog's configuration: status 400" });
  });
});
