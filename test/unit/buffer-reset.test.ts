/**
 * R1–R3: a shard is emptied only of what lies in the bucket, and never of what is on its way into the table.
 */
import { describe, expect, it } from "vitest";

import type { BatchSink } from "../../durable-objects/analytics/batch-sink.ts";
import { PipelinesSink } from "../../durable-objects/analytics/pipelines-sink.ts";
import { checkSections } from "../../workers/replay/export-body.ts";
import { DAY_MS, eventOf, eventsOf, makeTable } from "../fixtures/lake-parts.ts";
import { idsOf, makeReset } from "../fixtures/reset-parts.ts";

const DATA = /\/data\//;
const EXPORTS = /^exports\//;

/** A sink whose next deliveries end as told, before or after they have been staged. */
function faulty() {
  const faults: ("before" | "after")[] = [];
  const wrap = (sink: BatchSink): BatchSink => ({
    deliver: async (batch) => {
      const fault = faults.shift();
      if (fault === "before") throw new Error("the table object is out of reach");
      const delivery = await sink.deliver(batch);
      if (fault === "after") throw new Error("the answer was lost");
      return delivery;
    },
    withdraw: (batch) => sink.withdraw(batch),
  });
  return { faults, wrap };
}

describe("a reset", () => {
  it("writes every event to the bucket, empties the shard, and forgets them: a replay is taken, a second one not", async () => {
    const parts = makeReset();
    const events = eventsOf(5);
    parts.shard.append(events);
    const answer = await parts.reset();
    const { name } = parts.shard.buffer.record;
    expect(answer).toMatchObject({ ok: true, shard: name, events: 5, delivered_events: 0, kept_events: 0 });
    expect(parts.exportKeys()).toEqual([`exports/${name}/2026-11-21T09-00-00.000Z-1.ndjson`]);
    expect(parts.shard.told.at(-1)).toMatchObject({ event: "BufferReset", events: 5, exports: 1 });
    for (const again of [parts, parts.restart()]) {
      expect(again.shard.buffer.status(0)).toMatchObject({ events: 0, bytes: 0, pending_batches: 0 });
    }
    expect(parts.exported()).toEqual(events);
    expect(parts.shard.append(parts.exported())).toMatchObject({ accepted: 5 });
    expect(parts.shard.append(parts.exported())).toMatchObject({ accepted: 0 });
    await parts.flush();
    expect(await parts.commit()).toEqual(idsOf(events));
  });

  it("forgets nothing that is in the table already", async () => {
    const parts = makeReset();
    const [delivered, dropped] = [eventsOf(3), eventsOf(3)];
    parts.shard.append(delivered);
    await parts.flush();
    parts.shard.append(dropped);
    await parts.reset();
    for (const { shard } of [parts.restart(), parts]) {
      expect(shard.append(delivered)).toMatchObject({ accepted: 0 });
    }
    expect(parts.shard.append(dropped)).toMatchObject({ accepted: 3 });
    await parts.flush();
    expect(await parts.commit()).toEqual(idsOf([...delivered, ...dropped]));
  });

  it("goes on with the seqs and batch numbers of before, also where nothing is left", async () => {
    const parts = makeReset();
    parts.shard.append(eventsOf(4));
    await parts.reset();
    const again = parts.restart();
    again.shard.append(eventsOf(1));
    expect(again.shard.buffer.lastSeq).toBe(5);
    expect(again.shard.buffer.nextBatch(5)).toMatchObject({ batch: 2, fromSeq: 5 });
  });

  it("of an empty shard writes nothing", async () => {
    const parts = makeReset();
    expect(await parts.reset()).toMatchObject({ ok: true, events: 0, exports: [] });
    expect(parts.exportKeys()).toEqual([]);
  });

  it("writes parts that a replay takes each by itself", async () => {
    const parts = makeReset();
    const events = Array.from({ length: 30 }, () => eventOf({ data: JSON.stringify('"'.repeat(240_000)) }));
    parts.shard.append(events);
    await parts.reset();
    expect(parts.exportKeys().length).toBeGreaterThan(2);
    for (const key of parts.exportKeys()) {
      const bytes = new TextEncoder().encode(parts.table.objects.text(key));
      expect(bytes.byteLength).toBeLessThanOrEqual(8 * 1024 * 1024);
      expect(checkSections(bytes)).toBeUndefined();
    }
    expect(idsOf(parts.exported())).toEqual(idsOf(events));
  });
});

