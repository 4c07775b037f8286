/**
 * A table in a REST catalog: found or made, checked, and what a failure says. Commits are tested beside.
 */
import { afterEach, describe, expect, test } from "vitest";

import {
  createSchema,
  EVENTS_PARTITION_SPEC,
  type TableMetadata,
} from "../../durable-objects/iceberg/table-metadata.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import {
  CATALOG_TABLE,
  HUGE_ID,
  startCatalogScene,
  type CatalogScene,
  type CatalogSceneSettings,
} from "../fixtures/rest-catalog-scene.ts";
import { startCatalogServer, type CatalogServer } from "../fixtures/rest-catalog-server.ts";

const TOKEN = "secret-token-0123456789";
const servers: CatalogServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function start(settings: CatalogSceneSettings = {}): Promise<CatalogScene> {
  const scene = await startCatalogScene(settings);
  servers.push(scene.server);
  return scene;
}

describe("finding or making the table", () => {
  test("makes namespaces, parents first, and the table, below the catalog's prefix", async () => {
    const { catalog, server } = await start({ server: { prefix: "p/q", token: TOKEN }, catalog: { token: TOKEN } });
    const { metadata, metadataLocation } = await catalog.loadOrCreate();
    expect(metadata["format-version"]).toBe(2);
    expect(metadata.schemas).toEqual([createSchema(TABLE_COLUMNS, 0)]);
    expect(metadata["partition-specs"]).toEqual([EVENTS_PARTITION_SPEC]);
    expect(metadata.location).toBe("s3://test-lake/warehouse/lake/raw/events");
    expect(metadata.properties).toMatchObject({ "write.format.default": "parquet" });
    expect(metadataLocation).toBe(server.table(CATALOG_TABLE)?.location);
    expect(server.calls.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "GET /v1/config?warehouse=acct_bucket",
      "GET /v1/p/q/namespaces/lake%1Fraw/tables/events?snapshots=all",
      "POST /v1/p/q/namespaces",
      "POST /v1/p/q/namespaces",
      "POST /v1/p/q/namespaces/lake%1Fraw/tables",
    ]);
    expect(server.calls.map(({ body }) => (body as { namespace?: unknown } | undefined)?.namespace)).toEqual([
      undefined,
      undefined,
      ["lake"],
      ["lake", "raw"],
      undefined,
    ]);
  });

  test("asks for the configuration once, and again after it could not be had", async () => {
    const { catalog, server } = await start();
    server.fail("config", { how: { status: 400 } });
    await expect(catalog.loadOrCreate()).rejects.toThrow("the catalog's configuration: status 400");
    await catalog.loadOrCreate();
    await catalog.loadOrCreate();
    expect(server.calls.filter(({ operation }) => operation === "config")).toHaveLength(2);
  });

  test("a failed call has the configuration asked for again, as the catalog may have moved", async () => {
    const { catalog, server } = await start();
    await catalog.loadOrCreate();
    server.fail("load", { how: { status: 403 } });
    await expect(catalog.loadOrCreate()).rejects.toThrow("the table: status 403");
    await catalog.loadOrCreate();
    expect(server.calls.filter(({ operation }) => operation === "config")).toHaveLength(2);
  });

  test("namespace and table that another made in between are taken as they are", async () => {
    const { catalog, server } = await start();
    await catalog.loadOrCreate();
    server.fail("load", { how: { status: 404 } });
    const again = await catalog.loadOrCreate();
    expect(again.metadata["table-uuid"]).toBe(server.table(CATALOG_TABLE)?.metadata["table-uuid"]);
    expect(server.calls.slice(-5).map(({ operation }) => operation)).toEqual([
      "load",
      "create-namespace",
      "create-namespace",
      "create-table",
      "load",
    ]);
  });

  test("calls that miss it together make it once", async () => {
    const { catalog, server } = await start();
    const tables = await Promise.all([catalog.loadOrCreate(), catalog.loadOrCreate(), catalog.loadOrCreate()]);
    expect(new Set(tables.map(({ metadata }) => metadata["table-uuid"])).size).toBe(1);
    expect(server.calls.filter(({ operation }) => operation === "create-namespace")).toHaveLength(2);
    expect(server.calls.filter(({ operation }) => operation === "create-table")).toHaveLength(1);
  });

  test("a making that failed is tried again", async () => {
    const { catalog, server } = await start();
    server.fail("create-namespace", { how: { status: 500 } });
    await expect(catalog.loadOrCreate()).rejects.toThrow("making the namespace: status 500");
    await expect(catalog.loadOrCreate()).resolves.toBeDefined();
  });

  test("ids beyond 2^53 are exact, and foreign members kept", async () => {
    const { catalog, server } = await start();
    await catalog.loadOrCreate();
    const foreign = { "next-row-id": 2 ** 40, statistics: [{ "snapshot-id": HUGE_ID }] };
    server.replace(CATALOG_TABLE, (metadata) => ({ ...metadata, "last-sequence-number": HUGE_ID, ...foreign }));
    const { metadata } = await catalog.loadOrCreate();
    expect(metadata).toMatchObject({ "last-sequence-number": HUGE_ID, ...foreign });
  });

  test("defaults give way to what is configured here, overrides do not", async () => {
    const real = await startCatalogServer({ prefix: "x" });
    try {
      const config = { defaults: { uri: "http://127.0.0.1:9", prefix: "y" }, overrides: { uri: `${real.uri}/` } };
      const { catalog, server } = await start({ server: { prefix: "x", config } });
      await catalog.loadOrCreate();
      expect(server.calls).toHaveLength(1);
      expect(real.table(CATALOG_TABLE)).toBeDefined();
    } finally {
      await real.stop();
    }
  });

  test("an override to a place without https is not followed from https", async () => {
    const answer = JSON.stringify({ overrides: { uri: "http://elsewhere.example" } });
    const { catalog } = await start({
      catalog: { uri: "https://catalog.example", fetch: async () => new Response(answer) },
    });
    await expect(catalog.loadOrCreate()).rejects.toThrow("names a place that is no https URL");
  });
});

