/**
 * The table in a catalog that nobody here wrote: Apache Iceberg's own, over REST. PyIceberg appends to it
 * beside the service; each meets commits of the other that came first, and both writers' rows survive.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { freePort, startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { startCatalogProxy, type CatalogProxy } from "./catalog-proxy.ts";
import { administer, numbersBelow, sendDailyEvents, sumsOf, withoutMarks } from "./daily-events.ts";
import { appendWithPyIceberg, sumInPyIceberg, type PyIcebergTable, type TableSums } from "./engine-calls.ts";
import { installRestCatalog, noPyIceberg, noRestCatalog } from "./installation.ts";
import { startRestCatalog, type RestCatalogProcess } from "./rest-catalog-process.ts";

/** The catalog asks for none; the service will have one. */
const REST_TOKEN = "not-checked-by-this-catalog-0123456789";
const APPENDED_ROWS = 5;
/** Fewer than the attempts that a client makes at one commit. */
const CONFLICTS = 3;
/** Bounded: whoever commits without a pause starves a writer that backs off, and PyIceberg does. */
const ROUNDS = 8;
const APPENDS = 6;

/** Of so many appends of PyIceberg, each under a source of its own or with ids of its own. */
const appendedSums = (times: number): TableSums => withoutMarks(sumsOf(numbersBelow(APPENDED_ROWS), times));

describe.skipIf((noRestCatalog ?? noPyIceberg) !== undefined)("a foreign REST catalog", () => {
  let catalog: RestCatalogProcess;
  /** What the service and PyIceberg take for the catalog. */
  let ours: CatalogProxy;
  let theirs: CatalogProxy;
  let service: LakeService;
  let table: PyIcebergTable;

  beforeAll(async () => {
    const jars = await installRestCatalog();
    // Catalog and bucket name each other: the bucket's port is chosen first, the catalog asks for it later.
    const s3Port = await freePort();
    const s3Origin = `http://127.0.0.1:${s3Port}`;
    catalog = await startRestCatalog(jars, { s3Origin, warehouse: "s3://spillway-lake/foreign" });
    ours = await startCatalogProxy(catalog.uri);
    theirs = await startCatalogProxy(catalog.uri);
    service = await startLakeService({
      s3Port,
      vars: {
        ICEBERG_CATALOG: "rest",
        ICEBERG_REST_URI: ours.uri,
        ICEBERG_REST_TOKEN: REST_TOKEN,
        ICEBERG_WAREHOUSE: "lake",
      },
    });
    table = { uri: catalog.uri, table: "spillway.events", s3Origin };
  });

  afterAll(async () => {
    await service?.stop();
    await Promise.all([ours?.stop(), theirs?.stop(), catalog?.stop()]);
  });

  const read = (sources: string): Promise<TableSums> =>
    sumInPyIceberg({ ...table, filter: `source like '${sources}%'` });
  const append = (source: string, { times = 1, uri = table.uri } = {}): Promise<void> =>
    appendWithPyIceberg({ ...table, uri, source, times, rows: APPENDED_ROWS });

  async function flushEvents(source: string, count: number): Promise<void> {
    await sendDailyEvents(service, source, count);
    expect(await administer(service, "flush")).toMatchObject({ ok: true, remaining_events: 0, staged_files: 0 });
  }

  const conflictLines = (): number =>
    service.lines.filter((line) => line.startsWith('{"event":"IcebergConflict"')).length;

  test("is given the table and its first rows", async () => {
    await flushEvents("/first", 300);
    expect(await read("/first")).toEqual(sumsOf(numbersBelow(300)));
  });

  test("refuses our commit while another is first, time after time, and then takes it beside theirs", async () => {
    const linesBefore = conflictLines();
    const foreign = numbersBelow(CONFLICTS).map((number) => () => append(`/between/${number}`));
    ours.beforeCommit(...foreign);
    await flushEvents("/ours", 100);
    expect(ours.conflicts).toBe(CONFLICTS);
    expect(conflictLines() - linesBefore).toBe(CONFLICTS);
    expect(await read("/ours")).toEqual(sumsOf(numbersBelow(100)));
    expect(await read("/between/")).toEqual(appendedSums(CONFLICTS));
  });

  test("refuses theirs while ours is first, and then takes it, too", async () => {
    const flushes = numbersBelow(CONFLICTS).map((number) => () => flushEvents(`/before/${number}`, 100));
    theirs.beforeCommit(...flushes);
    await append("/theirs", { uri: theirs.uri });
    expect(theirs.conflicts).toBe(CONFLICTS);
    expect(await read("/theirs")).toEqual(appendedSums(1));
    expect(await read("/before/")).toEqual(sumsOf(numbersBelow(100), CONFLICTS));
  });

  test("takes both writers' rows while they race, each exactly once", async () => {
    const before = [ours.conflicts, theirs.conflicts] as const;
    const appending = append("/pyiceberg", { times: APPENDS, uri: theirs.uri });
    for (let round = 0; round < ROUNDS; round++) await flushEvents(`/race/${round}`, 100);
    await appending;
    expect(await read("/race/")).toEqual(sumsOf(numbersBelow(100), ROUNDS));
    expect(await read("/pyiceberg")).toEqual(appendedSums(APPENDS));
    const met = [ours.conflicts - before[0], theirs.conflicts - before[1]];
    console.log(`conflicts in ${ROUNDS} flushes of ours: ${met[0]}, in ${APPENDS} appends of theirs: ${met[1]}`);
  });
});
