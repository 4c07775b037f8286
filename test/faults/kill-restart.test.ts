/**
 * The service is killed as by a power cut, over and over, and started again on the same storage.
 *
 * B2 readers go on where they were or are told what they miss; B7 what is over leaves nothing behind;
 * B8 an outcome once told stays told.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { FrameChecker } from "../fixtures/process-checker.ts";
import { chooseLimits, longScript, shortScript, SMALL_EVENTS } from "../fixtures/process-plan.ts";
import { createRandom, seededRandom, type Random } from "../fixtures/process-random.ts";
import { openReader, until } from "../fixtures/process-reader.ts";
import {
  checkRecovery,
  durableFloors,
  idOf,
  readStatus,
  TrackedStream,
  type BufferLimits,
  type Recovery,
} from "../fixtures/process-recovery.ts";
import type { SourceScript } from "../fixtures/process-script.ts";
import { objectsWithTables, storedBuffers } from "../fixtures/process-storage.ts";
import type { Upstream } from "../fixtures/upstream.ts";
import { ProcessScene } from "../fixtures/process-scene.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const ROUNDS = 24;
const END_ROUNDS = 8;
/** So many events show that a stream runs. */
const ENOUGH_EVENTS = 20;
const BYTES_PER_MB = 1_048_576;

/** When a round's kill comes. */
const MOMENTS = ["mid", "mid", "mid", "start", "at_end"] as const;

const scene = new ProcessScene();
const { runs, folders, services } = scene;
let upstream: Upstream;

beforeAll(async () => {
  upstream = await scene.start();
});
afterAll(() => scene.end());

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "spillway-kill-"));
  folders.push(folder);
  return folder;
}

async function serve(folder: string, limits: BufferLimits, vars: Record<string, unknown> = {}): Promise<Service> {
  const { port, ...others } = vars;
  const route = { upstream: upstream.origin, method: "GET", allowGet: true };
  const service = await startService({
    persistTo: folder,
    ...(typeof port === "number" ? { port } : {}),
    vars: {
      ROUTES: [
        { ...route, name: "t" },
        { ...route, name: "plain", control: false },
      ],
      SSE_COMMIT_INTERVAL_MS: limits.commitIntervalMs,
      SSE_BUFFER_MAX_EVENTS: limits.maxEvents,
      SSE_BUFFER_MAX_SIZE_MB: limits.maxBytes / BYTES_PER_MB,
      SSE_MAX_EVENT_BYTES: 0.125 * BYTES_PER_MB,
      ...others,
    },
  });
  services.push(service);
  return service;
}

function plantStream(name: string, script: SourceScript, limits: BufferLimits): TrackedStream {
  const stream = new TrackedStream(name, script, limits);
  runs.set(name, stream.run);
  return stream;
}

function plantStreams(round: number, limits: BufferLimits, random: Random): TrackedStream[] {
  const scripts = [shortScript(random), ...Array.from({ length: random.int(2, 5) }, () => longScript(random))];
  return scripts.map((script, at) => plantStream(`${round}.${at}`, script, limits));
}

/** Starts all streams, lets some readers go, and kills the service at a moment of its own. */
async function runUntilKilled(service: Service, streams: readonly TrackedStream[], random: Random): Promise<void> {
  const moment = random.pick(MOMENTS);
  // A start that the kill cuts short has no head; what then holds is checked afterwards.
  const started = Promise.allSettled(streams.map((stream) => stream.start(service.origin)));
  if (moment !== "start") await started;
  if (moment === "at_end") await until(() => streams.some(({ run }) => run.isDone), "a source's end");
  if (moment === "mid") {
    await wait(random.int(20, 600));
    for (const { reader } of streams) if (random.chance(0.25)) reader?.cut();
    await wait(random.int(20, 600));
  } else {
    await wait(random.int(0, moment === "start" ? 25 : 3));
  }
  await service.kill();
  await started;
  for (const { reader } of streams) await reader?.toEnd();
}

class Sums {
  kills = 0;
  streams = 0;
  interrupted = 0;
  completed = 0;
  begunAnew = 0;
  eventsChecked = 0;
  eventsSeen = 0;
  /** Of the events seen, those that had to be durable. */
  eventsHeldDurable = 0;
  rewinds = 0;

  add(stream: TrackedStream, floor: number, recovery: Recovery): void {
    this.streams++;
    if (recovery.state === "interrupted") this.interrupted++;
    else if (recovery.state === "completed") this.completed++;
    else this.begunAnew++;
    this.eventsChecked += recovery.checkedEvents;
    this.eventsSeen += stream.seenSeq;
    this.eventsHeldDurable += floor;
    this.rewinds += recovery.rewinds;
  }
}

