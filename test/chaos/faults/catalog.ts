/**
 * A scene whose table is in a REST catalog: how the service finds it there, and how its rows are read.
 */
import { readRows, type IcebirdMetadata } from "../../fixtures/icebird-lake.ts";
import { flushLake } from "../../fixtures/lake-client.ts";
import type { CatalogServer } from "../../fixtures/rest-catalog-server.ts";
import type { ChaosScene } from "../scene.ts";

/** Where the scene's bucket has the table of the embedded catalog: readers look there. */
export const TABLE_LOCATION = "s3://spillway-lake/warehouse/spillway/events";
const TABLE = "spillway.events";

export function restCatalogVars(uri: string): Readonly<Record<string, unknown>> {
  return { ICEBERG_CATALOG: "rest", ICEBERG_REST_URI: uri, ICEBERG_WAREHOUSE: "lake" };
}

/** The table is what this catalog says, and not what lies in the bucket. */
export function readFromCatalog(scene: ChaosScene, catalog: CatalogServer): void {
  scene.flushedRows = async () => {
    await flushLake(scene.service);
    const metadata = catalog.table(TABLE)?.metadata;
    if (metadata === undefined) throw new Error("the catalog has no table");
    const rows = await readRows(scene.service, metadata as unknown as IcebirdMetadata);
    const newest = metadata.snapshots?.at(-1);
    const counted = Number(newest?.summary["total-records"] ?? 0);
    // A commit that was made twice adds what readers of the newer one alone may not see.
    if (counted !== rows.length)
      throw new Error(`the catalog counts ${counted} rows, and the table has ${rows.length}`);
    return rows;
  };
}
