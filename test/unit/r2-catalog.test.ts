/**
 * The embedded catalog: one metadata file after the other, and no two committers with the same one.
 */
import { describe, expect, it } from "vitest";

import type { LoadedTable } from "../../durable-objects/iceberg/catalog.ts";
import { METADATA_LOG_MAX } from "../../durable-objects/iceberg/r2-catalog.ts";
import { createMetadata } from "../../durable-objects/iceberg/table-metadata.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createClock, createR2Catalog, DAY_MS, LOCATION, START_MS } from "../fixtures/lake-parts.ts";
import { MemoryObjects } from "../fixtures/memory-objects.ts";

const FOLDER = "warehouse/spillway/events/metadata";
const HINT = `${FOLDER}/version-hint.text`;
const versionFile = (version: number) => `${FOLDER}/v${version}.metadata.json`;

function makeCatalogs() {
  const clock = createClock();
  const objects = new MemoryObjects(clock.read);
  const open = () => createR2Catalog({ clock, objects });
  return { clock, objects, open, catalog: open() };
}

function setting(base: LoadedTable, updates: Readonly<Record<string, string>>) {
  return {
    requirements: [{ type: "assert-table-uuid", uuid: base.metadata["table-uuid"] }],
    updates: [{ action: "set-properties", updates }],
  } as const;
}

async function commitTimes(catalog: ReturnType<typeof createR2Catalog>, times: number): Promise<LoadedTable> {
  let table = await catalog.loadOrCreate();
  for (let time = 0; time < times; time++) {
    const outcome = await catalog.commit(table, setting(table, { time: String(time) }));
    if (outcome.kind !== "committed") throw new Error(outcome.reason);
    ({ table } = outcome);
  }
  return table;
}

describe("making the table", () => {
  it("happens once, however many begin at the same time", async () => {
    const { objects, open } = makeCatalogs();
    const tables = await Promise.all([open().loadOrCreate(), open().loadOrCreate(), open().loadOrCreate()]);
    expect(new Set(tables.map(({ metadata }) => metadata["table-uuid"])).size).toBe(1);
    expect(objects.keys(/v\d+\.metadata/)).toEqual([versionFile(1)]);
    expect(tables[0]?.metadataLocation).toBe(`${LOCATION}/metadata/v1.metadata.json`);
  });

  it("is seen where the answer to it was lost", async () => {
    const { objects, catalog } = makeCatalogs();
    objects.fail("putIfAbsent", /v1\.metadata/, { fault: "after" });
    const { metadata } = await catalog.loadOrCreate();
    expect(objects.text(versionFile(1))).toContain(metadata["table-uuid"]);
  });

  it("fails as such where the bucket fails", async () => {
    const { objects, catalog } = makeCatalogs();
    objects.fail("putIfAbsent", /v1\.metadata/);
    await expect(catalog.loadOrCreate()).rejects.toThrow("the table could not be made");
  });

  it("is not done by reading alone", async () => {
    const { objects, catalog } = makeCatalogs();
    expect(await catalog.load()).toBeUndefined();
    expect(objects.keys()).toEqual([]);
  });
});

describe("a commit", () => {
  it("writes the next version and the hint to it", async () => {
    const { objects, catalog, open } = makeCatalogs();
    await commitTimes(catalog, 3);
    expect(objects.text(HINT)).toBe("4");
    const { metadata, metadataLocation } = await open().loadOrCreate();
    expect(metadataLocation).toBe(`${LOCATION}/metadata/v4.metadata.json`);
    expect(metadata.properties).toMatchObject({ time: "2" });
    expect(metadata["metadata-log"]?.map((entry) => entry["metadata-file"])).toEqual(
      [1, 2, 3].map((version) => `${LOCATION}/metadata/v${version}.metadata.json`),
    );
  });

  it("of two on the same base is one commit and one conflict, and the first one's is what is read", async () => {
    const { open } = makeCatalogs();
    const [one, two] = [open(), open()];
    const [base, other] = [await one.loadOrCreate(), await two.loadOrCreate()];
    const outcomes = await Promise.all([
      one.commit(base, setting(base, { by: "one" })),
      two.commit(other, setting(other, { by: "two" })),
    ]);
    expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(["committed", "conflict"]);
    const winner = outcomes[0]?.kind === "committed" ? "one" : "two";
    for (const catalog of [one, two, open()]) {
      expect((await catalog.loadOrCreate()).metadata.properties).toMatchObject({ by: winner });
    }
  });

  it("is a conflict where a requirement does not hold, and writes nothing", async () => {
    const { objects, catalog } = makeCatalogs();
    const base = await catalog.loadOrCreate();
    const requirements = [{ type: "assert-table-uuid", uuid: "another" }] as const;
    expect(await catalog.commit(base, { requirements, updates: [] })).toMatchObject({ kind: "conflict" });
    expect(objects.keys(/v2/)).toEqual([]);
  });

  it("is a conflict where the bucket asks for fewer writes: nothing of it was applied", async () => {
    const { objects, catalog } = makeCatalogs();
    const base = await catalog.loadOrCreate();
    objects.fail("putIfAbsent", /v2/, { fault: "throttled" });
    const outcome = await catalog.commit(base, setting(base, {}));
    expect(outcome).toEqual({ kind: "conflict", reason: "metadata version 2: throttled" });
  });

  it.each(["before", "after"] as const)("is unknown where the bucket fails %s its effect", async (fault) => {
    const { objects, catalog } = makeCatalogs();
    const base = await catalog.loadOrCreate();
    objects.fail("putIfAbsent", /v2/, { fault });
    expect(await catalog.commit(base, setting(base, { a: "1" }))).toMatchObject({ kind: "unknown" });
    const isApplied = (await catalog.loadOrCreate()).metadata.properties?.["a"] === "1";
    expect(isApplied).toBe(fault === "after");
  });

  it("stands where its hint could not be written", async () => {
    const { objects, catalog, open } = makeCatalogs();
    const base = await catalog.loadOrCreate();
    objects.fail("put", /version-hint/);
    expect(await catalog.commit(base, setting(base, {}))).toMatchObject({ kind: "committed" });
    expect(objects.text(HINT)).toBe("1");
    expect((await open().loadOrCreate()).metadataLocation).toMatch(/v2\.metadata\.json$/);
  });

  it("keeps the log of older files within its bound", async () => {
    const { catalog } = makeCatalogs();
    const { metadata } = await commitTimes(catalog, METADATA_LOG_MAX + 5);
    expect(metadata["metadata-log"]).toHaveLength(METADATA_LOG_MAX);
    expect(metadata["metadata-log"]?.at(-1)?.["metadata-file"]).toMatch(/v25\.metadata/);
  });

  it("keeps ids beyond doubles as they are", async () => {
    const { objects, open } = makeCatalogs();
    const metadata = createMetadata({ uuid: "u", location: LOCATION, columns: TABLE_COLUMNS, nowMs: START_MS });
    objects.plant(
      versionFile(1),
      JSON.stringify({ ...metadata, "last-sequence-number": "SEQ" }).replace('"SEQ"', "9223372036854775806"),
    );
    const catalog = open();
    const base = await catalog.loadOrCreate();
    await catalog.commit(base, setting(base, {}));
    expect(objects.text(versionFile(2))).toContain('"last-sequence-number":9223372036854775806');
  });
});

