/**
 * A flush delivers what was buffered when it was asked for, one at a time, and lets nothing go before it
 * is delivered.
 */
import { describe, expect, it } from "vitest";

import type { Batch, BatchSink, Delivery, PoisonRow } from "../../durable-objects/analytics/batch-sink.ts";
import { createClock, eventOf, eventsOf, makeShard, START_MS } from "../fixtures/lake-parts.ts";

/** Keeps what it is given; fails, poisons or waits as told. */
class KeepingSink implements Pick<BatchSink, "deliver"> {
  readonly batches: Batch[] = [];
  failures = 0;
  isPoison: (id: string) => boolean = () => false;
  onDeliver: () => void = () => undefined;
  gate: Promise<void> = Promise.resolve();

  async deliver(batch: Batch): Promise<Delivery> {
    this.onDeliver();
    await this.gate;
    if (this.failures > 0) {
      this.failures--;
      throw new Error("the bucket\n  is out of reach");
    }
    this.batches.push(batch);
    const poison: PoisonRow[] = batch.rows
      .filter(({ id }) => this.isPoison(id))
      .map((row) => ({ row, reason: "id: not today" }));
    return { files: 1, bytes: 10 * batch.rows.length, poison };
  }

  get ids(): string[] {
    return this.batches.flatMap(({ rows }) => rows.map(({ id }) => id));
  }
}

const idsOf = (events: readonly { readonly id: string }[]) => events.map(({ id }) => id);

describe("L1 a flush", () => {
  it("delivers every event with its number, then reports and lets go", async () => {
    const clock = createClock();
    const shard = makeShard({ clock });
    const sink = new KeepingSink();
    const events = eventsOf(3);
    shard.append(events);
    clock.nowMs += 50;
    const report = await shard.createFlush(sink).flush();
    expect(report).toEqual({ shard: "0-3fa9c1d2", events: 3, files: 1, bytes: 30, remaining: 0, error: null });
    expect(sink.batches.map(({ shardIndex, shard, batch }) => ({ shardIndex, shard, batch }))).toEqual([
      { shardIndex: 0, shard: "0-3fa9c1d2", batch: 1 },
    ]);
    const [row] = sink.batches[0]?.rows ?? [];
    expect(row).toEqual({ ...events[0], ingestTimeUs: START_MS * 1000, shard: "0-3fa9c1d2", seq: 1 });
    expect(shard.told.map(({ event }) => event)).toEqual(["BufferFlushStarted", "BufferFlushSucceeded"]);
  });

  it("does and tells nothing where nothing is buffered", async () => {
    const shard = makeShard();
    const sink = new KeepingSink();
    expect(await shard.createFlush(sink).flush()).toMatchObject({ events: 0, error: null });
    expect(sink.batches).toEqual([]);
    expect(shard.told).toEqual([]);
  });

  it("delivers the same batch again where storage would not let it go, or the process died", async () => {
    const shard = makeShard();
    const events = eventsOf(2);
    shard.append(events);
    const sink = new KeepingSink();
    sink.onDeliver = () => (shard.storage.shouldFail = (kind) => kind === "write");
    expect(await shard.createFlush(sink).flush()).toMatchObject({ remaining: 2, error: expect.stringMatching(/FULL/) });
    sink.onDeliver = () => undefined;
    const again = shard.restart();
    expect(await again.createFlush(sink).flush()).toMatchObject({ events: 2, remaining: 0, error: null });
    expect(sink.batches.map(({ batch }) => batch)).toEqual([1, 1]);
    expect(sink.batches[1]).toEqual(sink.batches[0]);
  });

  it("covers what was buffered when it was asked for, not what keeps coming", async () => {
    const shard = makeShard();
    const first = eventsOf(2);
    shard.append(first);
    const sink = new KeepingSink();
    sink.onDeliver = () => void shard.append(eventsOf(1));
    expect(await shard.createFlush(sink).flush()).toMatchObject({ events: 2, remaining: 1 });
    expect(sink.ids).toEqual(idsOf(first));
  });

  it("goes on over as many batches as it takes", async () => {
    const shard = makeShard();
    for (let call = 0; call < 3; call++) shard.append(eventsOf(9000));
    const sink = new KeepingSink();
    expect(await shard.createFlush(sink).flush()).toMatchObject({ events: 27_000, remaining: 0 });
    expect(sink.batches.length).toBeGreaterThan(1);
    expect(new Set(sink.ids).size).toBe(27_000);
  });
});