test("B2, B8: after each of many kills, readers get what was committed and are told the rest", async () => {
  const random = seededRandom("kill -9");
  const folder = newFolder();
  const sums = new Sums();
  const recovered = new Map<TrackedStream, Recovery>();
  let floors = new Map<TrackedStream, number>();
  let port: number | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const limits = chooseLimits(random);
    let service = await serve(folder, limits, { port });
    port = Number(new URL(service.origin).port);
    if (random.chance(0.3)) {
      // Killed again while it recovers and readers replay.
      const replays = Promise.allSettled([...floors.keys()].map((stream) => checkRecovery(service.origin, stream, 0)));
      await wait(random.int(0, 40));
      await service.kill();
      await replays;
      sums.kills++;
      service = await serve(folder, limits, { port });
    }
    for (const [stream, recovery] of await checkAll(service, floors)) {
      sums.add(stream, floors.get(stream) ?? 0, recovery);
      if (recovery.state !== "begun anew") recovered.set(stream, recovery);
    }
    const streams = plantStreams(round, limits, random);
    await runUntilKilled(service, streams, random);
    sums.kills++;
    floors = durableFloors(streams);
  }
  const service = await serve(folder, chooseLimits(random), { port });
  for (const [stream, recovery] of await checkAll(service, floors)) sums.add(stream, floors.get(stream) ?? 0, recovery);
  await checkStillTold(service, recovered);
  await service.kill();
  // B3 holds for what is on disk, too.
  const stored = storedBuffers(folder);
  expect(stored.length).toBeGreaterThan(recovered.size);
  expect(stored.filter(({ bytes, maxBytes }) => bytes > maxBytes)).toEqual([]);
  console.log(`kill -9: ${JSON.stringify(sums)}`);
});

/** Everything a killed round left, against the service that came after. */
async function checkAll(service: Service, floors: ReadonlyMap<TrackedStream, number>) {
  const checks = Array.from(floors, async ([stream, floor]): Promise<[TrackedStream, Recovery]> => {
    const isBorn = stream.requestId !== "";
    return [stream, await (isBorn ? checkRecovery(service.origin, stream, floor) : checkUnborn(service, stream))];
  });
  const recoveries = await Promise.all(checks);
  expect(recoveries.flatMap(([, { faults }]) => faults)).toEqual([]);
  return recoveries;
}

/** The kill came before a response head: the same start is made again, and gets a new stream or a cut one. */
async function checkUnborn(service: Service, stream: TrackedStream): Promise<Recovery> {
  await stream.start(service.origin);
  await until(() => stream.reader?.outcome !== "open" || stream.seenSeq >= ENOUGH_EVENTS, "events of a second start");
  const { end, faults, seenSeq, reader } = stream;
  const isWhole = end?.["status"] === "complete" && seenSeq === stream.script.events;
  const isCut = end?.["status"] === "interrupted" && end["reason"] === "object_restarted";
  if (reader?.outcome !== "open" && !isWhole && !isCut) faults.push(`${stream.name}: ended as ${JSON.stringify(end)}`);
  const headers = { "X-Resume-Token": stream.token };
  await fetch(`${service.origin}/t/stream`, { method: "DELETE", headers });
  await reader?.toEnd();
  const state = isCut ? "interrupted" : "begun anew";
  return { state, durableSeq: seenSeq, checkedEvents: seenSeq, rewinds: 0, faults };
}

/** Many kills later: the same state, and the same key finds the same stream without a new upstream call. */
async function checkStillTold(service: Service, recovered: ReadonlyMap<TrackedStream, Recovery>): Promise<void> {
  for (const [stream, { state, durableSeq }] of recovered) {
    const status = await readStatus(service.origin, stream.token);
    expect(status).toMatchObject({ http_status: 200, state, last_id: idOf(durableSeq) });
    const { calls } = stream.run;
    const again = await openReader(`${service.origin}/t/stream?run=${stream.name}`, {
      headers: { "Idempotency-Key": stream.key },
    });
    await again.toEnd();
    expect(again.requestId).toBe(stream.requestId);
    expect(stream.run.calls).toBe(calls);
    expect(again.frames.at(-1)).toMatchObject({ event: "end", id: idOf(durableSeq) });
  }
}

