/**
 * The table in the embedded catalog as engines see it that nobody here wrote: by its files, and attached to
 * `/iceberg/v1`. Telemetry of the service itself is in the table too: the questions name their sources.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { readWithPyIceberg, sumInClickHouse, type TableSums } from "./engine-calls.ts";
import { installClickHouse, installPyIceberg, whyNoPython } from "./installation.ts";
import { administer, sendEvents } from "./lake-client.ts";

const INSTALL_TIMEOUT_MS = 900_000;
const noPython = whyNoPython();
if (noPython !== undefined) console.log(`PyIceberg is not asked: ${noPython}`);

let service: LakeService;
let clickHouse: string;
let python: string | undefined;

beforeAll(async () => {
  clickHouse = await installClickHouse();
  python = noPython === undefined ? await installPyIceberg() : undefined;
  service = await startLakeService();
}, INSTALL_TIMEOUT_MS);

afterAll(async () => {
  await service?.stop();
});

/** `n` from 0 to count - 1, so many times. */
function sums(times: number, count: number): TableSums {
  return { rows: times * count, keys: times * count, sum: (times * count * (count - 1)) / 2 };
}

async function readAll(day?: string): Promise<Record<string, TableSums>> {
  const { s3Origin, bucket, origin } = service;
  const where = `source LIKE '/interop/%'${day === undefined ? "" : ` AND toDate(time, 'UTC') = '${day}'`}`;
  const files = `icebergS3('${s3Origin}/${bucket}/warehouse/spillway/events/', 'test', 'testtest')`;
  const attach = `CREATE DATABASE lake ENGINE = DataLakeCatalog('${origin}/iceberg/v1', 'test', 'testtest') SETTINGS
    catalog_type = 'rest', warehouse = 'lake', storage_endpoint = '${s3Origin}/${bucket}', vended_credentials = false,
    auth_header = 'Authorization: Bearer ${TEST_SECRETS.ICEBERG_READ_TOKEN}'`;
  const before = ["SET allow_database_iceberg = 1", attach];
  const found: Record<string, TableSums> = {
    "ClickHouse, files": await sumInClickHouse(clickHouse, { from: files, where }),
    "ClickHouse, catalog": await sumInClickHouse(clickHouse, { before, from: "lake.`spillway.events`", where }),
  };
  if (python === undefined) return found;
  const range = day === undefined ? "" : ` and time >= '${day}T00:00:00+00:00' and time <= '${day}T23:59:59+00:00'`;
  const { rows, keys, sum } = await readWithPyIceberg(python, {
    uri: `${origin}/iceberg`,
    token: TEST_SECRETS.ICEBERG_READ_TOKEN,
    table: "spillway.events",
    s3Origin,
    filter: `source like '/interop/%'${range}`,
  });
  return { ...found, PyIceberg: { rows, keys, sum } };
}

function fromEveryEngine(expected: TableSums): Record<string, TableSums> {
  const engines = ["ClickHouse, files", "ClickHouse, catalog", ...(python === undefined ? [] : ["PyIceberg"])];
  return Object.fromEntries(engines.map((engine) => [engine, expected]));
}

describe("every engine finds the same rows", () => {
  test("after a first append of several days", async () => {
    await sendEvents(service, "/interop/0", 900);
    await administer(service, "flush");
    expect(await readAll()).toEqual(fromEveryEngine(sums(1, 900)));
  });

  test("of one day alone", async () => {
    const ofSecondDay = Array.from({ length: 300 }, (_, index) => 1 + 3 * index);
    const sum = ofSecondDay.reduce((total, n) => total + n, 0);
    expect(await readAll("2026-11-17")).toEqual(fromEveryEngine({ rows: 300, keys: 300, sum }));
  });

  test("after more appends", async () => {
    for (let round = 1; round < 6; round++) {
      await sendEvents(service, `/interop/${round}`, 900);
      await administer(service, "flush");
    }
    expect(await readAll()).toEqual(fromEveryEngine(sums(6, 900)));
  });

  test("after compaction, in fewer files", async () => {
    const report = await administer(service, "compact");
    expect(report).toMatchObject({ ok: true });
    expect(Number(report["rewritten_files"])).toBeGreaterThan(Number(report["added_files"]));
    expect(await readAll()).toEqual(fromEveryEngine(sums(6, 900)));
  });

  test("after older snapshots have expired", async () => {
    const report = await administer(service, "expire-snapshots?keep=1");
    expect(Number(report["expired_snapshots"])).toBeGreaterThan(0);
    expect(await readAll()).toEqual(fromEveryEngine(sums(6, 900)));
  });

  test.skipIf(noPython !== undefined)("and nobody without the read token", async () => {
    const { origin, s3Origin } = service;
    const read = readWithPyIceberg(python ?? "", {
      uri: `${origin}/iceberg`,
      token: "wrong",
      table: "spillway.events",
      s3Origin,
    });
    await expect(read).rejects.toThrow("NotAuthorizedException");
  });
});
