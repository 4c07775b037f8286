/**
 * P1, P2: whatever is exported, dropped and replayed, in whatever order and however often, an event is there once.
 */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { BatchSink } from "../../durable-objects/analytics/batch-sink.ts";
import { readPage } from "../../durable-objects/analytics/buffer-pages.ts";
import { readLetterRow } from "../../durable-objects/analytics/letter-event.ts";
import {
  DROPPED_RANGES_MAX,
  LIVES_MAX,
  PlaceStore,
  RUNS_OF_LIFE_MAX,
} from "../../durable-objects/analytics/place-store.ts";
import { exportLine } from "../../protocol/buffer-export.ts";
import type { EventPlace } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { readExportedLine } from "../../workers/replay/exported-line.ts";
import { replay } from "../../workers/replay/replay.ts";
import { eventOf, eventsOf, makeShard, START_MS } from "../fixtures/lake-parts.ts";
import { makeReset, type ResetParts } from "../fixtures/reset-parts.ts";
import { holdWindow } from "../simulation/lake/held-window.ts";
import { SimStorage } from "../simulation/sim-storage.ts";

const WINDOW_EVENTS = 5;
const POISON = "poison";

let restoreWindow: () => void;
beforeEach(() => {
  restoreWindow = holdWindow(WINDOW_EVENTS);
});
afterEach(() => restoreWindow());

/** A shard, a table that is a list, and every export that was ever made. */
class Scene {
  readonly table: string[] = [];
  readonly exports: string[][] = [];
  readonly ids = new Set<string>();
  parts: ResetParts;
  private foreignSeq = 0;

  constructor() {
    this.parts = makeReset({ wrap: () => this.sink() });
  }

  private sink(): BatchSink {
    return {
      deliver: async ({ rows }) => {
        const poison = rows.filter(({ type }) => type === POISON).map((row) => ({ row, reason: POISON }));
        this.table.push(...rows.filter(({ type }) => type !== POISON).map(({ id }) => id));
        return { files: 1, bytes: 1, poison };
      },
      withdraw: async () => "withdrawn",
    };
  }

  append(count: number, type: string): void {
    const events = eventsOf(count, { type });
    this.parts.shard.append(events);
    for (const { id } of events) this.ids.add(id);
  }

  export(): void {
    const { buffer, store } = this.parts.shard;
    const { lines } = readPage(store, buffer.record.name, { afterSeq: 0, uptoSeq: buffer.lastSeq });
    if (lines.length > 0) this.exports.push([...lines]);
  }

  /** Of another life of the shard, whose storage is gone. */
  exportOfOtherLife(count: number): void {
    const lines = eventsOf(count).map((event) => {
      this.ids.add(event.id);
      return exportLine.event({ ...event, shard: "0-ffff0000", seq: ++this.foreignSeq, ingestTimeUs: START_MS * 1000 });
    });
    this.exports.push(lines);
  }

  async reset(): Promise<void> {
    this.parts.table.clock.nowMs += 1000;
    const answer = await this.parts.reset();
    if (!answer.ok) throw new Error("no reset");
    for (const key of answer.exports) {
      const lines = (this.parts.table.objects.text(key) ?? "").trimEnd().split("\n");
      this.exports.push(lines.filter((line) => line.includes('"event":')));
    }
  }

  /** @returns ids that the lines name */
  replay(lines: readonly string[]): readonly string[] {
    const { events, places } = readLines(lines);
    const call = { events, places, isRiding: false, isReplayed: true };
    if (!this.parts.shard.buffer.append(call, START_MS).ok) throw new Error("the shard is full");
    return events.map(({ id }) => id);
  }

  restart(): void {
    this.parts = this.parts.restart();
  }