describe("a table that cannot be written to is refused, and the message says why", () => {
  const fields = createSchema(TABLE_COLUMNS, 0).fields;
  const withFields = (change: (all: typeof fields) => readonly unknown[]) => (metadata: TableMetadata) => ({
    ...metadata,
    schemas: [{ type: "struct" as const, "schema-id": 0, fields: change(fields) as typeof fields }],
  });

  test.each<[string, string, (metadata: TableMetadata) => TableMetadata]>([
    ["format version 3", "format version 3, not 2", (metadata) => ({ ...metadata, "format-version": 3 })],
    [
      "another field id",
      "column subject: its field id is 40, not 4",
      withFields((all) => all.map((field) => (field.name === "subject" ? { ...field, id: 40 } : field))),
    ],
    [
      "another type",
      "column seq: its type is int, not long",
      withFields((all) => all.map((field) => (field.name === "seq" ? { ...field, type: "int" } : field))),
    ],
    [
      "a nested type",
      "column data: its type is a nested one, not string",
      withFields((all) => all.map((field) => (field.name === "data" ? { ...field, type: { type: "map" } } : field))),
    ],
    [
      "our id taken by another column",
      "column extensions: its field id 12 is taken by column colour",
      withFields((all) => all.map((field) => (field.id === 12 ? { ...field, name: "colour" } : field))),
    ],
    [
      "a column made required",
      "column subject: it is required",
      withFields((all) => all.map((field) => ({ ...field, required: true }))),
    ],
    [
      "a foreign required column",
      "column region: it is required, and no event has it",
      withFields((all) => [...all, { id: 13, name: "region", required: true, type: "string" }]),
    ],
    [
      "another partitioning",
      "not partitioned by day(time)",
      (metadata) => ({ ...metadata, "partition-specs": [{ "spec-id": 0, fields: [] }] }),
    ],
    ["no current schema", "current schema is missing", (metadata) => ({ ...metadata, "current-schema-id": 7 })],
    [
      "no current snapshot",
      "current snapshot is missing",
      (metadata) => ({ ...metadata, refs: { main: { type: "branch" as const, "snapshot-id": HUGE_ID } } }),
    ],
    [
      "a member of another kind",
      "metadata is not valid: last-column-id",
      (metadata) => ({ ...metadata, "last-column-id": "12" as unknown as number }),
    ],
  ])("%s", async (_, message, change) => {
    const { catalog, server } = await start();
    await catalog.loadOrCreate();
    server.replace(CATALOG_TABLE, change);
    await expect(catalog.loadOrCreate()).rejects.toThrow(message);
  });

  test("columns the table lacks, and optional ones of others, are no fault", async () => {
    const { catalog, server } = await start();
    await catalog.loadOrCreate();
    server.replace(
      CATALOG_TABLE,
      withFields((all) => [...all.slice(0, 11), { id: 13, name: "region", required: false, type: "string" }]),
    );
    await expect(catalog.loadOrCreate()).resolves.toBeDefined();
  });

  test.each(["null", "[]", "{}", '{"metadata-location":"s3://x"}', '"text"'])("an answer of %s", async (body) => {
    const { catalog, server } = await start();
    server.fail("load", { how: { status: 200, body } });
    await expect(catalog.loadOrCreate()).rejects.toThrow(/answer is no table|metadata is not valid/);
  });
});

