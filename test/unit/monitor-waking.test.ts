/**
 * A shard tells the monitor that there is telemetry to look at: at most once a minute, and without waiting.
 */
import { expect, it } from "vitest";

import { Alarms } from "../../durable-objects/alarms.ts";
import { EventShard } from "../../durable-objects/analytics/event-shard.ts";
import { createClock, eventOf, eventsOf, makeShard, settingsOf } from "../fixtures/lake-parts.ts";
import { MemoryObjects } from "../fixtures/memory-objects.ts";

const MINUTE_MS = 60_000;

function openShard() {
  const clock = createClock();
  const parts = makeShard({ clock });
  const wokenAtMs: number[] = [];
  const shard = new EventShard({
    store: parts.store,
    settings: settingsOf(),
    sink: {
      deliver: async () => ({ files: 1, bytes: 1, poison: [] }),
      withdraw: async () => "unknown",
    },
    objects: new MemoryObjects(clock.read),
    alarms: new Alarms({ setAlarm: async () => undefined }),
    register: () => Promise.resolve(),
    clock: clock.read,
    random: () => 0.5,
    randomUuid: () => crypto.randomUUID(),
    sleep: () => Promise.resolve(),
    waitUntil: () => undefined,
    log: () => undefined,
    blockedBy: undefined,
    wakeMonitor: () => wokenAtMs.push(clock.nowMs),
  });
  const append = (events = [eventOf({ source: "spillway/lake", type: "AdminAction" })]) =>
    shard.append({ shardIndex: 0, events, isRiding: true });
  return { clock, shard, append, wokenAtMs };
}

it("wakes the monitor for own events alone, and not again within a minute", async () => {
  const { clock, append, wokenAtMs } = openShard();
  await append(eventsOf(3));
  expect(wokenAtMs).toEqual([]);
  const startMs = clock.nowMs;
  await append();
  await append();
  expect(wokenAtMs).toEqual([startMs]);
  clock.nowMs += MINUTE_MS;
  // There is something that came within the minute.
  await append(eventsOf(1));
  expect(wokenAtMs).toEqual([startMs, startMs + MINUTE_MS]);
  clock.nowMs += MINUTE_MS;
  await append(eventsOf(1));
  expect(wokenAtMs).toHaveLength(2);
});

it("wakes the monitor for what the shard tells of itself", async () => {
  const { shard, append, wokenAtMs } = openShard();
  await append(eventsOf(3));
  await shard.flush();
  expect(wokenAtMs).toHaveLength(1);
  expect(shard.rollup()?.counters.flushes).toEqual({ "": 1 });
});
