/**
 * The table as the first version of it was made, without the column that came later, in the bucket of a
 * service that has not looked at it yet.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { Committer } from "../../durable-objects/iceberg/committer.ts";
import type { DataFile } from "../../durable-objects/iceberg/data-file.ts";
import { dayText, keyOf } from "../../durable-objects/iceberg/locations.ts";
import { ManifestFiles } from "../../durable-objects/iceberg/manifest-files.ts";
import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";
import { R2Catalog } from "../../durable-objects/iceberg/r2-catalog.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { TableStore } from "../../durable-objects/iceberg/table-store.ts";
import { dayOf } from "../../protocol/lake-event.ts";
import { TABLE_KEY } from "../fixtures/lake-client.ts";
import type { LakeService } from "../fixtures/lake-service.ts";
import { S3Objects } from "../fixtures/s3-objects.ts";
import { SimStorage } from "../simulation/sim-storage.ts";
import { createDailyRows } from "./daily-events.ts";

const LATER_COLUMN = "extensions";
const FIRST_COLUMNS = TABLE_COLUMNS.filter(({ name }) => name !== LATER_COLUMN);
const SHARD = { shard: "0-00c0ffee", index: 0 };

/** @returns keys of its data files, one for each day */
export async function createFirstVersion(
  { s3Origin, bucket }: LakeService,
  { source, rows }: { readonly source: string; readonly rows: number },
): Promise<readonly string[]> {
  const objects = new S3Objects(s3Origin, bucket);
  const location = `s3://${bucket}/${TABLE_KEY}`;
  const shared = { columns: FIRST_COLUMNS, clock: Date.now, randomUuid: () => randomUUID() };
  const store = new TableStore(new SimStorage().port);
  const committer = new Committer({
    ...shared,
    store,
    manifests: new ManifestFiles(objects),
    catalog: new R2Catalog({ ...shared, objects, location }),
    snapshotsKept: 100,
    random: Math.random,
    sleep,
    telemetry: () => {},
  });
  const files: DataFile[] = [];
  const byDay = Map.groupBy(createDailyRows(source, rows), ({ timeUs }) => dayOf(timeUs));
  for (const [day, ofDay] of byDay) {
    const { bytes, recordCount, metrics } = encodeParquet(ofDay, FIRST_COLUMNS);
    const path = `${location}/data/${dayText(day)}/${SHARD.shard}-1.parquet`;
    await objects.put(keyOf(path), bytes);
    const jsonBytes = Buffer.byteLength(JSON.stringify(ofDay));
    files.push({ path, day, recordCount, fileSizeBytes: bytes.byteLength, jsonBytes, ...metrics });
  }
  store.stage(SHARD, 1, JSON.stringify(files));
  const report = await committer.commit();
  if (!report.ok) throw new Error(`the first version was not committed: ${report.reason}`);
  return files.map(({ path }) => keyOf(path));
}