describe("a batch whose delivery ended unknown", () => {
  it("is finished where the table object has it, and the rest is dropped", async () => {
    const { faults, wrap } = faulty();
    const parts = makeReset({ wrap });
    const [staged, dropped] = [eventsOf(2), eventsOf(3)];
    parts.shard.append(staged);
    faults.push("after");
    expect(await parts.flush()).toMatchObject({ remaining: 2 });
    parts.shard.append(dropped);
    expect(await parts.reset()).toMatchObject({ ok: true, events: 3, delivered_events: 2, kept_events: 0 });
    expect(parts.exported()).toEqual(dropped);
    expect(await parts.commit()).toEqual(idsOf(staged));
    expect(parts.shard.append([...staged, ...dropped])).toMatchObject({ accepted: 3, duplicates: [0, 1] });
  });

  it("is dropped where the table object has it not, which then refuses it for good", async () => {
    const { faults, wrap } = faulty();
    const parts = makeReset({ wrap });
    const events = eventsOf(2);
    parts.shard.append(events);
    faults.push("before");
    await parts.flush();
    expect(await parts.reset()).toMatchObject({ ok: true, events: 2, delivered_events: 0 });
    // The first delivery comes after all.
    const { index, name } = parts.shard.buffer.record;
    const rows = events.map((event, at) => ({ ...event, shard: name, seq: at + 1, ingestTimeUs: 0 }));
    const late = { shardIndex: index, shard: name, batch: 1, rows };
    expect(await parts.table.sink.deliver(late)).toBe("withdrawn");
    expect(await parts.commit()).toEqual([]);
    parts.shard.append(parts.exported());
    await parts.flush();
    expect(await parts.commit()).toEqual(idsOf(events));
    // Its file is an orphan now, and collected as one.
    expect(parts.table.objects.keys(DATA)).toHaveLength(2);
    parts.table.clock.nowMs += 2 * DAY_MS;
    expect(await parts.table.maintenance.expire()).toMatchObject({ ok: true, deleted_objects: 1 });
    expect(await parts.commit()).toEqual(idsOf(events));
  });

  it("is kept where it can never be known: a pipeline may have it", async () => {
    const sent: object[] = [];
    const pipeline = new PipelinesSink({
      send: async (records) => {
        sent.push(...records);
        throw new Error("the answer was lost");
      },
    });
    const parts = makeReset({ wrap: () => pipeline });
    const [tried, dropped] = [eventsOf(2), eventsOf(3)];
    parts.shard.append(tried);
    await parts.flush();
    parts.shard.append(dropped);
    expect(await parts.reset()).toMatchObject({ ok: true, events: 3, delivered_events: 0, kept_events: 2 });
    expect(parts.exported()).toEqual(dropped);
    expect(parts.restart().shard.buffer.headBatch).toMatchObject({ batch: 1, fromSeq: 1, uptoSeq: 2 });
    parts.shard.append(parts.exported());
    expect(parts.shard.buffer.bufferedEvents).toBe(5);
  });
});