describe("several callers", () => {
  it("share one more flush, which covers what they saw buffered", async () => {
    const shard = makeShard();
    const sink = new KeepingSink();
    const gate = Promise.withResolvers<void>();
    sink.gate = gate.promise;
    const flush = shard.createFlush(sink);
    shard.append(eventsOf(1));
    const first = flush.flush();
    expect(flush.isRunning).toBe(true);
    const later = eventsOf(2);
    shard.append(later);
    const second = flush.flush();
    expect(flush.flush()).toBe(second);
    gate.resolve();
    expect(await first).toMatchObject({ events: 1 });
    expect(await second).toMatchObject({ events: 2, remaining: 0 });
    expect(flush.isRunning).toBe(false);
  });

  it("never have two flushes at once, also where one asks again the moment its own is over", async () => {
    const shard = makeShard();
    const sink = new KeepingSink();
    let atOnce = 0;
    let most = 0;
    const deliver = sink.deliver.bind(sink);
    sink.deliver = async (batch) => {
      most = Math.max(most, ++atOnce);
      const delivery = await deliver(batch);
      atOnce--;
      return delivery;
    };
    const flush = shard.createFlush(sink);
    const events = eventsOf(3);
    const [one, two, three] = events;
    if (one === undefined || two === undefined || three === undefined) throw new Error("three were asked for");
    shard.append([one]);
    const asksAgain = flush.flush().then(() => {
      shard.append([three]);
      return flush.flush();
    });
    shard.append([two]);
    await Promise.all([asksAgain, flush.flush()]);
    await flush.flush();
    expect(most).toBe(1);
    expect(sink.ids).toEqual(idsOf(events));
    expect(shard.buffer.status(START_MS)).toMatchObject({ events: 0, pending_batches: 0 });
  });
});

describe("a failing sink", () => {
  it("is tried again after a delay that doubles, with jitter, and is forgotten with a success", async () => {
    const clock = createClock();
    const shard = makeShard({ clock });
    const sink = new KeepingSink();
    const flush = shard.createFlush(sink);
    shard.append(eventsOf(1));
    const delays: number[] = [];
    sink.failures = 12;
    for (let attempt = 1; attempt <= 12; attempt++) {
      expect(await flush.flush()).toMatchObject({ remaining: 1, error: "the bucket is out of reach" });
      delays.push((shard.buffer.flushDueAtMs(clock.nowMs) ?? 0) - clock.nowMs);
    }
    for (const [at, delay] of delays.entries()) {
      const ceiling = Math.min(300_000, 1000 * 2 ** at);
      expect(delay).toBeGreaterThanOrEqual(ceiling / 2);
      expect(delay).toBeLessThanOrEqual(ceiling);
    }
    expect(new Set(delays.slice(-3)).size).toBe(3);
    expect(shard.restart().buffer.status(START_MS)).toMatchObject({ last_error: "the bucket is out of reach" });
    expect(shard.told.filter(({ event }) => event === "BufferFlushFailed").at(-1)).toMatchObject({
      batch: 1,
      attempts: 12,
      retry_ms: delays.at(-1),
    });
    expect(await flush.flush()).toMatchObject({ remaining: 0, error: null });
    expect(shard.buffer.status(START_MS)).toMatchObject({ last_error: null, next_attempt_at: null });
    expect(shard.buffer.record.attempts).toBe(0);
  });

  it("never makes a flush throw, also where storage refuses to keep the failure itself", async () => {
    const shard = makeShard();
    shard.append(eventsOf(1));
    shard.storage.shouldFail = (kind) => kind === "write";
    const flush = shard.createFlush(new KeepingSink());
    const both = await Promise.all([flush.flush(), flush.flush()]);
    for (const report of both) expect(report).toMatchObject({ remaining: 1, error: expect.stringMatching(/FULL/) });
    // The delay counts all the same, while the process lives.
    expect(shard.buffer.flushDueAtMs(START_MS)).toBeGreaterThan(START_MS);
    shard.storage.shouldFail = () => false;
    expect(await flush.flush()).toMatchObject({ remaining: 0, error: null });
  });
});

describe("what cannot be delivered", () => {
  it("becomes a dead letter with its reason and attempts, and the others are delivered", async () => {
    const shard = makeShard();
    const [sound, poison] = [eventOf(), eventOf()];
    shard.append([sound, poison]);
    const sink = new KeepingSink();
    sink.failures = 2;
    sink.isPoison = (id) => id === poison.id;
    const flush = shard.createFlush(sink);
    for (let attempt = 0; attempt < 3; attempt++) await flush.flush();
    const [letter, ...more] = shard.store.letters.list(10);
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ reason: "id: not today", attempts: 3, atMs: START_MS });
    expect(JSON.parse(letter?.event ?? "")).toMatchObject({ id: poison.id, seq: 2, tenant: "acme" });
    expect(shard.restart().buffer.deadLetterCount).toBe(1);
    expect(shard.told).toContainEqual({
      event: "DeadLettered",
      shard: "0-3fa9c1d2",
      events: 1,
      reason: "id: not today",
    });
  });

  it("is kept whole where the row is damaged, and does not hold up what is behind it", async () => {
    const shard = makeShard();
    const [damaged, sound] = [eventOf(), eventOf()];
    shard.append([damaged]);
    shard.append([sound]);
    const [stored] = shard.storage.port.exec("SELECT payload FROM append WHERE first_seq = 1").toArray();
    const payload = stored?.["payload"];
    if (!(payload instanceof ArrayBuffer)) throw new Error("no payload");
    const bytes = new Uint8Array(payload).slice(0, -3);
    bytes[0] = 0x21;
    shard.storage.port.exec("UPDATE append SET payload = ? WHERE first_seq = 1", bytes);
    const sink = new KeepingSink();
    expect(await shard.createFlush(sink).flush()).toMatchObject({ events: 2, remaining: 0, error: null });
    expect(sink.ids).toEqual([sound.id]);
    const [letter] = shard.store.letters.list(10);
    expect(letter?.reason).toBe("unreadable append row");
    expect(letter?.event).toContain(damaged.id);
  });
});
