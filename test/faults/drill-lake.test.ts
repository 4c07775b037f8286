/**
 * Drills of the lake: a burst meets a bucket that fails; the catalog is down; events that cannot be encoded. Each
 * alert is seen, its section of RUNBOOK.md followed as it stands, and the table compared in the end.
 */
import { globSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { expect, test } from "vitest";

import { Drill } from "../fixtures/drill.ts";
import { readRows } from "../fixtures/icebird-lake.ts";
import { BATCH, numberedEvents, postEvents, sendEvents, lakeStatus } from "../fixtures/lake-client.ts";
import { startBreakingProxy } from "../fixtures/breaking-proxy.ts";
import { startCatalogServer } from "../fixtures/rest-catalog-server.ts";

const SOURCE = "/drill";
/** Ids of the drill's own events in the table, each as often as it is there. */
async function idsInTable(drill: Drill): Promise<string[]> {
  const rows = await readRows(drill.service);
  return rows.filter(({ source }) => source === SOURCE).map(({ id }) => id);
}

const idsOf = (count: number) => Array.from({ length: count }, (_, at) => String(at)).toSorted();

/** The bucket's disk goes away: every put fails from now on, for real. */
function takeBucketAway(drill: Drill): () => void {
  const blobs = join(drill.folder, "state", "state", "r2", "spillway-lake", "blobs");
  renameSync(blobs, `${blobs}.away`);
  writeFileSync(blobs, "");
  return () => {
    rmSync(blobs);
    renameSync(`${blobs}.away`, blobs);
  };
}

test.concurrent("Buffer fills, Flushes fail: a burst meets a bucket that fails; producers are told, and nothing is lost", async () => {
  await using drill = await Drill.begin({
    vars: { ICEBERG_SHARDS: 1, ICEBERG_SHARD_MAX_EVENTS: 10_000, ICEBERG_BUFFER_TIMEOUT_MS: 1000 },
  });
  await sendEvents(drill.service, numberedEvents(SOURCE, 50));
  await drill.type("Buffer fills", "scripts/spillway flush");
  const giveBack = takeBucketAway(drill);
  await sendEvents(drill.service, numberedEvents(SOURCE, 9100, { firstId: 50 }));

  expect(await drill.untilFiring("BufferFill")).toMatchObject({ severity: "critical" });
  await drill.untilFiring("FlushFailing");
  const refused = await postEvents(drill.service, JSON.stringify(numberedEvents(SOURCE, 2000, { firstId: 9150 })), {
    "Content-Type": BATCH,
  });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);

  const told = await drill.type("The first five minutes", "scripts/spillway alerts");
  expect(told.stdout).toMatch(/BufferFill[^]*|FlushFailing/);
  const status = await drill.type("Flushes fail", "scripts/spillway status");
  expect(status.stdout).toContain("put:");
  const logs = await drill.type("Flushes fail", "$LOGS | npm run --silent logs -- flush-failures");
  expect(logs.stdout).toContain("put:");
  const saved = await drill.type("Buffer fills", "scripts/spillway export --shard 0 --out shard-0.ndjson");
  expect(saved).toMatchObject({ code: 0 });
  const refusedReset = await drill.typeAndConfirm("Buffer fills", "scripts/spillway reset --shard 0");
  expect(refusedReset.code, "what cannot be written to the bucket is not dropped").not.toBe(0);

  giveBack();
  expect(await drill.type("Buffer fills", "scripts/spillway flush")).toMatchObject({ code: 0 });
  await sendEvents(drill.service, numberedEvents(SOURCE, 2000, { firstId: 9150 }));
  expect(await drill.type("Buffer fills", "scripts/spillway replay shard-0.ndjson")).toMatchObject({ code: 0 });
  await drill.type("Buffer fills", "scripts/spillway flush");
  await drill.untilResolved("BufferFill");
  await drill.untilResolved("FlushFailing");
  expect((await idsInTable(drill)).toSorted()).toEqual(idsOf(11_150));
});

