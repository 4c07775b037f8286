/**
 * What a shard takes, keeps and gives to a flush, also where storage refuses and after every restart.
 */
import { describe, expect, it } from "vitest";

import { BATCH_MAX_BYTES, BATCH_MAX_EVENTS } from "../../durable-objects/analytics/batch-plan.ts";
import { DEDUP_WINDOW_EVENTS } from "../../durable-objects/analytics/taken-events.ts";
import {
  createClock,
  DAY_MS,
  eventOf,
  eventsOf,
  makeShard,
  START_MS,
  type ShardParts,
} from "../fixtures/lake-parts.ts";

const AGE_MS = 30_000;
const AT_MOST = Number.MAX_SAFE_INTEGER;

/** Everything a caller can see of the buffer. */
function view({ buffer }: ShardParts, nowMs: number = START_MS) {
  return { ...buffer.status(nowMs), lastSeq: buffer.lastSeq, dueAtMs: buffer.flushDueAtMs(nowMs) };
}

function deliverAll({ buffer }: ShardParts, nowMs: number = START_MS): number {
  let batches = 0;
  for (let batch = buffer.nextBatch(AT_MOST); batch !== undefined; batch = buffer.nextBatch(AT_MOST)) {
    buffer.finish(batch, [], nowMs);
    batches++;
  }
  return batches;
}

/** First seqs of the append rows that storage holds. */
function rowsOf({ storage }: ShardParts): number[] {
  return storage.query("SELECT first_seq FROM append ORDER BY first_seq").map((row) => Number(row["first_seq"]));
}

describe("L1 taking events", () => {
  it("acknowledges what a restart finds again, in the order it came", () => {
    const shard = makeShard();
    const events = eventsOf(3);
    expect(shard.append(events)).toEqual({ ok: true, accepted: 3, duplicates: [] });
    const { buffer, store } = shard.restart();
    expect(buffer.bufferedEvents).toBe(3);
    const batch = buffer.nextBatch(AT_MOST);
    if (batch === undefined) throw new Error("nothing to deliver");
    const texts = store.readPayloads(batch).map(({ payload }) => new TextDecoder().decode(payload));
    for (const { id } of events) expect(texts.join("\n")).toContain(id);
  });

  it("acknowledges nothing that storage refuses, and then is as it was before", () => {
    const shard = makeShard();
    shard.append(eventsOf(2));
    const before = view(shard);
    const refused = eventsOf(5);
    shard.storage.shouldFail = (kind) => kind === "write";
    expect(() => shard.append(refused)).toThrow(/SQLITE_FULL/);
    expect(view(shard)).toEqual(before);
    shard.storage.shouldFail = () => false;
    // Nor are they remembered as taken.
    expect(shard.append(refused)).toEqual({ ok: true, accepted: 5, duplicates: [] });
  });

  it.each([1, 2, 3])("keeps all rows of a call or none, where the process dies at statement %i", (statements) => {
    const shard = makeShard();
    const call = eventsOf(3, { data: `"${"x".repeat(300_000)}"` });
    shard.storage.crashAfterStatements = statements - 1;
    expect(() => shard.append(call)).toThrow("dies here");
    const after = shard.restart();
    expect(after.buffer.bufferedEvents).toBe(0);
    expect(after.append(call)).toMatchObject({ accepted: 3 });
  });

  it("keeps a batch until it is finished, and its payload no longer", () => {
    const shard = makeShard();
    shard.append(eventsOf(2));
    const batch = shard.buffer.nextBatch(AT_MOST);
    if (batch === undefined) throw new Error("nothing to deliver");
    expect(shard.restart().buffer.nextBatch(AT_MOST)).toEqual(batch);
    shard.buffer.finish(batch, [], START_MS);
    expect(shard.store.readPayloads(batch)).toEqual([]);
    expect(shard.restart().buffer.status(START_MS)).toMatchObject({ events: 0, bytes: 0, pending_batches: 0 });
  });

  it("keeps a batch where the process dies while it finishes", () => {
    const shard = makeShard();
    shard.append(eventsOf(2));
    const batch = shard.buffer.nextBatch(AT_MOST);
    if (batch === undefined) throw new Error("nothing to deliver");
    for (const statements of [0, 1, 2]) {
      const again = shard.restart();
      again.storage.crashAfterStatements = statements;
      expect(() => again.buffer.finish(batch, [], START_MS)).toThrow("dies here");
      expect(shard.restart().buffer.nextBatch(AT_MOST)).toEqual(batch);
      expect(shard.restart().store.readPayloads(batch)).toHaveLength(1);
    }
  });
});

