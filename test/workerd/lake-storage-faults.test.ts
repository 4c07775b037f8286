/**
 * The bucket and the objects' storage at their worst: puts that fail, hang, come too late or are asked to
 * slow down; storage that takes no row. L1, X2; and who asks is told the truth.
 */
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { AdminFlushReport } from "../../protocol/admin-report.ts";
import { ShardStore, type StoredShard } from "../../durable-objects/analytics/shard-store.ts";
import {
  admin,
  emptyLake,
  flushAll,
  idsInTable,
  idsOf,
  makeEvents,
  post,
  readTable,
  shard,
  SHARD,
  table,
} from "./lake-scene.ts";

/** Longer than every time limit of the lake, and than every backoff. */
const LONG_MS = 600_000;
/** R2's answer to many writes of one key (platform documentation, error 10058). */
const THROTTLED = "put: Reduce your concurrent request rate for the same object. (10058)";

type Put = (this: R2Bucket, ...args: Parameters<R2Bucket["put"]>) => Promise<R2Object | null>;

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await emptyLake();
});

/**
 * Lets the next puts of matching keys go through these, one each, as the bucket's binding itself would
 * answer; later ones are real.
 *
 * @returns keys that were met, in order
 */
function meetPuts(pattern: RegExp, ...faults: readonly ((real: () => Promise<R2Object | null>) => ReturnType<Put>)[]) {
  const bucket = Object.getPrototypeOf(env.LAKE_BUCKET) as { put: Put };
  const { put } = bucket;
  const waiting = [...faults];
  const met: string[] = [];
  vi.spyOn(bucket, "put").mockImplementation(function (this: R2Bucket, ...args) {
    const real = () => put.apply(this, args);
    const fault = pattern.test(args[0]) ? waiting.shift() : undefined;
    if (fault === undefined) return real();
    met.push(args[0]);
    return fault(real);
  });
  return met;
}

const fails = async () => Promise.reject(new Error("put: We encountered an internal error. (10001)"));
const throttled = async () => Promise.reject(new Error(THROTTLED));
/** It was done, and the answer is lost. */
const failsAfter = async (real: () => Promise<unknown>) => {
  await real();
  throw new Error("put: Network connection lost.");
};
const DATA = /\/data\//;
const MANIFEST = /-m0\.avro$/;
const LIST = /\/snap-/;
const METADATA = /\/v\d+\.metadata\.json$/;
const HINT = /version-hint\.text$/;

const FAULTS = { fails, "is throttled": throttled, "is done but fails": failsAfter };
const KEYS = {
  "a data file": DATA,
  "a manifest": MANIFEST,
  "a manifest list": LIST,
  metadata: METADATA,
  "the hint": HINT,
};

for (const [what, pattern] of Object.entries(KEYS)) {
  for (const [how, fault] of Object.entries(FAULTS)) {
    test(`a put of ${what} that ${how} again and again: what was not done is told, and done later, once`, async () => {
      const events = makeEvents("faulty", 4);
      await post(events);
      const met = meetPuts(pattern, fault, fault, fault);
      const reports = [await flushAll(), await flushAll(), await flushAll(), await flushAll(), await flushAll()];
      expect(met.length).toBe(3);
      expect(reports.at(-1)).toMatchObject({ ok: true, status: 200, failed: [], staged_files: 0 });
      for (const { ok, status, failed, commit_error: error } of reports) {
        expect(status).toBe(ok ? 200 : 207);
        expect(ok).toBe(failed.length === 0 && error === null);
      }
      vi.restoreAllMocks();
      expect(await idsInTable()).toEqual(idsOf(events));
      expect(await isHintTrue()).toBe(true);
    });
  }
}

/** The hint names the newest metadata, or an older one that is still there. */
async function isHintTrue(): Promise<boolean> {
  const folder = "warehouse/spillway/events/metadata";
  const hint = await env.LAKE_BUCKET.get(`${folder}/version-hint.text`);
  if (hint === null) return true;
  return (await env.LAKE_BUCKET.head(`${folder}/v${await hint.text()}.metadata.json`)) !== null;
}

/** The same table under the next number: as if somebody had committed nothing at all just before. */
async function rival(real: () => Promise<R2Object | null>): Promise<R2Object | null> {
  const read = await readTable();
  await env.LAKE_BUCKET.put("warehouse/spillway/events/metadata/v3.metadata.json", JSON.stringify(read?.metadata));
  return real();
}

test("another committer's file under the next number (412): the commit goes on top of it", async () => {
  const [first, second] = [makeEvents("first", 2), makeEvents("second", 2)];
  await post(first);
  await flushAll();
  await post(second);
  const met = meetPuts(/\/v3\.metadata\.json$/, rival);
  expect(await flushAll()).toMatchObject({ ok: true, status: 200 });
  expect(met).toHaveLength(1);
  vi.restoreAllMocks();
  expect(await idsInTable()).toEqual(idsOf(first, second));
  expect(await env.LAKE_BUCKET.head("warehouse/spillway/events/metadata/v4.metadata.json")).not.toBeNull();
});

/** A timer belongs to the object that set it, and so does a call to the bucket. */
async function inObject(stub: DurableObjectStub, work: () => Promise<unknown>): Promise<void> {
  await runInDurableObject<DurableObject, void>(stub, async () => void (await work()));
}

