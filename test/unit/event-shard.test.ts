/**
 * A shard whose configuration is at fault keeps what it takes, and delivers nothing anywhere.
 */
import { expect, it } from "vitest";

import { Alarms } from "../../durable-objects/alarms.ts";
import { EventShard } from "../../durable-objects/analytics/event-shard.ts";
import { IcebergSink } from "../../durable-objects/analytics/iceberg-sink.ts";
import { blockedByFaults } from "../../durable-objects/configuration-faults.ts";
import { eventsOf, LOCATION, makeShard, settingsOf, START_MS } from "../fixtures/lake-parts.ts";
import { MemoryObjects } from "../fixtures/memory-objects.ts";

const FAULT = { variable: "ICEBERG_NAMESPACE", found: '"Prod"', allowed: "lower case" };
const MINUTE_MS = 60_000;

function openShard(parts: ReturnType<typeof makeShard>, objects: MemoryObjects, blockedBy: string | undefined) {
  const alarmsMs: number[] = [];
  const staged: number[] = [];
  const shard = new EventShard({
    store: parts.store,
    settings: settingsOf({ flushEvents: 2 }),
    sink: new IcebergSink({
      objects,
      tableLocation: () => Promise.resolve(LOCATION),
      stage: async ({ batch }) => {
        staged.push(batch);
        return "taken";
      },
      withdraw: async () => "withdrawn",
    }),
    objects,
    alarms: new Alarms({ setAlarm: async (timeMs) => void alarmsMs.push(timeMs) }),
    register: () => Promise.resolve(),
    clock: () => START_MS,
    random: () => 0.5,
    randomUuid: () => "00000000-0000-4000-8000-000000000000",
    sleep: () => Promise.resolve(),
    waitUntil: () => undefined,
    log: () => undefined,
    blockedBy,
  });
  return { shard, alarmsMs, staged };
}

it("delivers nothing while the configuration is at fault, says so, and delivers all of it afterwards", async () => {
  const parts = makeShard();
  const objects = new MemoryObjects();
  const faulty = openShard(parts, objects, blockedByFaults([FAULT]));
  expect(await faulty.shard.append({ shardIndex: 0, events: eventsOf(5), isRiding: false })).toMatchObject({
    ok: true,
  });
  await faulty.shard.alarm();
  const error = "the configuration is at fault: ICEBERG_NAMESPACE";
  expect(await faulty.shard.flush()).toMatchObject({ events: 0, remaining: 5, error });
  expect(faulty.staged).toEqual([]);
  expect(objects.keys()).toEqual([]);
  // It looks again, but not all the time.
  expect(faulty.alarmsMs).toContain(START_MS + MINUTE_MS);
  expect(Math.min(...faulty.alarmsMs)).toBeGreaterThan(START_MS + MINUTE_MS / 3);

  const mended = openShard(parts, objects, blockedByFaults([]));
  await mended.shard.alarm();
  expect(mended.staged).toEqual([1]);
  expect(mended.shard.status()).toMatchObject({ pending_batches: 0, last_error: null });
});
