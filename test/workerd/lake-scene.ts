/**
 * The lake inside workerd as one test has it: producers, operators, alarms, and the table as its files
 * say. Time stands where the test puts it.
 */
import { listDurableObjectIds, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";

import type { EventBuffer } from "../../durable-objects/event-buffer.ts";
import { keyOf } from "../../durable-objects/iceberg/locations.ts";
import { ManifestFiles } from "../../durable-objects/iceberg/manifest-files.ts";
import { ENTRY_STATUS } from "../../durable-objects/iceberg/manifest.ts";
import { decodeParquet } from "../../durable-objects/iceberg/parquet-decode.ts";
import { R2Catalog } from "../../durable-objects/iceberg/r2-catalog.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { currentSnapshot, type TableMetadata } from "../../durable-objects/iceberg/table-metadata.ts";
import { R2ObjectStore } from "../../durable-objects/r2-object-store.ts";
import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { readLakeSettings } from "../../protocol/lake-settings.ts";
import { shardName, TABLE_OBJECT_NAME } from "../../protocol/shard-choice.ts";
import { chooseShard } from "../../workers/ingest/shard-choice.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { call } from "./reading.ts";

const TENANT = "acme";
const SOURCE = "/lake-test";
const KEY = "test-ingest-key-acme";
/** Telemetry of the lake itself goes to shard 0: events of tests go to another, where nothing joins them. */
export const SHARD = 1;
const SHARD_COUNT = readLakeSettings({ ...env }, []).shards;

export interface SentEvent {
  readonly specversion: "1.0";
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly time: string;
  readonly data: object;
}

/** Events of one shard, over two days, so that a flush writes two files. */
export function makeEvents(prefix: string, count: number, shardIndex: number = SHARD): SentEvent[] {
  const events: SentEvent[] = [];
  for (let at = 0; events.length < count; at++) {
    const id = `${prefix}-${at}`;
    if (chooseShard({ tenant: TENANT, source: SOURCE, id }, SHARD_COUNT) !== shardIndex) continue;
    const time = `2026-11-2${events.length % 2}T10:00:00Z`;
    events.push({ specversion: "1.0", id, source: SOURCE, type: "com.example.tested", time, data: { at } });
  }
  return events;
}

export async function post(events: readonly SentEvent[]): Promise<Response> {
  return call("/events", {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/cloudevents-batch+json" },
    body: JSON.stringify(events),
  });
}

export async function admin(path: string, method = "POST"): Promise<Response> {
  return call(`/admin/${path}`, { method, headers: { authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` } });
}

export async function flushAll(): Promise<AdminFlushReport & { readonly status: number }> {
  const response = await admin("flush");
  return { ...(await response.json<AdminFlushReport>()), status: response.status };
}

export function shard(index: number = SHARD): DurableObjectStub<EventBuffer> {
  return env.EVENT_BUFFER_DO.getByName(shardName(index));
}

export function table() {
  return env.ICEBERG_TABLE_DO.getByName(TABLE_OBJECT_NAME);
}

/**
 * An empty lake. `reset` alone forgets the storage of running objects only, and after
 * `abortAllDurableObjects` none is running.
 */
export async function emptyLake(): Promise<void> {
  for (const id of await listDurableObjectIds(env.EVENT_BUFFER_DO)) await wake(env.EVENT_BUFFER_DO.get(id));
  for (const id of await listDurableObjectIds(env.ICEBERG_TABLE_DO)) await wake(env.ICEBERG_TABLE_DO.get(id));
  await reset();
}

async function wake(stub: DurableObjectStub): Promise<void> {
  await runInDurableObject(stub, () => {});
}

/** When the object will be woken; `undefined` where nothing wakes it. Starts an object that is not running. */
export async function alarmOf(stub: DurableObjectStub): Promise<number | undefined> {
  return runInDurableObject(stub, async (_, { storage }) => (await storage.getAlarm()) ?? undefined);
}

/** Which of a namespace's objects have tables of their own. */
export async function countObjectsWithTables(namespace: DurableObjectNamespace): Promise<number> {
  let found = 0;
  for (const id of await listDurableObjectIds(namespace)) {
    found += await runInDurableObject(namespace.get(id), (_, { storage }) => {
      const tables = storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'");
      return tables.toArray().length > 0 ? 1 : 0;
    });
  }
  return found;
}

export interface ReadTable {
  readonly metadata: TableMetadata;
  /** Of live files, in no order. */
  readonly rows: readonly LakeRow[];
}

/** The table as a reader finds it: newest metadata, its list, its manifests, their live files. */
export async function readTable(): Promise<ReadTable | undefined> {
  const settings = readLakeSettings({ ...env }, []);
  if (settings.catalog.kind !== "r2") throw new Error("these tests know the embedded catalog alone");
  const objects = new R2ObjectStore(env.LAKE_BUCKET);
  const catalog = new R2Catalog({
    objects,
    location: settings.catalog.location,
    columns: TABLE_COLUMNS,
    clock: Date.now,
    randomUuid: () => crypto.randomUUID(),
  });
  const loaded = await catalog.load();
  if (loaded === undefined) return undefined;
  const manifests = new ManifestFiles(objects);
  const rows: LakeRow[] = [];
  const snapshot = currentSnapshot(loaded.metadata);
  if (snapshot === undefined) return { metadata: loaded.metadata, rows };
  for (const { path } of await manifests.readList(snapshot["manifest-list"])) {
    for (const { status, file } of await manifests.readEntries(path)) {
      if (status === ENTRY_STATUS.deleted) continue;
      const bytes = await objects.get(keyOf(file.path));
      if (bytes === undefined) throw new Error(`a live file is missing: ${file.path}`);
      const fileRows = await decodeParquet(bytes);
      if (fileRows.length !== Number(file.recordCount)) throw new Error(`another number of rows in ${file.path}`);
      rows.push(...fileRows);
    }
  }
  return { metadata: loaded.metadata, rows };
}

/** Ids of the tests' own rows in the table, sorted: one that is there twice is listed twice. */
export async function idsInTable(): Promise<string[]> {
  const rows = (await readTable())?.rows ?? [];
  const places = new Set(rows.map(({ shard: life, seq }) => `${life} ${seq}`));
  if (places.size !== rows.length) throw new Error("L2: two rows of one shard have the same seq");
  return rows
    .filter(({ source }) => source === SOURCE)
    .map(({ id }) => id)
    .toSorted();
}

export function idsOf(...batches: readonly (readonly SentEvent[])[]): string[] {
  return batches
    .flat()
    .map(({ id }) => id)
    .toSorted();
}