describe("L2 numbers", () => {
  it("are never used again, whichever step the process was restarted after", () => {
    let shard = makeShard();
    const seqs: number[] = [];
    const batches: number[] = [];
    for (let round = 0; round < 4; round++) {
      shard.append(eventsOf(3));
      seqs.push(shard.buffer.lastSeq);
      shard = shard.restart();
      shard.append(eventsOf(1), true);
      seqs.push(shard.buffer.lastSeq);
      const batch = shard.buffer.nextBatch(AT_MOST);
      shard = shard.restart();
      if (batch === undefined || shard.buffer.nextBatch(AT_MOST)?.batch !== batch.batch) throw new Error("batch lost");
      batches.push(batch.batch);
      shard.buffer.finish(batch, [], START_MS);
      shard = shard.restart();
    }
    expect(seqs).toEqual([3, 4, 7, 8, 11, 12, 15, 16]);
    expect(batches).toEqual([1, 2, 3, 4]);
  });

  it("of a batch that a dying process was about to seal are not lost to another batch", () => {
    const shard = makeShard();
    shard.append(eventsOf(2));
    shard.storage.crashAfterStatements = 1;
    expect(() => shard.buffer.nextBatch(AT_MOST)).toThrow("dies here");
    expect(shard.restart().buffer.nextBatch(AT_MOST)).toMatchObject({ batch: 1, fromSeq: 1, uptoSeq: 2 });
  });

  it("go on with the last row where all others have left", () => {
    const shard = makeShard();
    for (let round = 0; round < 5; round++) {
      shard.append(eventsOf(1));
      shard.append(eventsOf(1), true);
      deliverAll(shard);
    }
    const again = shard.restart();
    again.append(eventsOf(1));
    expect(again.buffer.lastSeq).toBe(11);
  });
});

describe("L3 when a flush is due", () => {
  it("is the oldest event's age, whatever comes later, also after a restart", () => {
    const clock = createClock();
    let shard = makeShard({ clock, settings: { flushAgeMs: AGE_MS } });
    expect(shard.buffer.flushDueAtMs(clock.nowMs)).toBeUndefined();
    for (let second = 0; second < 25; second++) {
      clock.nowMs = START_MS + second * 1000;
      shard.append(eventsOf(1));
      if (second % 5 === 4) shard = shard.restart();
      expect(shard.buffer.flushDueAtMs(clock.nowMs)).toBe(START_MS + AGE_MS);
    }
  });

  it("is at once with enough events, or enough bytes", () => {
    const byCount = makeShard({ settings: { flushEvents: 4, flushAgeMs: AGE_MS } });
    byCount.append(eventsOf(3));
    expect(byCount.buffer.flushDueAtMs(START_MS + 5)).toBe(START_MS + AGE_MS);
    byCount.append(eventsOf(1));
    expect(byCount.buffer.flushDueAtMs(START_MS + 5)).toBe(START_MS + 5);

    const byBytes = makeShard({ settings: { flushEvents: 1000, flushAgeMs: AGE_MS } });
    const data = `"${"x".repeat(1_000_000)}"`;
    byBytes.append(eventsOf(8, { data }));
    expect(byBytes.buffer.flushDueAtMs(START_MS)).toBe(START_MS + AGE_MS);
    byBytes.append(eventsOf(8, { data }));
    expect(byBytes.buffer.flushDueAtMs(START_MS)).toBe(START_MS);
  });

  it("is at once with a sealed batch, but never before a failure's delay is over", () => {
    const shard = makeShard();
    shard.append(eventsOf(1));
    shard.buffer.nextBatch(AT_MOST);
    expect(shard.buffer.flushDueAtMs(START_MS)).toBe(START_MS);
    shard.buffer.noteFailure("no", START_MS + 700);
    expect(shard.restart().buffer.flushDueAtMs(START_MS)).toBe(START_MS + 700);
  });

  it("is never for riding events alone, which go with the next flush", () => {
    const shard = makeShard({ settings: { flushEvents: 2 } });
    shard.append(eventsOf(5), true);
    expect(shard.buffer.flushDueAtMs(START_MS)).toBeUndefined();
    expect(shard.restart().buffer.flushDueAtMs(START_MS)).toBeUndefined();
    shard.append(eventsOf(1));
    expect(shard.buffer.flushDueAtMs(START_MS)).toBe(START_MS);
    expect(shard.buffer.nextBatch(AT_MOST)?.eventCount).toBe(6);
  });
});