test("B8: an outcome that a reader has been told is still the outcome after a kill in that very turn", async () => {
  const random = seededRandom("kill -9 at the end");
  const limits: BufferLimits = { commitIntervalMs: 1000, maxEvents: 256, maxBytes: BYTES_PER_MB };
  const folder = newFolder();
  let port: number | undefined;
  let floors = new Map<TrackedStream, number>();
  for (let round = 0; round <= END_ROUNDS; round++) {
    const service = await serve(folder, limits, { port });
    port = Number(new URL(service.origin).port);
    const told = (await checkAll(service, floors)).filter(([stream]) => stream.end !== undefined);
    expect(told.map(([, { state }]) => state)).toEqual(told.map(() => "completed"));
    expect(told.length).toBeGreaterThanOrEqual(Math.min(1, floors.size));
    if (round === END_ROUNDS) await service.stop();
    else {
      const streams = [1, 2, 3].map((at) => plantStream(`end.${round}.${at}`, shortScript(random), limits));
      await Promise.all(streams.map((stream) => stream.start(service.origin)));
      await Promise.race(streams.map(({ told }) => told));
      await service.kill();
      for (const { reader } of streams) await reader?.toEnd();
      floors = durableFloors(streams);
    }
  }
});

test("B7: nothing is left in storage of an interrupted stream once its time is over", async () => {
  const limits: BufferLimits = { commitIntervalMs: 50, maxEvents: 64, maxBytes: BYTES_PER_MB };
  const folder = newFolder();
  const vars = { SSE_SNAPSHOT_TTL_SEC: 2 };
  const first = await serve(folder, limits, vars);
  const random = createRandom(7);
  const streams = [1, 2, 3].map((at) => plantStream(`ttl.${at}`, { ...longScript(random), pauseMs: 5 }, limits));
  await Promise.all(streams.map((stream) => stream.start(first.origin)));
  await until(() => streams.every(({ seenSeq }) => seenSeq >= 2 * ENOUGH_EVENTS), "events of every stream");
  await first.kill();
  const floors = durableFloors(streams);

  const second = await serve(folder, limits, { ...vars, port: Number(new URL(first.origin).port) });
  await checkAll(second, floors);
  expect(objectsWithTables(folder)).toHaveLength(streams.length);
  await until(() => objectsWithTables(folder).length === 0, "empty storage");
  for (const { token } of streams) {
    expect(await readStatus(second.origin, token)).toMatchObject({ http_status: 410, code: "stream_expired" });
  }
  // Killed, so that what is on disk is all there is; and asking has written nothing.
  await second.kill();
  expect(objectsWithTables(folder)).toEqual([]);
});

test("without control events, a stream that a kill has cut never looks complete", async () => {
  const limits: BufferLimits = { commitIntervalMs: 50, maxEvents: 256, maxBytes: BYTES_PER_MB };
  const folder = newFolder();
  const first = await serve(folder, limits);
  const script = { ...SMALL_EVENTS, seed: 11, events: 2000, burst: 1, pauseMs: 5 };
  const stream = plantStream("plain", script, limits);
  await stream.start(first.origin, "plain");
  await until(() => stream.seenSeq >= ENOUGH_EVENTS, "events");
  await first.kill();
  await stream.reader?.toEnd();

  const second = await serve(folder, limits, { port: Number(new URL(first.origin).port) });
  const headers = { "X-Resume-Token": stream.token };
  const status = await readStatus(second.origin, stream.token, "plain");
  const durableId = String(status["last_id"]);
  const checker = new FrameChecker(stream.run, 0);
  const whole = await openReader(`${second.origin}/plain/resume`, {
    headers: { ...headers, "Last-Event-ID": "0-0" },
    onFrame: checker.take,
  });
  expect(await whole.toEnd()).toBe("broken");
  expect(checker.faults).toEqual([]);
  expect(idOf(checker.nextSeq - 1)).toBe(durableId);
  // Nothing left to send, and still no 204 and no clean end: either would say that this was all.
  const rest = await openReader(`${second.origin}/plain/resume`, {
    headers: { ...headers, "Last-Event-ID": durableId },
  });
  expect(await rest.toEnd()).toBe("broken");
  // Beyond what survived there is no way to say so in band.
  const beyond = await fetch(`${second.origin}/plain/resume`, {
    headers: { ...headers, "Last-Event-ID": idOf(script.events) },
  });
  expect(beyond.status).toBe(410);
  expect(await beyond.json()).toMatchObject({ code: "position_trimmed", earliest_id: durableId });
  await second.stop();
});
