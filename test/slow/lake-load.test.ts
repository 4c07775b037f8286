/**
 * Many events at full speed while shards flush and the table commits: nothing is lost, and memory stays
 * bounded.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { checkTable, flushUntilEmpty, Producer } from "../fixtures/lake-load.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { anonymousBytes, asMb, watchMemory } from "../fixtures/process-memory.ts";
import { seededRandom } from "../fixtures/process-random.ts";

const EVENTS = 100_000;
const PRODUCERS = 6;
const BATCH_MAX = 2000;
/**
 * What workerd may hold more than when idle: one isolate of at most 128 MB in production, and here the
 * emulated bucket in the same process besides, with copies of every file on its way through it.
 */
const GROWTH_MAX_BYTES = 256 * 1_048_576;

let service: LakeService;
beforeAll(async () => {
  service = await startLakeService();
});
afterAll(() => service.stop());

test(`L1: ${EVENTS} events at full speed are in the table once each, and memory is bounded`, async () => {
  const random = seededRandom("lake load");
  const producers = Array.from(
    { length: PRODUCERS },
    (_, at) => new Producer({ source: `/load/${at}`, random, batchMax: BATCH_MAX }),
  );
  const taken = () => producers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  const idleBytes = anonymousBytes(service.runtimePid());
  const memory = watchMemory(service.runtimePid());
  const startMs = performance.now();
  await Promise.all(
    producers.map((producer) =>
      producer.run(
        () => service.origin,
        () => taken() >= EVENTS,
      ),
    ),
  );
  const takenMs = performance.now() - startMs;
  await flushUntilEmpty(service);
  const committedMs = performance.now() - startMs;
  memory.stop();

  const { rows, files, faults } = await checkTable(service, producers);
  const failures = producers.reduce((sum, producer) => sum + producer.failures, 0);
  const perSec = (ms: number) => Math.round(taken() / (ms / 1000));
  console.log(
    `load: ${taken()} events taken in ${Math.round(takenMs)} ms (${perSec(takenMs)}/s), committed after ` +
      `${Math.round(committedMs)} ms (${perSec(committedMs)}/s), ${files} files, ${failures} refusals; ` +
      `workerd ${asMb(idleBytes)} idle, ${asMb(memory.peakBytes())} at its peak`,
  );
  expect(faults).toEqual([]);
  expect(rows).toBe(taken());
  expect(rows).toBeGreaterThanOrEqual(EVENTS);
  // Flushed all along, not only at the end.
  expect(service.lines.filter((line) => line.includes('"BufferFlushSucceeded"')).length).toBeGreaterThan(4);
  expect(memory.peakBytes() - idleBytes).toBeLessThan(GROWTH_MAX_BYTES);
});