describe("reading is tried again", () => {
  test.each<[string, Parameters<CatalogServer["fail"]>[1]]>([
    ["500", { how: { status: 500 } }],
    ["503", { how: { status: 503 } }],
    ["429", { how: { status: 429 } }],
    ["a cut connection", { how: "reset" }],
  ])("after %s, twice", async (_, fault) => {
    const { catalog, server, sleeps } = await start();
    server.fail("load", fault, fault);
    await expect(catalog.loadOrCreate()).resolves.toBeDefined();
    expect(sleeps).toEqual([150, 300]);
  });

  test("three failures are told, with what the catalog asks for", async () => {
    const { catalog, server } = await start();
    const busy = { how: { status: 503, headers: { "retry-after": "2" } } };
    server.fail("config", busy, busy, busy);
    await expect(catalog.loadOrCreate()).rejects.toMatchObject({
      name: "CatalogError",
      message: "the catalog's configuration: status 503",
      retryAfterMs: 2000,
    });
  });

  test("Retry-After is waited for, in seconds or as a date", async () => {
    const nowMs = Date.parse("2026-11-21T10:00:00Z");
    const { catalog, server, sleeps } = await start({ catalog: { clock: () => nowMs } });
    server.fail(
      "load",
      { how: { status: 429, headers: { "retry-after": "3" } } },
      { how: { status: 503, headers: { "retry-after": "Sat, 21 Nov 2026 10:00:04 GMT" } } },
    );
    await catalog.loadOrCreate();
    expect(sleeps).toEqual([3000, 4000]);
  });

  test("a long Retry-After is handed on, not slept through", async () => {
    const { catalog, server, sleeps } = await start();
    server.fail("load", { how: { status: 429, headers: { "retry-after": "60" } } });
    await expect(catalog.loadOrCreate()).rejects.toMatchObject({ retryAfterMs: 60_000 });
    expect(sleeps).toEqual([]);
  });

  test("making the table is sent once", async () => {
    const { catalog, server } = await start();
    server.fail("create-table", { how: "reset", isApplied: true });
    await expect(catalog.loadOrCreate()).rejects.toThrow("making the table: the connection failed");
    await catalog.loadOrCreate();
    expect(server.calls.filter(({ operation }) => operation === "create-table")).toHaveLength(1);
  });

  test("garbage is told", async () => {
    const { catalog, server } = await start();
    server.fail("load", { how: "garbage" });
    await expect(catalog.loadOrCreate()).rejects.toThrow("the table: status 200 with a body that is no JSON");
  });
});

describe("messages", () => {
  test("never hold the token, though the catalog quotes it", async () => {
    const wrong = await start({ server: { token: "another" }, catalog: { token: TOKEN } });
    await expect(wrong.catalog.loadOrCreate()).rejects.toThrow(
      "the catalog's configuration: status 401, NotAuthorizedException: Not authorized: Bearer [token]",
    );
  });

  test("hold the catalog's own words cut short, on one line, and no other part of a body", async () => {
    const { catalog, server } = await start();
    const error = { type: "Odd", message: `a\r\nb${"x".repeat(500)}`, stack: ["at secret"] };
    server.fail("load", { how: { status: 400, body: JSON.stringify({ error, hint: "secret" }) } });
    const message = await catalog.loadOrCreate().catch((thrown: Error) => thrown.message);
    expect(message).toBe(`the table: status 400, Odd: a b${"x".repeat(192)}`);
  });

  test("of a page that is no JSON hold the status alone", async () => {
    const { catalog, server } = await start();
    server.fail("load", { how: { status: 418, body: "<html>secret" } });
    await expect(catalog.loadOrCreate()).rejects.toThrow(/^the table: status 418$/);
  });

  test("of a catalog out of reach hold no address", async () => {
    const { catalog, server } = await start({ catalog: { token: TOKEN } });
    await server.stop();
    await expect(catalog.loadOrCreate()).rejects.toThrow(/^the catalog's configuration: the connection failed$/);
  });

  test("of a catalog that is slow hold the limit", async () => {
    const { catalog, server } = await start({ catalog: { timeoutMs: 50 } });
    server.fail("config", { how: "hang" }, { how: "hang" }, { how: "hang" });
    await expect(catalog.loadOrCreate()).rejects.toThrow("no answer within 50 ms");
  });
});
