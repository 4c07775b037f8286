/**
 * The engines that read the table in the embedded catalog, each in its own way, and one question for all
 * of them.
 */
import type { LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { sumInClickHouse, sumInDuckDb, sumInPyIceberg, type TableSums } from "./engine-calls.ts";
import { noDuckDb, noPyIceberg } from "./installation.ts";

/** Telemetry of the service itself is in the table too: a question names its sources. */
export interface Question {
  /** Sources begin with it. */
  readonly sources: string;
  /** Such as `2026-11-21`, in UTC; every day where none is given. */
  readonly day?: string;
}

export interface Reader {
  readonly name: string;
  /** Why it cannot be had on this machine. */
  readonly missing: string | undefined;
  readonly read: (service: LakeService, question: Question) => Promise<TableSums>;
}

export const READERS: readonly Reader[] = [
  {
    name: "ClickHouse, by the table's files",
    missing: undefined,
    read: ({ s3Origin, bucket }, question) =>
      sumInClickHouse({
        from: `icebergS3('${s3Origin}/${bucket}/warehouse/spillway/events/', 'test', 'testtest')`,
        where: condition(question),
      }),
  },
  {
    name: "ClickHouse, attached to the catalog",
    missing: undefined,
    read: ({ s3Origin, bucket, origin }, question) =>
      sumInClickHouse({
        before: [
          "SET allow_database_iceberg = 1",
          `CREATE DATABASE lake ENGINE = DataLakeCatalog('${origin}/iceberg/v1', 'test', 'testtest') SETTINGS
            catalog_type = 'rest', warehouse = 'lake', storage_endpoint = '${s3Origin}/${bucket}',
            vended_credentials = false, auth_header = 'Authorization: Bearer ${TEST_SECRETS.ICEBERG_READ_TOKEN}'`,
        ],
        from: "lake.`spillway.events`",
        where: condition(question),
      }),
  },
  {
    name: "PyIceberg, attached to the catalog",
    missing: noPyIceberg,
    read: ({ s3Origin, origin }, { sources, day }) => {
      const range = day === undefined ? "" : ` and time >= '${day}T00:00:00+00:00' and time <= '${day}T23:59:59+00:00'`;
      return sumInPyIceberg({
        uri: `${origin}/iceberg`,
        token: TEST_SECRETS.ICEBERG_READ_TOKEN,
        table: "spillway.events",
        s3Origin,
        filter: `source like '${sources}%'${range}`,
      });
    },
  },
  {
    name: "DuckDB, attached to the catalog",
    missing: noDuckDb,
    read: ({ s3Origin, origin }, { sources, day }) => {
      const range = day === undefined ? "" : ` AND time BETWEEN '${day}T00:00:00Z' AND '${day}T23:59:59.999999Z'`;
      return sumInDuckDb({
        before: [
          `CREATE SECRET bucket (TYPE s3, KEY_ID 'test', SECRET 'testtest', REGION 'auto', URL_STYLE 'path',
            USE_SSL false, ENDPOINT '${new URL(s3Origin).host}')`,
          `CREATE SECRET catalog (TYPE iceberg, TOKEN '${TEST_SECRETS.ICEBERG_READ_TOKEN}')`,
          `ATTACH 'spillway' AS lake (TYPE iceberg, SECRET catalog, ENDPOINT '${origin}/iceberg')`,
        ],
        from: "lake.spillway.events",
        where: `starts_with(source, '${sources}')${range}`,
      });
    },
  },
];

function condition({ sources, day }: Question): string {
  return `source LIKE '${sources}%'${day === undefined ? "" : ` AND toDate(time, 'UTC') = '${day}'`}`;
}
