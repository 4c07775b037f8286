/**
 * The lake's variables: defaults, and every fault by name.
 */
import { describe, expect, it } from "vitest";

import type { ConfigFault } from "../../protocol/errors.ts";
import { LAKE_NUMBER_VARIABLES, readLakeSettings } from "../../protocol/lake-settings.ts";

const SECRET = "0123456789abcdef0123456789abcdef";

function read(variables: Readonly<Record<string, unknown>>) {
  const faults: ConfigFault[] = [];
  const settings = readLakeSettings(variables, faults);
  return { settings, faults, faulty: faults.map(({ variable }) => variable) };
}

describe("defaults", () => {
  it("are complete and without fault, also where variables are empty texts", () => {
    const empty = Object.fromEntries(Object.keys(LAKE_NUMBER_VARIABLES).map((name) => [name, ""]));
    for (const variables of [{}, { ...empty, ICEBERG_WAREHOUSE: "", ANALYTICS_SINK: "", ICEBERG_TABLE: "" }]) {
      expect(read(variables)).toMatchObject({
        faults: [],
        settings: {
          shards: 4,
          flushEvents: 2000,
          flushAgeMs: 30_000,
          shardMaxEvents: 200_000,
          shardMaxBytes: 268_435_456,
          deadLetterMax: 50,
          commitIntervalMs: 10_000,
          snapshotsKept: 100,
          orphanMinAgeMs: 86_400_000,
          sink: "iceberg",
          namespace: "spillway",
          table: "events",
          catalog: { kind: "r2", location: "s3://spillway-lake/warehouse/spillway/events" },
        },
      });
    }
  });
});

describe("numbers", () => {
  it.each(Object.entries(LAKE_NUMBER_VARIABLES))("%s is taken at its bounds and refused beyond", (name, bounds) => {
    const { min, max } = bounds;
    for (const value of [min, max, String(min)]) expect(read({ [name]: value }).faults).toEqual([]);
    for (const value of [min - 1, max + 1, min + 0.5, "many", "1e999", true, {}, "0x"]) {
      expect(read({ [name]: value }).faults).toEqual([
        { variable: name, found: JSON.stringify(value), allowed: `a whole number from ${min} to ${max}` },
      ]);
    }
  });

  it("beyond their bounds leave the default in place, for what reads on", () => {
    expect(read({ ICEBERG_SHARDS: 0 }).settings.shards).toBe(4);
  });

  it("are in the units that their names say", () => {
    const { settings } = read({ ICEBERG_SHARD_MAX_SIZE_MB: 16, ICEBERG_ORPHAN_MIN_AGE_SEC: "3600" });
    expect(settings).toMatchObject({ shardMaxBytes: 16 * 1024 * 1024, orphanMinAgeMs: 3_600_000 });
  });
});

describe("the table's place", () => {
  it("is made of warehouse, namespace and table", () => {
    const { settings, faults } = read({
      ICEBERG_WAREHOUSE: "s3://my-bucket/a/b.c",
      ICEBERG_NAMESPACE: "analytics",
      ICEBERG_TABLE: "events_2",
    });
    expect(faults).toEqual([]);
    expect(settings.catalog).toEqual({ kind: "r2", location: "s3://my-bucket/a/b.c/analytics/events_2" });
    expect(read({ ICEBERG_WAREHOUSE: "s3://my-bucket" }).faults).toEqual([]);
  });

  const warehouses = [
    "my-bucket",
    "https://b/c",
    "s3://b",
    "s3://bucket/",
    "s3://bucket/A",
    "s3://bucket/a=b",
    "s3://bucket//a",
    7,
  ];
  it.each(warehouses)("is refused: warehouse %s", (warehouse) => {
    expect(read({ ICEBERG_WAREHOUSE: warehouse }).faulty).toEqual(["ICEBERG_WAREHOUSE"]);
  });

  const identifiers = ["Events", "1st", "a-b", "a.b", "a b", "_a", `a${"b".repeat(63)}`];
  it.each(identifiers)("is refused: name %s", (name) => {
    expect(read({ ICEBERG_NAMESPACE: name, ICEBERG_TABLE: name }).faulty).toEqual([
      "ICEBERG_NAMESPACE",
      "ICEBERG_TABLE",
    ]);
  });
});

describe("choices", () => {
  it("are named where they are none", () => {
    expect(read({ ANALYTICS_SINK: "kafka", ICEBERG_CATALOG: "glue" }).faults).toEqual([
      { variable: "ANALYTICS_SINK", found: '"kafka"', allowed: "iceberg or pipelines" },
      { variable: "ICEBERG_CATALOG", found: '"glue"', allowed: "r2 or rest" },
    ]);
  });

  it("of pipelines needs the binding", () => {
    const bound = { ANALYTICS_SINK: "pipelines", EVENTS_PIPELINE: { send: async () => undefined } };
    expect(read(bound)).toMatchObject({ faults: [], settings: { sink: "pipelines" } });
    expect(read({ ANALYTICS_SINK: "pipelines" }).faulty).toEqual(["EVENTS_PIPELINE"]);
    expect(read({ ANALYTICS_SINK: "iceberg" }).faulty).toEqual([]);
  });
});

describe("a REST catalog", () => {
  const rest = { ICEBERG_CATALOG: "rest", ICEBERG_REST_URI: "https://catalog.example/v/", ICEBERG_WAREHOUSE: "prod" };

  it("has its address, its warehouse's own name, and a token where it wants one", () => {
    expect(read({ ...rest, ICEBERG_REST_TOKEN: SECRET })).toMatchObject({
      faults: [],
      settings: { catalog: { kind: "rest", uri: "https://catalog.example/v", warehouse: "prod", token: SECRET } },
    });
    expect(read(rest)).toMatchObject({ faults: [], settings: { catalog: { token: undefined } } });
  });

  it.each([undefined, "", "catalog.example", "ftp://a", "https://", 5])("is refused: address %s", (uri) => {
    expect(read({ ...rest, ICEBERG_REST_URI: uri }).faulty).toEqual(["ICEBERG_REST_URI"]);
  });

  it.each([undefined, "", "s3://spillway-lake/warehouse"])("is refused: warehouse %s", (warehouse) => {
    expect(read({ ...rest, ICEBERG_WAREHOUSE: warehouse }).faulty).toEqual(["ICEBERG_WAREHOUSE"]);
  });

  it("is refused with a token that can be guessed, which is never repeated", () => {
    const { faults } = read({ ...rest, ICEBERG_REST_TOKEN: "hunter2" });
    expect(faults).toMatchObject([{ variable: "ICEBERG_REST_TOKEN", found: "a secret of 7 characters" }]);
    expect(JSON.stringify(faults)).not.toContain("hunter2");
  });
});
