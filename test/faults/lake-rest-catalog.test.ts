/**
 * A running service with a REST catalog that fails in every way a catalog can: refuses for a conflict,
 * breaks before and after it has done what it was asked, never says so, asks for fewer calls. X1–X3.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { currentSnapshot } from "../../durable-objects/iceberg/table-metadata.ts";
import { readRows, type IcebirdMetadata } from "../fixtures/icebird-lake.ts";
import { callAdmin } from "../fixtures/lake-client.ts";
import { findFaults, flushUntilEmpty, Producer } from "../fixtures/lake-load.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { startCatalogServer, type CatalogFault, type CatalogServer } from "../fixtures/rest-catalog-server.ts";
import { IS_THOROUGH } from "../fixtures/thoroughness.ts";

const TOKEN = "test-catalog-token-0123456789abcdef0123456789ab";
const TABLE = "spillway.events";
const PRODUCERS = 3;
/** Of every kind so many. */
const ROUNDS = IS_THOROUGH ? 4 : 2;

const error = (status: number, headers: Readonly<Record<string, string>> = {}) => ({
  status,
  headers,
  body: JSON.stringify({ error: { message: "a fault of the test", type: "TestFault", code: status } }),
});
const COMMIT_FAULTS: readonly CatalogFault[] = [
  { how: error(409) },
  // As behind a proxy that repeats what it has no answer to.
  { how: error(409), isApplied: true },
  { how: error(500) },
  { how: error(500), isApplied: true },
  { how: error(503), isApplied: true },
  { how: error(504) },
  { how: error(429, { "retry-after": "1" }) },
  { how: "reset" },
  { how: "reset", isApplied: true },
  { how: "garbage", isApplied: true },
];
const READ_FAULTS: readonly CatalogFault[] = [
  { how: error(500) },
  { how: error(429) },
  { how: "reset" },
  { how: "garbage" },
];

/** As in durable-objects/iceberg-table.ts. */
const CATALOG_TIMEOUT_MS = 30_000;

const folder = mkdtempSync(join(tmpdir(), "spillway-lake-rest-"));
let server: CatalogServer;
let service: LakeService;

async function start(ports: { port?: number; s3Port?: number } = {}): Promise<LakeService> {
  return startLakeService({
    persistTo: folder,
    ...ports,
    vars: {
      ICEBERG_CATALOG: "rest",
      ICEBERG_REST_URI: server.uri,
      ICEBERG_REST_TOKEN: TOKEN,
      ICEBERG_WAREHOUSE: "account_bucket",
      ICEBERG_SHARDS: 2,
      ICEBERG_BUFFER_TIMEOUT_MS: 150,
      ICEBERG_COMMIT_INTERVAL_MS: 0,
    },
  });
}

beforeAll(async () => {
  server = await startCatalogServer({
    prefix: "account_bucket",
    token: TOKEN,
    location: "s3://spillway-lake/warehouse",
  });
  service = await start();
});
afterAll(async () => {
  await service.kill();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

function commitCalls(): number {
  return server.calls.filter(({ operation }) => operation === "commit").length;
}

async function flush(): Promise<void> {
  const response = await callAdmin(service, "flush").catch(() => undefined);
  await response?.arrayBuffer().catch(() => undefined);
}

/** Meets the catalog's calls with faults of every kind, each once the one before has been met. */
async function plague(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, fault] of COMMIT_FAULTS.entries()) {
      const before = commitCalls();
      server.fail("commit", fault);
      const readFault = at % 2 === 0 ? READ_FAULTS[(at / 2) % READ_FAULTS.length] : undefined;
      if (readFault !== undefined) server.fail("load", readFault);
      while (commitCalls() === before) {
        await flush();
        await wait(20);
      }
    }
    for (const fault of READ_FAULTS) server.fail("config", fault);
    service.killRuntime();
  }
}

test("X1, X2: every event is in the catalog's table exactly once, whatever the catalog does", async () => {
  const random = seededRandom("lake REST catalog");
  const producers = Array.from(
    { length: PRODUCERS },
    (_, at) => new Producer({ source: `/rest/${at}`, random, batchMax: 30 }),
  );
  let isOver = false;
  const working = producers.map((producer) =>
    producer.run(
      () => service.origin,
      () => isOver,
    ),
  );
  await Promise.race([plague(), ...working]);
  // Done, and never answered: the committer has to give up waiting, and to look.
  const before = commitCalls();
  server.fail("commit", { how: "hang", isApplied: true });
  while (commitCalls() === before) await wait(20);
  isOver = true;
  await Promise.all(working);
  await flush();
  expect(service.lines.filter((line) => line.includes('"IcebergCommitted"') && isSlow(line))).toHaveLength(1);

  await service.kill();
  service = await start({ port: portOf(service.origin), s3Port: portOf(service.s3Origin) });
  await flushUntilEmpty(service);
  const metadata = server.table(TABLE)?.metadata;
  if (metadata === undefined) throw new Error("there is no table");
  const rows = await readRows(service, metadata as unknown as IcebirdMetadata);
  const sent = producers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  console.log(
    `REST catalog: ${JSON.stringify({
      events: sent,
      rows: rows.length,
      commitCalls: commitCalls(),
      snapshots: metadata.snapshots?.length,
      faults: ROUNDS * COMMIT_FAULTS.length,
      kills: ROUNDS + 1,
    })}`,
  );
  expect(findFaults(rows, producers)).toEqual([]);
  expect(sent).toBeGreaterThan(200);
  expect(currentSnapshot(metadata)?.summary?.["total-records"]).toBe(String(rows.length));
  // Each commit is repeated under its own key, and no other commit uses it.
  expect(repeatedKeys()).toBeGreaterThan(0);
});

/** A commit that waited for an answer as long as the lake does. */
function isSlow(line: string): boolean {
  const { duration_ms: durationMs } = JSON.parse(line) as { duration_ms: number };
  return durationMs >= CATALOG_TIMEOUT_MS;
}

/** Idempotency keys that came more than once; the same key must always be for the same snapshot. */
function repeatedKeys(): number {
  const snapshotsByKey = new Map<string, Set<string>>();
  let calls = 0;
  for (const { operation, headers, body } of server.calls) {
    if (operation !== "commit") continue;
    const key = String(headers["idempotency-key"]);
    const snapshots = snapshotsByKey.get(key) ?? new Set<string>();
    snapshotsByKey.set(key, snapshots.add(snapshotOf(body)));
    calls++;
  }
  expect([...snapshotsByKey.values()].filter(({ size }) => size > 1)).toEqual([]);
  return calls - snapshotsByKey.size;
}

function snapshotOf(body: unknown): string {
  const { updates } = body as { updates: { action: string; snapshot?: { "snapshot-id": unknown } }[] };
  return String(updates.find(({ action }) => action === "add-snapshot")?.snapshot?.["snapshot-id"]);
}

function portOf(origin: string): number {
  return Number(new URL(origin).port);
}
