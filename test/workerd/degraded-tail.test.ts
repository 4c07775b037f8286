/**
 * What a buffer keeps in memory while storage refuses, and what it says of the rest.
 *
 * B4 holds there too: the lowest priority gives way first, the oldest first within it.
 */
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";

import { HOT_TAIL_MAX_BYTES } from "../../protocol/limits.ts";
import { NO_RELIEF, type ReliefPolicy } from "../../protocol/relief.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { readConfig } from "../../workers/config.ts";
import { FaultyLife, FaultyStorage } from "./faulty-stream.ts";
import { readTold } from "./told-truth.ts";

const EVENTS = 200;
const EVENT_CHARS = 1000;
const NAMES = ["token", "token", "debug", "token", "result", "debug", "token", "token", "token", "stage"] as const;

afterEach(async () => {
  await reset();
});

const TEXTS = Array.from({ length: EVENTS }, (_, at) => `<${at + 1}>`.padEnd(EVENT_CHARS, "."));

function nameOf(seq: number): string {
  return NAMES[seq % NAMES.length] ?? "token";
}

function append(life: FaultyLife, firstSeq: number, lastSeq: number): void {
  for (let seq = firstSeq; seq <= lastSeq; seq++) {
    const event: SourceEvent = { event: nameOf(seq), data: JSON.stringify({ t: TEXTS[seq - 1] }), retryMs: undefined };
    life.append(event);
  }
}

function onObject(
  work: (storage: FaultyStorage, begin: (maxEvents: number, relief?: ReliefPolicy) => FaultyLife) => void,
): Promise<void> {
  return runInDurableObject(env.REQUEST_STREAM.getByName("tail"), (_, state) => {
    const reading = readConfig({ ...env });
    if (!reading.ok) throw new Error("the configuration is at fault");
    const { settings } = reading.config;
    const storage = new FaultyStorage(state.storage);
    work(storage, (bufferMaxEvents, relief = NO_RELIEF) => {
      return new FaultyLife(storage, { settings: { ...settings, bufferMaxEvents }, relief });
    });
  });
}

test("B4 the tail in memory gives up the lowest priority first, the oldest first within it", async () => {
  await onObject((storage, begin) => {
    storage.refuseAll("write");
    const life = begin(256);
    append(life, 1, EVENTS);
    expect(life.session.status().retained_bytes).toBeLessThanOrEqual(HOT_TAIL_MAX_BYTES);
    const { received, gaps } = readTold(life.attach("0-0", "replay").text, TEXTS);
    expect(new Set(gaps.map(({ reason }) => reason))).toEqual(new Set(["storage_lost"]));
    const all = Array.from({ length: EVENTS }, (_, at) => at + 1);
    const gone = (name: string) => all.filter((seq) => nameOf(seq) === name && !received.includes(seq));
    const kept = (name: string) => received.filter((seq) => nameOf(seq) === name);
    expect([gone("stage"), gone("result"), kept("debug")]).toEqual([[], [], []]);
    expect(kept("token").length).toBeGreaterThan(0);
    expect(Math.max(...gone("token"))).toBeLessThan(Math.min(...kept("token")));
  });
});

test("what was committed before the outage is read meanwhile, and what is left of the tail is there afterwards", async () => {
  await onObject((storage, begin) => {
    const life = begin(256);
    append(life, 1, 40);
    life.pass(2000);
    storage.refuseAll("write");
    append(life, 41, EVENTS);
    const meanwhile = life.attach("0-0", "replay");
    const during = readTold(meanwhile.text, TEXTS);
    expect([meanwhile.hadToken, during.tokens, during.notices[0]]).toEqual([false, 0, "degraded"]);
    expect(during.received.slice(0, 40)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));

    storage.heal();
    life.pass(2000);
    expect(life.degradations()).toEqual([true, false]);
    const after = readTold(life.attach("0-0", "replay").text, TEXTS);
    expect([after.tokens, after.received]).toEqual([1, during.received]);
    life.finish();
    expect(life.restart()).toBe(true);
    const restarted = readTold(life.attach("0-0").text, TEXTS);
    expect([restarted.received, restarted.gaps]).toEqual([during.received, during.gaps]);
  });
});

test("a gap says which it was: gave way to the limits, or lost with storage", async () => {
  await onObject((storage, begin) => {
    const life = begin(150);
    append(life, 1, 180);
    life.pass(2000);
    const before = readTold(life.attach("0-0", "replay").text, TEXTS);
    expect(new Set(before.gaps.map(({ reason }) => reason))).toEqual(new Set(["buffer_trimmed"]));
    // One segment cannot be read back, once.
    storage.refuses = ({ query }) => storage.refusals === 0 && query.startsWith("SELECT payload");
    const lost = readTold(life.attach("1-100", "replay").text, TEXTS, 100).gaps.find(({ from }) => from > 100);
    expect(lost?.reason).toBe("storage_lost");
    const after = readTold(life.attach("0-0", "replay").text, TEXTS);
    const reasons = after.gaps.map(({ to, reason }) => [reason, to < (lost?.from ?? 0)]);
    expect(reasons).toContainEqual(["buffer_trimmed", true]);
    expect(reasons).toContainEqual(["storage_lost", false]);
    expect(reasons).not.toContainEqual(["storage_lost", true]);
  });
});

test("degraded with nothing left to write, a stream still finds storage back", async () => {
  await onObject((storage, begin) => {
    const life = begin(256, { ...NO_RELIEF, fold: { paths: ["$.t"] } });
    append(life, 1, 30);
    life.finish();
    storage.refuseAll("write");
    // All there is, is stored; a fold on its way to the archive is refused its place.
    life.session.archiving.foldFurther(life.nowMs);
    expect(life.session.isDegraded).toBe(true);
    life.pass(3000);
    expect(life.session.isDegraded).toBe(true);
    storage.heal();
    life.pass(3000);
    expect([life.session.isDegraded, life.degradations()]).toEqual([false, [true, false]]);
    const late = life.attach("1-3");
    expect([late.hadToken, readTold(late.text, TEXTS, 3).received.length]).toEqual([true, 27]);
  });
});

test("full storage that takes a record and refuses the events: rather nothing is kept than a stream without them", async () => {
  await onObject((storage, begin) => {
    storage.refuseAll("write");
    const life = begin(256);
    append(life, 1, 20);
    storage.refuses = ({ query }) => query.includes("INTO segment");
    life.finish();
    expect([life.session.isDegraded, life.restart()]).toEqual([true, false]);
  });
});
