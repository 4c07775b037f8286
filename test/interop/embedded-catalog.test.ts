/**
 * The table in the embedded catalog as engines see it that nobody here wrote: by its files, and attached to
 * `/iceberg/v1`; from rows that are older than its last column to expired snapshots.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { listLiveFiles } from "../fixtures/icebird-lake.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { administer, numbersBelow, sendDailyEvents, sumsOf, withoutMarks } from "./daily-events.ts";
import { sumInPyIceberg, type TableSums } from "./engine-calls.ts";
import { createFirstVersion } from "./first-version.ts";
import { noPyIceberg } from "./installation.ts";
import { READERS, type Question } from "./readers.ts";

const OLD_ROWS = 600;
const EVENTS = 900;
const ROUNDS = 6;

let service: LakeService;
let oldFiles: readonly string[];

beforeAll(async () => {
  service = await startLakeService();
  oldFiles = await createFirstVersion(service, { source: "/old", rows: OLD_ROWS });
});

afterAll(async () => {
  await service?.stop();
});

/** One test for each engine: those that this machine does not have are counted as skipped. */
function everyReaderFinds(expected: TableSums, question: Question): void {
  test.for(READERS)("$name", async ({ missing, read }, context) => {
    context.skip(missing !== undefined, missing);
    expect(await read(service, question)).toEqual(expected);
  });
}

/** Of the rows from before the last column. */
const OLD = withoutMarks(sumsOf(numbersBelow(OLD_ROWS)));

describe("a first append of several days, which also adds the column that the table lacks", () => {
  beforeAll(async () => {
    await sendDailyEvents(service, "/new/0", EVENTS);
    await administer(service, "flush");
  });

  everyReaderFinds(sumsOf(numbersBelow(EVENTS)), { sources: "/new/" });

  describe("and rows from before that column have nothing in it", () => {
    everyReaderFinds(OLD, { sources: "/old" });
  });

  describe("of one day alone", () => {
    const ofSecondDay = numbersBelow(EVENTS).filter((n) => n % 3 === 1);
    everyReaderFinds(sumsOf(ofSecondDay), { sources: "/new/", day: "2026-11-17" });
  });
});

describe("more appends", () => {
  beforeAll(async () => {
    for (let round = 1; round < ROUNDS; round++) {
      await sendDailyEvents(service, `/new/${round}`, EVENTS);
      await administer(service, "flush");
    }
  });

  everyReaderFinds(sumsOf(numbersBelow(EVENTS), ROUNDS), { sources: "/new/" });
});

describe("compaction", () => {
  test("puts rows of the table's both versions into fewer files", async () => {
    const before = await listLiveFiles(service);
    expect(before).toEqual(expect.arrayContaining([...oldFiles]));
    expect(await administer(service, "compact")).toMatchObject({ ok: true, remaining_files: 0 });
    const after = await listLiveFiles(service);
    expect(after.length).toBeLessThan(before.length - oldFiles.length);
    expect(after.filter((key) => oldFiles.includes(key))).toEqual([]);
  });

  everyReaderFinds(sumsOf(numbersBelow(EVENTS), ROUNDS), { sources: "/new/" });

  describe("and rows from before the last column still have nothing in it", () => {
    everyReaderFinds(OLD, { sources: "/old" });
  });
});

describe("expiry of older snapshots", () => {
  test("leaves the newest alone", async () => {
    const report = await administer(service, "expire-snapshots?keep=1");
    expect(Number(report["expired_snapshots"])).toBeGreaterThanOrEqual(ROUNDS);
  });

  everyReaderFinds(sumsOf(numbersBelow(EVENTS), ROUNDS), { sources: "/new/" });
});

test.skipIf(noPyIceberg !== undefined)("without the read token nobody attaches", async () => {
  const { origin, s3Origin } = service;
  const table = { uri: `${origin}/iceberg`, table: "spillway.events", s3Origin, filter: "source = '/new/0'" };
  await expect(sumInPyIceberg({ ...table, token: "wrong" })).rejects.toThrow("NotAuthorizedException");
});
