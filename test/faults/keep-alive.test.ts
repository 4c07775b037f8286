/**
 * What the one alarm of an object is for: it keeps a stream's object in memory while its source is
 * read, with or without readers, and brings it back where nobody else would.
 *
 * Without it the runtime evicts an object that nobody has called for a while, source and all. It
 * would need minutes to do so; that the alarm is there, goes off and is set again needs one period.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { KEEP_ALIVE_MS } from "../../protocol/limits.ts";
import { FrameChecker } from "../fixtures/process-checker.ts";
import { openReader, until, type WireReader } from "../fixtures/process-reader.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import { createSourceRun, type SourceScript } from "../fixtures/process-script.ts";
import { objectsWithTables, storedAlarms } from "../fixtures/process-storage.ts";
import type { Upstream } from "../fixtures/upstream.ts";
import { ProcessScene } from "../fixtures/process-scene.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

/** One period, and what a busy machine takes to come round to it. */
const PERIOD_DEADLINE_MS = 2 * KEEP_ALIVE_MS;
const SNAPSHOT_TTL_SEC = 1;

const scene = new ProcessScene();
const { runs, folders, services } = scene;
let upstream: Upstream;

beforeAll(async () => {
  upstream = await scene.start();
});
afterAll(() => scene.end());

/** One event, silence, the rest. */
function pausingScript(pauseMs: number): SourceScript {
  const size = { minChars: 10, maxChars: 100, largeEvery: 0, largeChars: 0, stageEvery: 0 };
  return { ...size, seed: 3, events: 2, burst: 1, pauseMs };
}

async function serve(folder: string, vars: { port?: number; SSE_SNAPSHOT_TTL_SEC?: number } = {}): Promise<Service> {
  const { port, ...others } = vars;
  const service = await startService({
    persistTo: folder,
    ...(port === undefined ? {} : { port }),
    vars: {
      ROUTES: [{ name: "t", upstream: upstream.origin, method: "GET", allowGet: true }],
      SSE_HEARTBEAT_SEC: 1,
      ...others,
    },
  });
  services.push(service);
  return service;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "spillway-alive-"));
  folders.push(folder);
  return folder;
}

/** A reader that has had the first event and now hears nothing. */
async function startSilent(service: Service, name: string, pauseMs: number): Promise<WireReader> {
  const run = createSourceRun(pausingScript(pauseMs));
  runs.set(name, run);
  const checker = new FrameChecker(run, 0);
  const reader = await openReader(`${service.origin}/t/stream?run=${name}`, { onFrame: checker.take });
  await until(() => checker.received.length > 0, "the first event");
  return reader;
}

function onlyAlarm(folder: string): number | undefined {
  const alarms = [...storedAlarms(folder).values()];
  expect(alarms.length).toBeLessThanOrEqual(1);
  return alarms[0];
}

test.concurrent("a stream without readers and with a silent source is kept in memory by an alarm that renews itself", async () => {
  const folder = newFolder();
  const service = await serve(folder);
  // The silence is longer than the alarm's period, so that the second event comes to an object it has kept.
  const reader = await startSilent(service, "silent", KEEP_ALIVE_MS + 8_000);
  const token = reader.header("x-resume-token");
  reader.cut();
  const firstAlarmMs = onlyAlarm(folder);
  expect(firstAlarmMs).toBeLessThanOrEqual(Date.now() + KEEP_ALIVE_MS);
  // Nobody asks the object anything meanwhile: that, too, would keep it.
  await until(() => (onlyAlarm(folder) ?? 0) > Number(firstAlarmMs), "the alarm's renewal", PERIOD_DEADLINE_MS);
  expect(onlyAlarm(folder)).toBeGreaterThanOrEqual(Number(firstAlarmMs) + KEEP_ALIVE_MS);
  expect(onlyAlarm(folder)).toBeLessThanOrEqual(Date.now() + KEEP_ALIVE_MS);

  await until(() => runs.get("silent")?.isDone === true, "the source's end");
  await until(async () => (await readStatus(service.origin, token))["state"] !== "streaming", "the stream's end");
  expect(await readStatus(service.origin, token)).toMatchObject({ state: "completed", epoch: 1, events: 2 });
  await service.stop();
});

test.concurrent("B7: a stream that was cut by a crash, and that nobody asks for again, is deleted all the same", async () => {
  const folder = newFolder();
  const first = await serve(folder, { SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_SEC });
  await startSilent(first, "orphan", 10 * KEEP_ALIVE_MS);
  await first.kill();
  expect(objectsWithTables(folder)).toHaveLength(1);

  const second = await serve(folder, { port: Number(new URL(first.origin).port) });
  await until(() => objectsWithTables(folder).length === 0, "empty storage", PERIOD_DEADLINE_MS);
  await until(() => storedAlarms(folder).size === 0, "the alarm's end");
  expect(second.telemetry("SseStreamEnded")).toMatchObject([{ state: "interrupted", reason: "object_restarted" }]);
  await second.kill();
  expect(objectsWithTables(folder)).toEqual([]);
});

test.concurrent("a finished stream sets no alarm but that of its own deletion", async () => {
  const folder = newFolder();
  const service = await serve(folder, { SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_SEC });
  const reader = await startSilent(service, "finished", 1);
  await reader.toEnd();
  const endedAtMs = Date.now();
  expect(onlyAlarm(folder)).toBeLessThanOrEqual(endedAtMs + SNAPSHOT_TTL_SEC * 1000);
  await until(() => storedAlarms(folder).size === 0, "the alarm's end");
  await until(() => objectsWithTables(folder).length === 0, "empty storage");
  await service.stop();
});