describe("a full shard", () => {
  it("takes all of a call or nothing, and says when to come back", () => {
    const shard = makeShard({ settings: { shardMaxEvents: 10 } });
    expect(shard.append(eventsOf(8))).toMatchObject({ ok: true });
    expect(shard.append(eventsOf(3))).toEqual({ ok: false, code: "buffer_full", retryAfterSec: 5 });
    expect(shard.buffer.bufferedEvents).toBe(8);
    expect(shard.append(eventsOf(2))).toMatchObject({ ok: true });
    shard.buffer.noteFailure("no", START_MS + 42_001);
    expect(shard.append(eventsOf(1))).toEqual({ ok: false, code: "buffer_full", retryAfterSec: 43 });
  });

  it("still recognises what it has, and takes again once a batch has left", () => {
    const shard = makeShard({ settings: { shardMaxEvents: 2 } });
    const known = eventsOf(2);
    shard.append(known);
    expect(shard.append(known)).toEqual({ ok: true, accepted: 0, duplicates: [0, 1] });
    expect(shard.append(eventsOf(1))).toMatchObject({ ok: false });
    deliverAll(shard);
    expect(shard.append(eventsOf(1))).toMatchObject({ ok: true });
  });

  it("is full by the bytes of its rows, not by the most they might take", () => {
    const shard = makeShard({ settings: { shardMaxBytes: 1000 } });
    expect(shard.append([eventOf({ data: `"${"x".repeat(600)}"` })])).toMatchObject({ ok: true });
    const { bytes } = shard.buffer.status(START_MS);
    const wide = eventOf({ data: `"${"€".repeat(200)}"` });
    expect(bytes + 600).toBeGreaterThan(1000);
    expect(shard.append([wide])).toMatchObject({ ok: false });
    expect(shard.append([eventOf({ data: `"${"x".repeat(100)}"` })])).toMatchObject({ ok: true });
    expect(shard.buffer.fillRate).toBeLessThanOrEqual(1);
  });

  it("counts every part of an event, not only what is longest as a rule", () => {
    const shard = makeShard({ settings: { shardMaxBytes: 1000 } });
    const long = "x".repeat(1000);
    for (const part of ["id", "source", "type", "subject", "requestId", "data", "extensions"]) {
      expect(shard.append([eventOf({ [part]: long })])).toMatchObject({ ok: false });
    }
  });
});

describe("a batch", () => {
  it("holds at most 20,000 events, in whole rows", () => {
    const shard = makeShard();
    for (let call = 0; call < 5; call++) shard.append(eventsOf(9000));
    const counts: number[] = [];
    for (let batch = shard.buffer.nextBatch(AT_MOST); batch !== undefined; batch = shard.buffer.nextBatch(AT_MOST)) {
      counts.push(batch.eventCount);
      shard.buffer.finish(batch, [], START_MS);
    }
    expect(counts.every((count) => count <= BATCH_MAX_EVENTS)).toBe(true);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(45_000);
    expect(counts.length).toBeLessThanOrEqual(4);
  });

  it("holds at most 8 MB, and its numbers follow without a gap", () => {
    const shard = makeShard();
    for (let call = 0; call < 30; call++) shard.append(eventsOf(1, { data: `"${"x".repeat(900_000)}"` }));
    let upto = 0;
    for (let batch = shard.buffer.nextBatch(AT_MOST); batch !== undefined; batch = shard.buffer.nextBatch(AT_MOST)) {
      expect(batch.byteSize).toBeLessThanOrEqual(BATCH_MAX_BYTES);
      expect(batch.fromSeq).toBe(upto + 1);
      upto = batch.uptoSeq;
      shard.buffer.finish(batch, [], START_MS);
    }
    expect(upto).toBe(30);
  });

  it("holds few enough days, for each becomes a file", () => {
    const shard = makeShard();
    for (let call = 0; call < 5; call++) {
      shard.append(Array.from({ length: 90 }, (_, day) => eventOf({ timeUs: (START_MS - day * DAY_MS) * 1000 })));
    }
    expect(shard.buffer.nextBatch(AT_MOST)?.eventCount).toBe(180);
  });

  it("ends with what was buffered when the flush was asked for", () => {
    const shard = makeShard();
    shard.append(eventsOf(2));
    const upto = shard.buffer.lastSeq;
    shard.append(eventsOf(2));
    const batch = shard.buffer.nextBatch(upto);
    expect(batch).toMatchObject({ fromSeq: 1, uptoSeq: 2 });
    if (batch !== undefined) shard.buffer.finish(batch, [], START_MS);
    expect(shard.buffer.nextBatch(upto)).toBeUndefined();
  });
});