for (const what of ["a data file", "metadata"] as const) {
  test(`a put of ${what} that hangs is given up, and changes nothing when it is done after all`, async () => {
    const [first, late] = [makeEvents("first", 2), makeEvents("late", 2)];
    await post(first);
    await flushAll();
    await post(late);
    let finish: (() => Promise<unknown>) | undefined;
    const hangs = async (real: () => Promise<R2Object | null>) => {
      finish = real;
      return new Promise<never>(() => {});
    };
    const object = what === "metadata" ? table() : shard();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: Date.now() + LONG_MS });
    meetPuts(what === "metadata" ? METADATA : /\/data\/.*\/1-[^/]*$/, hangs);
    const reports: AdminFlushReport[] = [];
    const flush = async () => void reports.push(await flushAll());
    const flushing = flush();
    for (let round = 0; reports.length === 0 && round < 200; round++) {
      await inObject(object, () => vi.advanceTimersByTimeAsync(finish === undefined ? 0 : 31_000));
    }
    await flushing;
    vi.useRealTimers();
    // Of a commit, the next attempt has been made already; of a flush, the alarm makes it.
    expect(reports[0]?.failed).toEqual(what === "metadata" ? [] : ["shard-1"]);
    expect(finish).toBeDefined();
    await inObject(object, async () => finish?.());
    vi.restoreAllMocks();
    await flushAll();
    await flushAll();
    expect(await idsInTable()).toEqual(idsOf(first, late));
  });
}

test("storage that takes no row: the producer is told, nothing is half kept, and the rest goes on", async () => {
  const kept = makeEvents("kept", 2);
  await post(kept);
  const refused = makeEvents("refused", 300);
  const elsewhere = makeEvents("elsewhere", 2, 2);
  await breakTransactions(true);
  const before = await shard().status();
  const response = await post([...refused, ...elsewhere]);
  expect(response.status).toBe(503);
  expect(response.headers.get("Retry-After")).not.toBeNull();
  expect(await response.json()).toMatchObject({ code: "storage_unavailable" });
  expect(await shard().status()).toMatchObject({ events: before?.events, bytes: before?.bytes });
  await breakTransactions(false);
  // The other shard's were taken.
  const again = await post([...refused, ...elsewhere]);
  expect(await again.json()).toEqual({ accepted: 300, duplicates: 2, rejected: [] });
  await flushAll();
  expect(await idsInTable()).toEqual(idsOf(kept, refused, elsewhere));
});

/** Whatever a transaction of the shard writes is there until its end, and then gone, as when a disk is full. */
async function breakTransactions(isBroken: boolean): Promise<void> {
  await runInDurableObject(shard(), (_, { storage }) => {
    if (!isBroken) return void Reflect.deleteProperty(storage, "transactionSync");
    const real = storage.transactionSync.bind(storage);
    Object.defineProperty(storage, "transactionSync", {
      configurable: true,
      value: (work: () => unknown) =>
        real(() => {
          work();
          throw new Error("database or disk is full: SQLITE_FULL");
        }),
    });
  });
}

test("storage that refuses while a flush ends: the flush fails, is told, and is done again", async () => {
  const events = makeEvents("unfinished", 2);
  await post(events);
  await vi.waitFor(async () => expect(await shard().status()).toMatchObject({ events: 2 }));
  await runInDurableObject(shard(), (_, { storage }) => {
    Object.defineProperty(storage, "transactionSync", {
      configurable: true,
      value: () => {
        throw new Error("database or disk is full: SQLITE_FULL");
      },
    });
  });
  const report = await flushAll();
  expect(report).toMatchObject({ ok: false, status: 207, failed: ["shard-1"] });
  expect(report.shards[SHARD]).toMatchObject({ remaining: 2, error: "database or disk is full: SQLITE_FULL" });
  await breakTransactions(false);
  expect(await flushAll()).toMatchObject({ ok: true, status: 200 });
  expect(await idsInTable()).toEqual(idsOf(events));
});

test("a demanded flush with one broken shard is 207 and names it; the others are committed", async () => {
  const [lost, fine] = [makeEvents("broken", 2), makeEvents("fine", 2, 2)];
  await post([...lost, ...fine]);
  await vi.waitFor(async () => expect(await table().listShards()).toHaveLength(2));
  type Load = (this: ShardStore) => StoredShard | undefined;
  const { load } = ShardStore.prototype as unknown as { load: Load };
  const broken = vi.spyOn(ShardStore.prototype, "load").mockImplementation(function (this: ShardStore) {
    const stored = load.call(this);
    if (stored?.record.index === SHARD) throw new Error("unknown storage layout");
    return stored;
  });
  await abortAllDurableObjects();
  const report = await flushAll();
  expect(report).toMatchObject({ ok: false, status: 207, failed: ["shard-1"], commit_error: null });
  expect(report.shards.find(({ name }) => name === "shard-1")?.error).toBe("the shard cannot be reached");
  const status = await (await admin("status", "GET")).json<{ shards: { name: string; is_reachable: boolean }[] }>();
  expect(status.shards.filter(({ is_reachable: is }) => !is).map(({ name }) => name)).toEqual(["shard-1"]);
  expect(await idsInTable()).toEqual(idsOf(fine));
  broken.mockRestore();
  await flushAll();
  expect(await idsInTable()).toEqual(idsOf(lost, fine));
});

test("a shard whose files cannot be written is named with its reason, and keeps its events", async () => {
  const [kept, fine] = [makeEvents("kept", 2), makeEvents("fine", 2, 2)];
  await post([...kept, ...fine]);
  meetPuts(/\/data\/[^/]*\/1-/, fails);
  const report = await flushAll();
  expect(report).toMatchObject({ ok: false, status: 207, failed: ["shard-1"] });
  const entry = report.shards.find(({ name }) => name === "shard-1");
  expect(entry?.error).toContain("10001");
  expect(entry?.remaining).toBe(2);
  expect(await idsInTable()).toEqual(idsOf(fine));
  expect(await runDurableObjectAlarm(shard())).toBe(true);
  await flushAll();
  expect(await idsInTable()).toEqual(idsOf(kept, fine));
});
