/**
 * The cost model's counts against what SQLite says of the same streams, from start to end of life.
 *
 * Tolerance: 5 % or one row of each kind; 15 % of hand-overs, whose second is a timer and not a rule.
 */
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";

import {
  ShardStore,
  type NewAppend,
  type SealedBatch,
  type ShardRecord,
} from "../../durable-objects/analytics/shard-store.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { NO_RELIEF } from "../../protocol/relief.ts";
import { DEFAULT_SHAPE } from "../../scripts/cost-model/stream-shape.ts";
import { usageOf } from "../../scripts/cost-model/stream-usage.ts";
import { readConfig } from "../../workers/config.ts";
import { countingPort, liveCounted, noRows, type CountedLife } from "./counted-stream.ts";

const ROWS_TOLERANCE = 0.05;
const TELEMETRY_TOLERANCE = 0.15;
const GATHER_MS = 1000;

afterEach(async () => {
  await reset();
});

interface Case {
  readonly durationSec: number;
  readonly eventsPerSec: number;
  readonly dataBytes: number;
  readonly commitIntervalMs: number;
  readonly bufferMaxEvents: number;
  readonly isFolded: boolean;
  readonly isArchived: boolean;
  readonly lateResumes: number;
}

const KEPT = { isFolded: false, isArchived: false, lateResumes: 0 };
const PLAIN = { dataBytes: 200, commitIntervalMs: 1000, bufferMaxEvents: 256, ...KEPT };
const CASES: readonly Case[] = [
  { durationSec: 10, eventsPerSec: 5, ...PLAIN },
  { durationSec: 30, eventsPerSec: 50, ...PLAIN },
  { durationSec: 120, eventsPerSec: 20, ...PLAIN },
  { durationSec: 120, eventsPerSec: 200, ...PLAIN },
  { durationSec: 600, eventsPerSec: 5, ...PLAIN },
  { durationSec: 600, eventsPerSec: 50, ...PLAIN },
  { durationSec: 45, eventsPerSec: 30, dataBytes: 2000, commitIntervalMs: 4000, bufferMaxEvents: 100, ...KEPT },
  { durationSec: 90, eventsPerSec: 0.5, dataBytes: 20, commitIntervalMs: 250, bufferMaxEvents: 256, ...KEPT },
  // A row holds more than the buffer does.
  { durationSec: 40, eventsPerSec: 100, dataBytes: 20, commitIntervalMs: 3000, bufferMaxEvents: 50, ...KEPT },
  { durationSec: 30, eventsPerSec: 50, ...PLAIN, isFolded: true },
  { durationSec: 120, eventsPerSec: 5, ...PLAIN, isFolded: true },
  { durationSec: 120, eventsPerSec: 200, ...PLAIN, isFolded: true },
  { durationSec: 600, eventsPerSec: 20, ...PLAIN, isFolded: true },
  { durationSec: 600, eventsPerSec: 50, ...PLAIN, isFolded: true },
  // A step reads less than the buffer holds.
  { durationSec: 60, eventsPerSec: 20, ...PLAIN, dataBytes: 900, isFolded: true },
  { durationSec: 10, eventsPerSec: 20, ...PLAIN, lateResumes: 3 },
  { durationSec: 45, eventsPerSec: 50, ...PLAIN, isArchived: true },
  { durationSec: 100, eventsPerSec: 20, ...PLAIN, isArchived: true, lateResumes: 2 },
  { durationSec: 100, eventsPerSec: 20, ...PLAIN, isFolded: true, isArchived: true, lateResumes: 2 },
  { durationSec: 20, eventsPerSec: 5, ...PLAIN, isFolded: true, isArchived: true, lateResumes: 1 },
];

const FOLD: FoldRule = { paths: ["$.delta"] };

/** Like a model's: a few characters of text, and much around them that is always the same. */
function dataOf({ dataBytes, isFolded }: Case): string {
  if (!isFolded) return "x".repeat(dataBytes);
  const bare = JSON.stringify({ id: "", delta: " word" });
  return JSON.stringify({ id: "x".repeat(dataBytes - bare.length), delta: " word" });
}