test.concurrent("Buffer fills: a buffer that is emptied and replayed is in the table once, whatever came meanwhile", async () => {
  await using drill = await Drill.begin({ vars: { ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 600_000 } });
  await sendEvents(drill.service, numberedEvents(SOURCE, 500));
  expect(await drill.type("Buffer fills", "scripts/spillway export --shard 0 --out shard-0.ndjson")).toMatchObject({
    code: 0,
  });
  await sendEvents(drill.service, numberedEvents(SOURCE, 7, { firstId: 500 }));
  const reset = await drill.typeAndConfirm("Buffer fills", "scripts/spillway reset --shard 0");
  expect(reset).toMatchObject({ code: 0 });
  const { shards } = await lakeStatus(drill.service);
  expect(shards[0]?.events).toBeLessThan(20);
  const [EXPORT_KEY = ""] = /exports\/\S+\.ndjson/.exec(reset.stdout) ?? [];
  for (let again = 0; again < 2; again++) {
    const replay = await drill.type("Buffer fills", 'scripts/spillway replay --export "$EXPORT_KEY"', { EXPORT_KEY });
    expect(replay).toMatchObject({ code: 0 });
  }
  expect(await drill.type("Buffer fills", "scripts/spillway replay shard-0.ndjson")).toMatchObject({ code: 0 });
  await drill.type("Buffer fills", "scripts/spillway flush");
  expect((await idsInTable(drill)).toSorted()).toEqual(idsOf(507));
});

test.concurrent("The catalog fails: files wait for it, and are in the table once when it is back", async () => {
  const catalog = await startCatalogServer({ tableLocation: "s3://spillway-lake/warehouse/spillway/events" });
  const proxy = await startBreakingProxy(catalog.uri);
  try {
    await using drill = await Drill.begin({
      vars: {
        ICEBERG_SHARDS: 1,
        ICEBERG_BUFFER_TIMEOUT_MS: 1000,
        ICEBERG_COMMIT_INTERVAL_MS: 1000,
        ICEBERG_CATALOG: "rest",
        ICEBERG_REST_URI: proxy.origin,
        ICEBERG_WAREHOUSE: "lake",
      },
    });
    await sendEvents(drill.service, numberedEvents(SOURCE, 100));
    await drill.type("The catalog fails", "scripts/spillway status");
    expect(await drill.type("Buffer fills", "scripts/spillway flush")).toMatchObject({ code: 0 });
    proxy.cutAfter(1);
    await sendEvents(drill.service, numberedEvents(SOURCE, 100, { firstId: 100 }));
    await drill.untilFiring("CatalogFailing");
    const ready = await drill.type("The catalog fails", 'curl -s "$SPILLWAY_URL/ready?deep=1"');
    expect(JSON.parse(ready.stdout)).toMatchObject({ status: "degraded" });
    proxy.cutAfter(0);
    await drill.type("Buffer fills", "scripts/spillway flush");
    await drill.untilResolved("CatalogFailing");
    const metadata = catalog.table("spillway.events")?.metadata;
    const rows = await readRows(drill.service, metadata as never);
    expect(
      rows
        .filter(({ source }) => source === SOURCE)
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(idsOf(200));
  } finally {
    await proxy.stop();
    await catalog.stop();
  }
});

/** A row of the shard is damaged on its disk: its events can never be encoded. */
function damageBufferedRows(drill: Drill): void {
  const files = globSync(join(drill.folder, "state", "state", "do", "spillway-EventBuffer", "*.sqlite"));
  for (const file of files) {
    const database = new DatabaseSync(file);
    const holdsEvents = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'append'").get() !== undefined;
    if (holdsEvents) database.exec("UPDATE append SET payload = x'00ff00ff' WHERE byte_size > 0 AND is_riding = 0");
    database.close();
  }
}

test.concurrent("Dead letters: what is damaged is set aside, holds up nothing, and is let go with a copy", async () => {
  await using drill = await Drill.begin({ vars: { ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 600_000 } });
  await sendEvents(drill.service, numberedEvents("/drill/damaged", 5));
  await drill.redeploy({}, () => damageBufferedRows(drill));
  await sendEvents(drill.service, numberedEvents(SOURCE, 20));
  expect(await drill.type("Buffer fills", "scripts/spillway flush")).toMatchObject({ code: 0 });
  await drill.untilFiring("DeadLetters");
  const list = await drill.type("Dead letters", "scripts/spillway dead-letters list");
  expect(list.stdout).toContain("unreadable append row");
  await drill.type("Dead letters", "scripts/spillway dead-letters redrive");
  expect((await lakeStatus(drill.service)).shards[0]?.dead_letters, "what is damaged stays").toBeGreaterThan(0);
  const purged = await drill.typeAndConfirm("Dead letters", "scripts/spillway dead-letters purge --shard 0");
  expect(purged).toMatchObject({ code: 0 });
  expect((await lakeStatus(drill.service)).shards[0]?.dead_letters).toBe(0);
  await drill.untilResolved("DeadLetters");
  expect((await idsInTable(drill)).toSorted()).toEqual(idsOf(20));
});