describe("duplicates", () => {
  it("are named by their place, within a call, after it, and after a restart", () => {
    const shard = makeShard();
    const [first, second] = [eventOf(), eventOf()];
    expect(shard.append([first, second, first])).toEqual({ ok: true, accepted: 2, duplicates: [2] });
    expect(shard.append([eventOf(), second])).toEqual({ ok: true, accepted: 1, duplicates: [1] });
    deliverAll(shard);
    expect(shard.restart().append([second, eventOf(), first])).toEqual({ ok: true, accepted: 1, duplicates: [0, 2] });
  });

  it("are none where tenants differ", () => {
    const shard = makeShard();
    const event = eventOf();
    shard.append([event]);
    expect(shard.append([{ ...event, tenant: "globex" }])).toMatchObject({ accepted: 1 });
  });

  it("are forgotten with the oldest rows once the window is full, before and after a restart", () => {
    const shard = makeShard();
    const [oldest, younger] = [eventsOf(9000), eventsOf(9000)];
    shard.append(oldest);
    shard.append(younger);
    deliverAll(shard);
    for (let events = 18_000; events <= DEDUP_WINDOW_EVENTS; events += 8000) shard.append(eventsOf(8000));
    deliverAll(shard);
    const again = shard.restart();
    expect(again.append(younger.slice(-2))).toMatchObject({ accepted: 0 });
    expect(again.append(oldest.slice(0, 2))).toMatchObject({ accepted: 2 });
    // The row they were in is gone from storage as well.
    expect(rowsOf(again)[0]).toBeGreaterThan(1);
  });
});

describe("riding events", () => {
  it("that are sent again are duplicates as well", () => {
    const shard = makeShard();
    const events = eventsOf(2);
    shard.append(events, true);
    expect(shard.restart().append(events, true)).toEqual({ ok: true, accepted: 0, duplicates: [0, 1] });
  });
});

describe("events of the shard itself", () => {
  it("are remembered like all others, also once they are delivered: a replay sends them again", () => {
    const shard = makeShard();
    const own = eventsOf(2);
    shard.buffer.appendOwn(own, START_MS);
    expect(shard.append(own)).toEqual({ ok: true, accepted: 0, duplicates: [0, 1] });
    deliverAll(shard);
    expect(shard.append(own)).toMatchObject({ accepted: 0 });
    expect(shard.restart().append(own)).toMatchObject({ accepted: 0 });
  });
});

describe("a backlog of many small appends", () => {
  it("lies in memory as sealed batches, also after a restart, and leaves whole", () => {
    const shard = makeShard();
    for (let append = 0; append < 12_000; append++) shard.append(eventsOf(1));
    for (const { buffer, store } of [shard, shard.restart()]) {
      expect(buffer.status(START_MS)).toMatchObject({ events: 12_000, pending_batches: 2 });
      expect(store.load()?.open).toHaveLength(2_000);
      expect(store.load()?.window).toHaveLength(10_000);
    }
    const again = shard.restart();
    expect(deliverAll(again)).toBe(3);
    expect(again.buffer.bufferedEvents).toBe(0);
    // What is left is there for its fingerprints, and goes with them.
    expect(rowsOf(again)).toHaveLength(10_000);
    again.append(eventsOf(1));
    again.append(eventsOf(1));
    expect(rowsOf(again)).toHaveLength(10_001);
    expect(again.restart().buffer.lastSeq).toBe(12_002);
  });
});