  /** How often each event is anywhere. */
  counts(): Map<string, number> {
    const { buffer, store } = this.parts.shard;
    const { lines } = readPage(store, buffer.record.name, { afterSeq: 0, uptoSeq: buffer.lastSeq });
    const letters = store.letters.list(1000).map(({ event }) => readLetterRow(event)?.id ?? "");
    const counts = new Map<string, number>();
    for (const id of [...this.table, ...letters, ...readLines(lines).events.map((event) => event.id)]) {
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return counts;
  }
}

function readLines(lines: readonly string[]) {
  const events: LakeEvent[] = [];
  const places: (EventPlace | undefined)[] = [];
  for (const line of lines) {
    const reading = readExportedLine(line);
    if (reading?.ok !== true) throw new Error(line);
    events.push(reading.event);
    places.push(reading.place);
  }
  return { events, places };
}

const some = fc.integer({ min: 1, max: 6 });
const part = fc.double({ min: 0, max: 1, noNaN: true });
const STEP = fc.oneof(
  { arbitrary: fc.record({ does: fc.constant("append" as const), count: some }), weight: 4 },
  { arbitrary: fc.record({ does: fc.constant("poison" as const) }), weight: 2 },
  {
    arbitrary: fc.record({
      does: fc.constantFrom("flush" as const, "restart" as const, "export" as const, "redrive" as const),
    }),
    weight: 6,
  },
  { arbitrary: fc.record({ does: fc.constant("reset" as const) }), weight: 3 },
  { arbitrary: fc.record({ does: fc.constant("other life" as const), count: some }), weight: 1 },
  { arbitrary: fc.record({ does: fc.constant("replay" as const), which: part, from: part, upto: part }), weight: 6 },
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

async function take(scene: Scene, step: Step): Promise<void> {
  switch (step.does) {
    case "append":
      return scene.append(step.count, "sound");
    case "poison":
      return scene.append(1, POISON);
    case "flush":
      await scene.parts.flush();
      return;
    case "redrive":
      await scene.parts.letters.redrive(undefined);
      return;
    case "restart":
      return scene.restart();
    case "export":
      return scene.export();
    case "reset":
      return scene.reset();
    case "other life":
      return scene.exportOfOtherLife(step.count);
    case "replay": {
      const lines = scene.exports[Math.floor(step.which * (scene.exports.length - 0.001))] ?? [];
      const [from = 0, upto = 0] = [step.from, step.upto].toSorted((left, right) => left - right);
      const sent = lines.slice(Math.floor(from * lines.length), Math.ceil(upto * lines.length));
      const ids = scene.replay(sent);
      const counts = scene.counts();
      const wrong = ids.filter((id) => counts.get(id) !== 1);
      if (wrong.length > 0) throw new Error(`after their replay not there once: ${wrong.join(", ")}`);
    }
  }
}

describe("an event", () => {
  it("is never there twice, and is there once after its replay: any steps, any export so far, any part of it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 40 }), fc.infiniteStream(fc.nat()), async (steps, order) => {
        const scene = new Scene();
        for (const step of steps) {
          await take(scene, step);
          for (const [id, count] of scene.counts()) expect(count, `${id} after ${step.does}`).toBe(1);
        }
        for (let times = 0; times < 2; times++) {
          const left = [...scene.exports];
          while (left.length > 0) {
            const [lines = []] = left.splice((order.next().value as number) % left.length, 1);
            scene.replay(lines);
          }
          const counts = scene.counts();
          const wrong = [...scene.ids].filter((id) => counts.get(id) !== 1);
          expect(wrong).toEqual([]);
        }
      }),
      { numRuns: 250, seed: 4711 },
    );
  });

  it("that its producer has sent again after a reset is known by its id, and later by all its places", () => {
    const scene = new Scene();
    const { shard } = scene.parts;
    const [event] = eventsOf(1);
    if (event === undefined) throw new Error("no event");
    const place = { life: shard.buffer.record.name, seq: 1 };
    shard.append([event]);
    shard.buffer.sealUpto(1);
    shard.buffer.drop(1, 1);
    expect(shard.append([event])).toMatchObject({ accepted: 1 });
    const again = { events: [event], places: [place], isRiding: false };
    expect(shard.buffer.append(again, START_MS)).toMatchObject({ accepted: 0 });
    shard.append(eventsOf(WINDOW_EVENTS));
    shard.append(eventsOf(WINDOW_EVENTS));
    expect(scene.parts.restart().shard.buffer.append(again, START_MS)).toMatchObject({ accepted: 0 });
  });

  it("whose dead letter was sent back, and then dropped, comes back by the place of before, too", async () => {
    const scene = new Scene();
    scene.append(1, POISON);
    scene.export();
    await scene.parts.flush();
    await scene.parts.letters.redrive(undefined);
    await scene.reset();
    expect(scene.counts().size).toBe(0);
    for (const lines of [...scene.exports, ...scene.exports]) {
      const [id = ""] = scene.replay(lines);
      expect(scene.counts().get(id)).toBe(1);
    }
  });

  it("is never held for another one's place that has not been given yet", () => {
    const shard = makeShard();
    const { buffer } = shard;
    const [early, own] = [eventOf(), eventOf()];
    const places = [{ life: buffer.record.name, seq: 2 }];
    expect(buffer.append({ events: [early], places, isRiding: false }, START_MS)).toMatchObject({ accepted: 1 });
    shard.append([own]);
    buffer.sealUpto(2);
    buffer.drop(1, 2);
    expect(buffer.append({ events: [own], places, isRiding: false }, START_MS)).toMatchObject({ accepted: 1 });
  });

  it("leaves neither row nor place behind where storage refuses or the process dies", () => {
    for (let statements = 0; statements < 6; statements++) {
      const shard = makeShard();
      const call = { events: [eventOf()], places: [{ life: "0-ffff0000", seq: 1 }], isRiding: false };
      shard.storage.crashAfterStatements = statements;
      expect(() => shard.buffer.append(call, START_MS), `after ${statements}`).toThrow("dies here");
      const again = shard.restart().buffer;
      expect(again.append(call, START_MS)).toMatchObject({ accepted: 1 });
      expect(again.append(call, START_MS)).toMatchObject({ accepted: 0 });
    }
  });
});