async function live(plan: Case): Promise<CountedLife> {
  const reading = readConfig({ ...env });
  if (!reading.ok) throw new Error("the configuration is at fault");
  const { durationSec, eventsPerSec, commitIntervalMs, bufferMaxEvents, lateResumes } = plan;
  const data = dataOf(plan);
  const relief = plan.isFolded ? { ...NO_RELIEF, fold: FOLD } : NO_RELIEF;
  const settings = { ...reading.config.settings, commitIntervalMs, bufferMaxEvents, archives: plan.isArchived };
  return runInDurableObject(env.REQUEST_STREAM.getByName("counted"), (_, state) =>
    liveCounted(state.storage, { durationSec, eventsPerSec, data, settings, relief, lateResumes }),
  );
}

/** @returns what is further from its prediction than the tolerance, or than one where that is more */
function findFar(counts: Readonly<Record<string, readonly [counted: number, predicted: number]>>, tolerance: number) {
  return Object.entries(counts)
    .filter(([, [counted, predicted]]) => Math.abs(counted - predicted) > Math.max(1, tolerance * predicted))
    .map(([what, [counted, predicted]]) => `${what}: counted ${counted}, predicted ${predicted}`);
}

describe.each(CASES)(
  "$durationSec s, $eventsPerSec events/s of $dataBytes bytes, folded: $isFolded, archived: $isArchived, late: $lateResumes",
  (plan) => {
    it("writes the rows that the cost model predicts, kind by kind", async () => {
      const { rows, alarmRuns } = usageOf({ ...DEFAULT_SHAPE, ...plan });
      const life = await live(plan);
      expect([life.tables, life.records, life.other]).toEqual([rows.tables, rows.records, 0]);
      const counts = {
        segments: [life.segments + life.overwrites, rows.segments + rows.folds + rows.broughtBack],
        deletes: [life.deletes, rows.deletes],
        alarms: [life.alarms, rows.alarms],
        "alarms gone off": [life.alarmRuns, alarmRuns],
      } as const;
      expect(findFar(counts, ROWS_TOLERANCE)).toEqual([]);
    });

    it("tells of itself as much as the cost model predicts", async () => {
      const { telemetry } = usageOf({ ...DEFAULT_SHAPE, ...plan });
      const { toldAtMs } = await live(plan);
      const counts = {
        events: [toldAtMs.length, telemetry.events],
        "hand-overs": [countHandOvers(toldAtMs), telemetry.handOvers],
      } as const;
      expect(findFar(counts, TELEMETRY_TOLERANCE)).toEqual([]);
    });
  },
);

it("a hand-over costs a shard three rows: written, emptied, deleted", async () => {
  const life = await runInDurableObject(env.EVENT_BUFFER_DO.getByName("counted"), (_, state) => {
    const counted = noRows();
    const store = new ShardStore(countingPort(state.storage, counted));
    const record: ShardRecord = {
      index: 0,
      name: "0-0",
      dedupSeed: 1,
      nextBatch: 1,
      isRegistered: true,
      lastFlushAtMs: undefined,
      lastError: undefined,
      attempts: 0,
      nextAttemptAtMs: undefined,
      fillMark: 0,
    };
    store.create(record);
    store.append([appendAt(1), appendAt(3)], { firstSeqs: [], forgottenBelow: undefined });
    store.finish({ batch: BATCH, deadLetters: [], windowStart: 1, newestRow: 3, record });
    store.append([appendAt(5)], { firstSeqs: [1, 3], forgottenBelow: undefined });
    return counted;
  });
  // The third append has its life before it.
  expect(life.appends).toBe(2 * 3 + 1);
});

const BATCH: SealedBatch = { batch: 1, fromSeq: 1, uptoSeq: 4, eventCount: 4, byteSize: 20, oldestAtMs: 0 };

function appendAt(firstSeq: number): NewAppend {
  return {
    firstSeq,
    eventCount: 2,
    byteSize: 10,
    dayCount: 1,
    firstDay: 1,
    appendedAtMs: 0,
    isRiding: false,
    fingerprints: new Uint8Array(32),
    payload: new Uint8Array(10),
  };
}

/** The first event after a pause begins a gathering, which then takes along what comes within its second. */
function countHandOvers(toldAtMs: readonly number[]): number {
  let handOvers = 0;
  let untilMs = Number.NEGATIVE_INFINITY;
  for (const atMs of toldAtMs) {
    if (atMs <= untilMs) continue;
    handOvers++;
    untilMs = atMs + GATHER_MS;
  }
  return handOvers;
}
