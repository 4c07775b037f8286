/**
 * The table in a catalog that nobody here wrote: Apache Iceberg's own, over REST. PyIceberg appends to it
 * beside the service, and both writers' rows survive.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { freePort, startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { appendWithPyIceberg, readWithPyIceberg, type PyIcebergTable } from "./engine-calls.ts";
import { installPyIceberg, installRestCatalog, whyNoJava, whyNoPython } from "./installation.ts";
import { administer, sendEvents } from "./lake-client.ts";
import { startRestCatalog, type RestCatalogProcess } from "./rest-catalog-process.ts";

const INSTALL_TIMEOUT_MS = 900_000;
/** The catalog asks for none; the service will have one. */
const REST_TOKEN = "not-checked-by-this-catalog-0123456789";
/** Bounded: whoever commits without a pause starves a writer that backs off, and PyIceberg does. */
const ROUNDS = 12;
const APPENDS = 10;
const missing = whyNoJava() ?? whyNoPython();
if (missing !== undefined) console.log(`Apache's REST catalog is not tried: ${missing}`);

describe.skipIf(missing !== undefined)("a foreign REST catalog", () => {
  let catalog: RestCatalogProcess;
  let service: LakeService;
  let python: string;
  let table: PyIcebergTable;

  beforeAll(async () => {
    python = await installPyIceberg();
    const jars = await installRestCatalog();
    // Catalog and bucket name each other: the bucket's port is chosen first, the catalog asks for it later.
    const s3Port = await freePort();
    const s3Origin = `http://127.0.0.1:${s3Port}`;
    catalog = await startRestCatalog(jars, { s3Origin, warehouse: "s3://spillway-lake/foreign" });
    service = await startLakeService({
      s3Port,
      vars: {
        ICEBERG_CATALOG: "rest",
        ICEBERG_REST_URI: catalog.uri,
        ICEBERG_REST_TOKEN: REST_TOKEN,
        ICEBERG_WAREHOUSE: "lake",
      },
    });
    table = { uri: catalog.uri, table: "spillway.events", s3Origin };
  }, INSTALL_TIMEOUT_MS);

  afterAll(async () => {
    await service?.stop();
    await catalog?.stop();
  });

  test("is given the table and its first rows", async () => {
    await sendEvents(service, "/interop/first", 300);
    await administer(service, "flush");
    const filter = "source = '/interop/first'";
    expect(await readWithPyIceberg(python, { ...table, filter })).toMatchObject({ rows: 300, keys: 300, sum: 44_850 });
  });

  test("takes both writers' rows while they race, each exactly once", async () => {
    const appending = appendWithPyIceberg(python, { ...table, times: APPENDS, rows: 5 });
    for (let round = 0; round < ROUNDS; round++) {
      await sendEvents(service, `/interop/race/${round}`, 100);
      await administer(service, "flush");
    }
    const theirConflicts = await appending;
    const ours = await readWithPyIceberg(python, { ...table, filter: "source like '/interop/race/%'" });
    expect(ours).toMatchObject({ rows: ROUNDS * 100, keys: ROUNDS * 100, sum: ROUNDS * 4950 });
    const theirs = await readWithPyIceberg(python, { ...table, filter: "source = '/pyiceberg'" });
    expect(theirs).toMatchObject({ rows: APPENDS * 5, keys: APPENDS * 5, sum: APPENDS * 10 });
    const ourConflicts = service.lines.filter((line) => line.startsWith('{"event":"IcebergConflict"')).length;
    console.log(`conflicts in ${ROUNDS} flushes of ours: ${ourConflicts}, in ${APPENDS} of theirs: ${theirConflicts}`);
    expect(ourConflicts + theirConflicts).toBeGreaterThan(0);
  });
});