describe("a reset that fails", () => {
  it.each(["before", "after", "throttled"] as const)(
    "at the bucket (%s) drops nothing, leaves no export behind, and the events are delivered once",
    async (fault) => {
      const { faults, wrap } = faulty();
      const parts = makeReset({ wrap });
      const events = eventsOf(4);
      parts.shard.append(events);
      faults.push("before");
      await parts.flush();
      parts.table.objects.fail("putIfAbsent", EXPORTS, { fault });
      await expect(parts.reset()).rejects.toThrow(/./);
      expect(parts.shard.buffer.bufferedEvents).toBe(4);
      expect(parts.exportKeys()).toEqual([]);
      // Its batch was withdrawn: under a new number it goes on.
      expect(await parts.flush()).toMatchObject({ remaining: 0, error: null });
      expect(await parts.commit()).toEqual(idsOf(events));
    },
  );

  it("at the table object, or while it finishes what is staged, drops nothing", async () => {
    for (const side of ["before", "after"] as const) {
      const { faults, wrap } = faulty();
      const parts = makeReset({
        wrap: (sink) => ({
          ...wrap(sink),
          withdraw: async (batch) => {
            if (side === "before") throw new Error("out of reach");
            const outcome = await sink.withdraw(batch);
            faults.push("before");
            return outcome;
          },
        }),
      });
      const events = eventsOf(4);
      parts.shard.append(events);
      faults.push("after");
      await parts.flush();
      await expect(parts.reset()).rejects.toThrow(/out of reach/);
      expect(parts.shard.buffer.bufferedEvents).toBe(4);
      faults.length = 0;
      await parts.flush();
      expect(await parts.commit()).toEqual(idsOf(events));
    }
  });

  it.each([0, 1, 2, 3, 4, 5])("because its process dies at statement %i: what it had is there, once", async (at) => {
    const { faults, wrap } = faulty();
    const parts = makeReset({ wrap });
    const [tried, fresh] = [eventsOf(2), eventsOf(2)];
    parts.shard.append(tried);
    faults.push("before");
    await parts.flush();
    parts.shard.append(fresh);
    parts.shard.storage.crashAfterStatements = at;
    const ended = await parts.reset().then(
      () => "done",
      () => "dead",
    );
    const again = parts.restart();
    const left = again.shard.buffer.bufferedEvents;
    expect([0, 4]).toContain(left);
    expect(ended === "dead" || left === 0).toBe(true);
    // What an operator does who finds the shard empty.
    const replayed = left === 0 ? again.shard.append(again.exported()) : { accepted: 4 };
    expect(replayed).toMatchObject({ accepted: 4 });
    expect(await again.flush()).toMatchObject({ remaining: 0, error: null });
    expect(await again.commit()).toEqual(idsOf([...tried, ...fresh]));
  });
});

describe("what comes meanwhile", () => {
  it("is kept: while the table object is asked, and while the bucket takes its time", async () => {
    const parts = makeReset();
    const before = eventsOf(3);
    parts.shard.append(before);
    const letGo = parts.table.objects.hold("putIfAbsent", EXPORTS);
    const running = parts.reset();
    await expect.poll(() => parts.table.objects.calls.some(({ key }) => EXPORTS.test(key))).toBe(true);
    const meanwhile = eventsOf(2);
    parts.shard.append(meanwhile);
    // A flush that is asked for now waits for its turn.
    const flushing = parts.flush();
    letGo();
    expect(await running).toMatchObject({ ok: true, events: 3, kept_events: 2 });
    await flushing;
    expect(idsOf(parts.exported())).toEqual(idsOf(before));
    expect(await parts.commit()).toEqual(idsOf(meanwhile));
  });

  it("of a producer makes a confirmation void; the service's own telemetry does not, and is kept", async () => {
    const parts = makeReset();
    parts.shard.append(eventsOf(3));
    const asked = await parts.resetWith(undefined);
    if (asked.ok || asked.code !== "confirmation_needed") throw new Error("nothing was asked for");
    const { name } = parts.shard.buffer.record;
    expect(asked.expected).toBe(`${name} 3`);
    parts.shard.append(eventsOf(1));
    const changed = await parts.resetWith(asked.expected);
    expect(changed).toEqual({ ok: false, code: "confirmation_needed", expected: `${name} 4` });
    parts.shard.append(eventsOf(2), true);
    expect(await parts.resetWith(`${name} 4`)).toMatchObject({ ok: true, events: 4, kept_events: 2 });
  });

  it("a flush since then makes it void, too", async () => {
    const table = makeTable();
    const parts = makeReset({}, table);
    parts.shard.append(eventsOf(3));
    const asked = await parts.resetWith("");
    if (asked.ok || asked.code !== "confirmation_needed") throw new Error("nothing was asked for");
    await parts.flush();
    expect(await parts.resetWith(asked.expected)).toMatchObject({ ok: false, code: "confirmation_needed" });
  });
});
