/**
 * Many streams at once, each with a reader that is cut and comes back: B2 for every one of them, and
 * B7 afterwards.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { FrameChecker } from "../fixtures/process-checker.ts";
import { anonymousBytes, asMb, watchMemory } from "../fixtures/process-memory.ts";
import { seededRandom, type Random } from "../fixtures/process-random.ts";
import { openReader, until } from "../fixtures/process-reader.ts";
import { idOf, readStatus } from "../fixtures/process-recovery.ts";
import { createSourceRun, playRuns, type SourceRun } from "../fixtures/process-script.ts";
import { objectsWithTables, storedAlarms } from "../fixtures/process-storage.ts";
import { startUpstream } from "../fixtures/upstream.ts";
import { startService } from "../fixtures/workerd-service.ts";

const STREAMS = 200;
const SNAPSHOT_TTL_SEC = 5;

test(`B2, B7: ${STREAMS} streams at once with a cut reader each are whole, and leave nothing behind`, async () => {
  const random = seededRandom("many streams");
  const folder = mkdtempSync(join(tmpdir(), "spillway-many-"));
  const runs = new Map<string, SourceRun>();
  const upstream = await startUpstream(playRuns(runs));
  const service = await startService({
    persistTo: folder,
    vars: {
      ROUTES: [{ name: "t", upstream: upstream.origin, method: "GET", allowGet: true }],
      SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_SEC,
    },
  });
  const beforeBytes = anonymousBytes(service.pid);
  const watch = watchMemory(service.pid);
  onTestFinished(async () => {
    watch.stop();
    await service.kill();
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const names = Array.from({ length: STREAMS }, (_, at) => `many.${at}`);
  for (const name of names) runs.set(name, createSourceRun(chooseScript(random)));
  const cuts = new Map(names.map((name) => [name, random.int(0, runs.get(name)?.script.events ?? 0)]));
  const readings = await Promise.all(
    Array.from(runs, ([name, run]) => readWithCut(service.origin, name, { run, cutAfter: cuts.get(name) ?? 0 })),
  );
  const afterBytes = anonymousBytes(service.pid);

  expect(readings.flatMap(({ faults }) => faults)).toEqual([]);
  expect(upstream.calls).toHaveLength(STREAMS);
  expect(new Set(readings.map(({ requestId }) => requestId)).size).toBe(STREAMS);
  expect(objectsWithTables(folder).length).toBeGreaterThan(0);
  const resumes = readings.reduce((sum, reading) => sum + reading.resumes, 0);
  expect(resumes).toBeGreaterThan(STREAMS / 2);

  await until(() => objectsWithTables(folder).length === 0, "empty storage");
  await until(() => storedAlarms(folder).size === 0, "the last alarm's end");
  for (const { token } of readings) {
    expect(await readStatus(service.origin, token)).toMatchObject({ http_status: 410, code: "stream_expired" });
  }
  console.log(
    `${STREAMS} streams, ${resumes} resumes, ${readings.reduce((sum, { events }) => sum + events, 0)} events: memory ` +
      `${asMb(beforeBytes)} before, ${asMb(watch.peakBytes())} at the peak, ${asMb(afterBytes)} at their end, ` +
      `${asMb(anonymousBytes(service.pid))} once all are deleted`,
  );
  watch.stop();
  await service.kill();
  expect(objectsWithTables(folder)).toEqual([]);
});

function chooseScript(random: Random) {
  return {
    seed: random.int(1, 1e6),
    events: random.int(20, 100),
    minChars: 1,
    maxChars: 300,
    largeEvery: random.chance(0.1) ? 30 : 0,
    largeChars: 20_000,
    stageEvery: random.chance(0.3) ? 10 : 0,
    burst: random.int(1, 4),
    pauseMs: random.int(20, 80),
  };
}

/** Reads a stream to its end, but for one cut; the events before and after it must make up the whole. */
async function readWithCut(origin: string, name: string, plan: { run: SourceRun; cutAfter: number }) {
  const { run, cutAfter } = plan;
  const before = new FrameChecker(run, 0);
  const first = await openReader(`${origin}/t/stream?run=${name}`, { onFrame: before.take });
  await until(() => first.outcome !== "open" || before.received.length >= cutAfter, `${cutAfter} events of ${name}`);
  first.cut();
  await first.toEnd();

  const position = before.nextSeq - 1;
  const after = new FrameChecker(run, position);
  const token = first.header("x-resume-token");
  const requestId = first.header("x-request-id");
  const second = await openReader(`${origin}/t/resume`, {
    headers: { "X-Resume-Token": token, "Last-Event-ID": idOf(position) },
    onFrame: after.take,
  });
  await second.toEnd();
  const faults = [...before.faults, ...after.faults];
  const events = before.received.length + after.received.length;
  if (events !== run.script.events) faults.push(`${name}: ${events} of ${run.script.events} events`);
  // Whoever had all but the outcome is told by 204 that nothing is left.
  const isOver = second.status === 204 ? second.header("x-spillway-end") === "completed" : after.end !== undefined;
  if (!isOver) faults.push(`${name}: status ${second.status} and no end`);
  return { faults, events, token, requestId, resumes: second.status === 200 ? 1 : 0 };
}
