/**
 * What operators are told of a lake that is broken: what answers, and what does not, and within seconds.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { readLakeSettings } from "../../protocol/lake-settings.ts";
import { Lake } from "../../workers/lake.ts";

const LONGER_MS = 10_000;
const fails = async () => Promise.reject(new Error("overloaded"));
const hangs = async () => new Promise<never>(() => {});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function lakeOf({ shard = {}, table = {} }: { shard?: object; table?: object }): Lake {
  const answering = { status: async () => ({ events: 3 }) };
  const tableObject = { listShards: async () => [], status: async () => ({ rows: 7 }), ...table };
  const env = {
    EVENT_BUFFER_DO: { getByName: (name: string) => (name === "shard-1" ? { ...answering, ...shard } : answering) },
    ICEBERG_TABLE_DO: { getByName: () => tableObject },
  };
  const settings = readLakeSettings({ ICEBERG_SHARDS: 2, ANALYTICS_SINK: "iceberg" }, []);
  return new Lake(env as unknown as ConstructorParameters<typeof Lake>[0], settings);
}

async function soon<T>(answer: Promise<T>): Promise<T | "no answer"> {
  const settled = Promise.race([answer, new Promise<"no answer">((give) => setTimeout(give, LONGER_MS, "no answer"))]);
  await vi.advanceTimersByTimeAsync(LONGER_MS);
  return settled;
}

test("status names a shard that hangs, or fails, beside those that answer", async () => {
  for (const status of [hangs, fails]) {
    expect(await soon(lakeOf({ shard: { status } }).status())).toMatchObject({
      shards: [
        { name: "shard-0", is_reachable: true },
        { name: "shard-1", is_reachable: false },
      ],
      table: { rows: 7 },
      table_error: null,
    });
  }
});

test.each([
  ["cannot list shards", "listShards"],
  ["cannot tell how it is", "status"],
])("status says that the table object %s, and how the shards are", async (_, call) => {
  for (const broken of [hangs, fails]) {
    expect(await soon(lakeOf({ table: { [call]: broken } }).status())).toMatchObject({
      shards: [{ is_reachable: true }, { is_reachable: true }],
      table: null,
      table_error: "the table object cannot be reached",
    });
  }
});

test("compaction and expiry that find no table object may be tried again", async () => {
  const lake = lakeOf({ table: { compact: fails, expireSnapshots: fails } });
  for (const result of [await lake.compact(), await lake.expireSnapshots(1)]) {
    expect(result).toMatchObject({ ok: false, error: { code: "storage_unavailable" } });
  }
});