describe("a replay of more events than the window holds", () => {
  it("is all duplicates the second time, as a whole or in parts, from production's window", async () => {
    restoreWindow();
    const EVENTS = 52_000;
    const shard = makeShard({ settings: { shardMaxEvents: 4 * EVENTS, shardMaxBytes: 2 ** 30 } });
    const { buffer, store } = shard;
    for (let at = 0; at < EVENTS; at += 2000) shard.append(eventsOf(2000));
    const lines: string[] = [];
    for (let after: number | undefined = 0; after !== undefined;) {
      const page = readPage(store, buffer.record.name, { afterSeq: after, uptoSeq: EVENTS });
      lines.push(...page.lines);
      after = page.nextAfterSeq;
    }
    buffer.sealUpto(EVENTS);
    buffer.drop(1, EVENTS);
    const send = (sent: readonly string[]) =>
      replay(new TextEncoder().encode(sent.join("\n")), {
        shardCount: 1,
        appendToShard: async (call) => buffer.append(call, START_MS),
        findShards: async () => ({ indexes: [0], error: null }),
      });
    // Broken off, and begun anew.
    expect(await send(lines.slice(0, 2_000))).toMatchObject({ value: { accepted: 2_000 } });
    expect(await send(lines)).toMatchObject({ value: { accepted: EVENTS - 2_000, duplicates: 2_000 } });
    expect(await send(lines)).toMatchObject({ value: { accepted: 0, duplicates: EVENTS } });
    expect(buffer.bufferedEvents).toBe(EVENTS);
  });
});

const runOf = (life: string, seq: number, toSeq: number) => ({ life, fromSeq: seq, uptoSeq: seq, toSeq });

describe("what is remembered of places", () => {
  const LIFE = "0-3fa9c1d2";

  it("is one run where an export comes in order, however many calls it takes", () => {
    const storage = new SimStorage();
    const store = new PlaceStore(storage.port);
    store.put({ life: LIFE, newRuns: [{ life: "0-1", fromSeq: 1, uptoSeq: 2000, toSeq: 11 }] });
    store.put({ life: LIFE, newRuns: [{ life: "0-1", fromSeq: 2001, uptoSeq: 4000, toSeq: 2011 }] });
    expect(storage.query("SELECT * FROM place_run")).toMatchObject([{ from_seq: 1, upto_seq: 4000, to_seq: 11 }]);
  });

  it("is bounded by runs of a life and by lives: the oldest leave, never the own one", () => {
    const storage = new SimStorage();
    const store = new PlaceStore(storage.port);
    const newRuns = Array.from({ length: RUNS_OF_LIFE_MAX + 5 }, (_, at) => runOf(LIFE, 2 * at + 1, 3 * at + 1));
    store.put({ life: LIFE, newRuns });
    expect(store.stretchOf(LIFE, 9).run).toBeUndefined();
    expect(store.stretchOf(LIFE, 11).run).toEqual(newRuns[5]);
    for (let at = 0; at < LIVES_MAX + 2; at++) store.put({ life: LIFE, newRuns: [runOf(`0-${at}`, 1, 10 ** 6 + at)] });
    expect(store.stretchOf("0-1", 1).run).toBeUndefined();
    expect(store.stretchOf("0-2", 1).run).toBeDefined();
    expect(store.stretchOf(LIFE, 11).run).toBeDefined();
  });

  it("never shrinks of dropped seqs: where there are too many ranges, the oldest become one", () => {
    const store = new PlaceStore(new SimStorage().port);
    store.noteDropped(5, 4);
    expect(store.isUsed).toBe(false);
    for (let at = 0; at <= DROPPED_RANGES_MAX; at++) store.noteDropped(10 * at + 1, 10 * at + 5);
    store.noteDropped(10 * DROPPED_RANGES_MAX + 6, 10 * DROPPED_RANGES_MAX + 8);
    expect(store.droppedStretchOf(7)).toEqual({ fromSeq: 1, uptoSeq: 15, isDropped: true });
    expect(store.droppedStretchOf(17)).toEqual({ fromSeq: 16, uptoSeq: 20, isDropped: false });
    expect(store.droppedStretchOf(10 * DROPPED_RANGES_MAX + 8)).toMatchObject({ isDropped: true });
  });
});
