/**
 * L1, L2, X1–X4: a crash at every step between a producer's call and the table's commit. Nothing but
 * producers that send again what was not acknowledged, and alarms, brings the lake on afterwards.
 */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

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
  table,
  type SentEvent,
} from "./lake-scene.ts";
import { crashPointsOf, StepWatch, type CrashPoint } from "./lake-steps.ts";
import { IS_THOROUGH } from "../fixtures/thoroughness.ts";

const ALARM_ROUNDS = 3;
/** Longer than every deadline and every backoff of the lake. */
const LONG_MS = 600_000;

beforeEach(() => {
  // One line per step and run: nobody reads them.
  vi.spyOn(console, "log").mockImplementation(() => {});
  // Ahead of the platform's own clock, which otherwise rings alarms by itself.
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + LONG_MS });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await emptyLake();
});

type Alarmed = "shard" | "table";

class Run {
  readonly acknowledged = new Set<readonly SentEvent[]>();
  readonly batches = [makeEvents("first", 4), makeEvents("second", 4)] as const;
  /** An alarm whose handler has begun and not come back: the platform runs it again. */
  interrupted: Alarmed | undefined;

  /** A table made, two flushes, one demanded and one by alarm, and small files merged. */
  async go(): Promise<void> {
    await this.send(this.batches[0]);
    await flushAll();
    await this.send(this.batches[1]);
    vi.setSystemTime(Date.now() + LONG_MS);
    await this.wake("shard");
    await this.wake("table");
    await admin("compact");
  }

  async send(events: readonly SentEvent[]): Promise<void> {
    if ((await post(events)).status === 202) this.acknowledged.add(events);
  }

  async wake(alarmed: Alarmed): Promise<void> {
    this.interrupted = alarmed;
    await runDurableObjectAlarm(alarmed === "shard" ? shard() : table());
    this.interrupted = undefined;
  }

  /** What the platform and patient producers do. */
  async recover(): Promise<void> {
    vi.setSystemTime(Date.now() + LONG_MS);
    if (this.interrupted === "shard") await runInDurableObject(shard(), (object) => object.alarm());
    if (this.interrupted === "table") await runInDurableObject(table(), (object) => object.alarm());
    for (const batch of this.batches) if (!this.acknowledged.has(batch)) await this.send(batch);
    for (let round = 0; round < ALARM_ROUNDS; round++) {
      vi.setSystemTime(Date.now() + LONG_MS);
      await runDurableObjectAlarm(shard());
      await runDurableObjectAlarm(table());
    }
  }
}

/** @returns whether the run came to that point: how often calls overlap is not the same in every run */
async function runWithCrash(point: CrashPoint): Promise<boolean> {
  const name = `${point.side} ${point.step} (${point.occurrence})`;
  const run = new Run();
  const watch = new StepWatch(point);
  let isDone = false;
  // Rejects where the crash cuts a call off.
  const going = run.go().catch(() => {});
  void going.then(() => (isDone = true));
  await vi.waitFor(() => expect(watch.isOver || isDone, name).toBe(true), { timeout: 20_000, interval: 2 });
  await watch.endObjects();
  await going;
  await run.recover();
  expect(run.acknowledged.size, name).toBe(2);
  expect(await idsInTable(), name).toEqual(idsOf(...run.batches));
  await flushAll();
  expect(await idsInTable(), `${name}, and once more`).toEqual(idsOf(...run.batches));
  await expectSound(name);
  return watch.isOver;
}

/** What the last snapshot says of itself is what its files hold. */
async function expectSound(name: string): Promise<void> {
  const read = await readTable();
  const snapshot = read?.metadata.snapshots?.find(
    ({ "snapshot-id": id }) => id === read.metadata["current-snapshot-id"],
  );
  expect(snapshot?.summary?.["total-records"], name).toBe(String(read?.rows.length));
}

/** Steps of a run in which nothing fails. */
async function listSteps(): Promise<readonly string[]> {
  const watch = new StepWatch();
  const run = new Run();
  await run.go();
  await watch.endObjects();
  expect(await idsInTable()).toEqual(idsOf(...run.batches));
  await emptyLake();
  return watch.steps;
}

test("the steps are those of a flush, a commit and a compaction", async () => {
  const steps = new Set(await listSteps());
  expect([...steps]).toEqual(
    expect.arrayContaining([
      "shard.append",
      "table.register",
      "table.location",
      "putIfAbsent data file",
      "table.stage",
      "putIfAbsent manifest",
      "putIfAbsent manifest list",
      "putIfAbsent metadata",
      "put hint",
      "putIfAbsent compacted file",
      "arm flush+register",
      "arm commit+maintenance",
    ]),
  );
});

test(
  "every acknowledged event is in the table exactly once after a crash at any step",
  { timeout: 300_000 },
  async () => {
    const byKind = Map.groupBy(crashPointsOf(await listSteps()), ({ step, side }) => `${side} ${step}`);
    const reached = new Set<string>();
    let crashes = 0;
    for (const [kind, points] of byKind) {
      for (const point of IS_THOROUGH ? points : shuffled(points)) {
        const isReached = await runWithCrash(point);
        await emptyLake();
        if (!isReached) continue;
        crashes++;
        reached.add(kind);
        if (!IS_THOROUGH) break;
      }
    }
    expect(reached).toEqual(new Set(byKind.keys()));
    expect(crashes).toBeGreaterThan(IS_THOROUGH ? 80 : 30);
    console.info(`crashes at ${crashes} points of ${byKind.size} kinds`);
  },
);

/** Another occurrence of each kind in each run; which one is in what an expectation that fails says. */
function shuffled(points: readonly CrashPoint[]): CrashPoint[] {
  return points
    .map((point) => ({ point, rank: Math.random() }))
    .toSorted((one, other) => one.rank - other.rank)
    .map(({ point }) => point);
}