describe("finding the newest version", () => {
  it.each(["missing", "garbage", "-3", "0", "1", "99", "2.5"])("succeeds with a hint of %s", async (hint) => {
    const { objects, catalog, open } = makeCatalogs();
    await commitTimes(catalog, 11);
    if (hint === "missing") objects.lose(/version-hint/);
    else objects.plant(HINT, hint);
    expect((await open().loadOrCreate()).metadataLocation).toMatch(/v12\.metadata/);
  });

  it("succeeds without a hint where old versions are deleted, over several pages of a listing", async () => {
    const { objects, catalog, open } = makeCatalogs();
    await commitTimes(catalog, 11);
    objects.lose(/version-hint|v[1-8]\.metadata/);
    objects.pageSize = 1;
    expect((await open().loadOrCreate()).metadataLocation).toMatch(/v12\.metadata/);
  });

  it("follows another committer from where this one was", async () => {
    const { catalog, open } = makeCatalogs();
    await catalog.loadOrCreate();
    await commitTimes(open(), 3);
    expect((await catalog.loadOrCreate()).metadataLocation).toMatch(/v4\.metadata/);
  });

  it("never goes back behind what it has seen, whatever the hint says", async () => {
    const { clock, objects, catalog } = makeCatalogs();
    await commitTimes(catalog, 5);
    objects.plant(HINT, "2");
    clock.nowMs += DAY_MS;
    expect((await catalog.loadOrCreate()).metadataLocation).toMatch(/v6\.metadata/);
  });

  it.each(["there", "missing", "stale"])(
    "does not fork the table after a long idle time in which its successors were deleted: hint %s",
    async (hint) => {
      const { clock, objects, open } = makeCatalogs();
      const idle = open();
      await commitTimes(idle, 1);
      const other = open();
      await commitTimes(other, 30);
      // Another committer's sweep: all but the newest of the log.
      objects.lose(/v([1-9]|10)\.metadata/);
      if (hint === "missing") objects.lose(/version-hint/);
      if (hint === "stale") objects.plant(HINT, "2");
      clock.nowMs += DAY_MS;
      const base = await idle.loadOrCreate();
      expect(base.metadataLocation).toMatch(/v32\.metadata/);
      expect(await idle.commit(base, setting(base, {}))).toMatchObject({ kind: "committed" });
      expect(objects.keys(/v[1-9]\.metadata/)).toEqual([]);
    },
  );

  it("fails where the newest file is broken or is no table of ours", async () => {
    const { objects, open } = makeCatalogs();
    objects.plant(versionFile(1), "{");
    await expect(open().loadOrCreate()).rejects.toThrow(SyntaxError);
    const metadata = createMetadata({ uuid: "u", location: LOCATION, columns: TABLE_COLUMNS, nowMs: START_MS });
    objects.plant(versionFile(1), JSON.stringify({ ...metadata, "format-version": 1 }));
    await expect(open().loadOrCreate()).rejects.toThrow("format version 1");
  });

  it("passes on that the bucket fails, instead of making another table", async () => {
    const { objects, catalog, open } = makeCatalogs();
    await commitTimes(catalog, 2);
    for (const operation of ["get", "head"] as const) {
      objects.fail(operation, /./);
      await expect(open().loadOrCreate()).rejects.toThrow(`${operation} failed`);
    }
    objects.lose(/version-hint/);
    objects.fail("list", /./);
    await expect(open().loadOrCreate()).rejects.toThrow("list failed");
    expect(objects.keys(/v\d+\.metadata/)).toHaveLength(3);
  });
});
