/**
 * Two deployments with one bucket and one table, each with shards and a committer of its own: both commit
 * at once, conflict, and both writers' rows survive. X1–X4.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { callAdmin } from "../fixtures/lake-client.ts";
import { checkTable, flushUntilEmpty, Producer } from "../fixtures/lake-load.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { seededRandom, type Random } from "../fixtures/process-random.ts";

/** The race goes on until it has been one, on a slow machine as well. */
const CONFLICTS_MIN = 12;
const EVENTS_EACH_MIN = 1000;
const REPLACES_MIN = 3;
const RACE_MS_MAX = 200_000;
const PRODUCERS_EACH = 2;
const VARS = {
  ICEBERG_SHARDS: 2,
  ICEBERG_BUFFER_TIMEOUT_MS: 100,
  ICEBERG_BUFFER_SIZE: 100,
  ICEBERG_COMMIT_INTERVAL_MS: 0,
  // Both expire snapshots, at the same time.
  ICEBERG_SNAPSHOTS_KEPT: 8,
} as const;
const ACTIONS = ["flush", "compact", "compact", "expire-snapshots?keep=2"] as const;

let service: LakeService;
let twin: LakeService;
beforeAll(async () => {
  service = await startLakeService({ vars: VARS, hasTwin: true });
  // The same but for whom one talks to.
  twin = { ...service, origin: service.twinOrigin ?? "" };
});
afterAll(() => service.stop());

async function operate(at: LakeService, random: Random, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await wait(random.int(50, 400));
    const response = await callAdmin(at, random.pick(ACTIONS));
    await response.arrayBuffer();
  }
}

function countLines(event: string): number {
  return service.lines.filter((line) => line.includes(`"event":"${event}"`)).length;
}

test("X2: rows of two committers that race are all there, once, with compaction going on", async () => {
  const random = seededRandom("lake committers");
  const sides = [service, twin].map((at, side) => ({
    at,
    producers: Array.from(
      { length: PRODUCERS_EACH },
      (_, producer) => new Producer({ source: `/race/${side}/${producer}`, random, batchMax: 60 }),
    ),
  }));
  const producers = sides.flatMap((side) => side.producers);
  let isOver = false;
  const working = sides.flatMap(({ at, producers: own }) => [
    ...own.map((producer) =>
      producer.run(
        () => at.origin,
        () => isOver,
      ),
    ),
    operate(at, random, () => isOver),
  ]);
  const taken = () => sides.map((side) => side.producers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0));
  const replaces = () => service.lines.filter((line) => line.includes('"operation":"replace"')).length;
  const conflicts = () => countLines("IcebergConflict");
  const isRace = () =>
    conflicts() >= CONFLICTS_MIN && replaces() >= REPLACES_MIN && Math.min(...taken()) >= EVENTS_EACH_MIN;
  const deadline = Date.now() + RACE_MS_MAX;
  while (!isRace() && Date.now() < deadline) await Promise.race([wait(100), ...working]);
  isOver = true;
  await Promise.all(working);
  await flushUntilEmpty(service);
  await flushUntilEmpty(twin);
  const { rows, files, faults } = await checkTable(service, producers);

  console.log(
    `committers: ${JSON.stringify({
      taken: taken(),
      rows,
      files,
      commits: countLines("IcebergCommitted"),
      replaces: replaces(),
      conflicts: conflicts(),
      runsGivenUpForLater: countLines("IcebergCommitFailed"),
    })}`,
  );
  expect(faults).toEqual([]);
  expect(rows).toBe(taken().reduce((sum, events) => sum + events, 0));
  expect(isRace()).toBe(true);
});
