/**
 * The service is killed as by a power cut while its buffers fold, trim, compress, sample and evict all the
 * time, with readers that replay, stand inside folds and are in the middle of snapshots.
 *
 * B2 every reader goes on where it was: what it had and what it gets is what the source sent, but for what
 * it is told is missing; B7 what is over leaves nothing behind.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { inflateRawSync } from "node:zlib";

import { afterAll, beforeAll, expect, test } from "vitest";

import { PressedReader } from "../fixtures/pressed-reader.ts";
import { apiRun, playPressed, pressedRoutes, verboseRun, type PressedRun } from "../fixtures/pressed-run.ts";
import { seededRandom, type Random } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import { ProcessScene } from "../fixtures/process-scene.ts";
import { objectsWithTables, storedSegments } from "../fixtures/process-storage.ts";
import { IS_THOROUGH } from "../fixtures/thoroughness.ts";
import type { Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const KILLS = IS_THOROUGH ? 14 : 8;
/** Until all has been met that the test is about; by then it would have been. */
const MOST_KILLS = 24;
const ROW_KINDS = ["plain", "folded", "deflate"];
const STREAMS = 5;
const LATER_READERS = 4;
const SNAPSHOT_TTL_SEC = 15;
const MODES = ["live", "live", "replay", "snapshot"] as const;

const scene = new ProcessScene();
const runs = new Map<string, PressedRun>();
let upstream: Upstream;

beforeAll(async () => {
  upstream = await scene.start();
  upstream.handle(playPressed(runs));
});
afterAll(() => scene.end());

/** A stream with all that have read it. */
interface PressedStream {
  readonly name: string;
  readonly readers: { readonly reader: PressedReader; readonly mode: (typeof MODES)[number] }[];
}

class Sums {
  kills = 0;
  streams = 0;
  interrupted = 0;
  completed = 0;
  resumed = 0;
  rewinds = 0;
  folds = 0;
  trimmed = 0;
  gaps = 0;
  snapshots = 0;
  readonly rows: Record<string, number> = {};

  addReader(reader: PressedReader): void {
    this.resumed++;
    this.rewinds += reader.rewinds;
    this.folds += reader.folds;
    this.trimmed += reader.trimmed;
    this.gaps += reader.gaps;
    this.snapshots += reader.snapshots;
  }
}

async function serve(folder: string, random: Random, port: number | undefined): Promise<Service> {
  const service = await startService({
    persistTo: folder,
    ...(port === undefined ? {} : { port }),
    vars: {
      ROUTES: pressedRoutes(upstream.origin),
      SSE_BUFFER_MAX_EVENTS: random.pick([24, 40, 64]),
      SSE_BUFFER_MAX_SIZE_MB: random.pick([0.0625, 0.125]),
      SSE_COMMIT_INTERVAL_MS: random.pick([10, 50, 200]),
      SSE_MAX_EVENT_BYTES: 32_768,
      SSE_BUFFER_COMPRESS: true,
      SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_SEC,
    },
  });
  scene.services.push(service);
  return service;
}

/** Streams with a reader each from the start; the others come while they run, wherever they please. */
async function runUntilKilled(service: Service, round: number, random: Random): Promise<PressedStream[]> {
  const streams = Array.from({ length: STREAMS }, (_, at): PressedStream => {
    const name = `${round}.${at}`;
    const run = at % 2 === 0 ? apiRun(random) : verboseRun(random);
    runs.set(name, run);
    return { name, readers: [{ reader: new PressedReader(run), mode: "live" }] };
  });
  await Promise.all(streams.map(async ({ name, readers }) => readers[0]?.reader.start(service.origin, name)));
  // Whoever is about to come when the service dies does not come.
  const comers = Promise.allSettled(streams.map((stream) => comeLater(service.origin, stream, random)));
  await wait(random.int(350, 1100));
  await service.kill();
  await comers;
  for (const { readers } of streams) for (const { reader } of readers) await reader.toEnd();
  return streams;
}

async function comeLater(origin: string, { readers }: PressedStream, random: Random): Promise<void> {
  const first = readers[0]?.reader;
  if (first === undefined) return;
  const plans = Array.from({ length: LATER_READERS }, () => ({
    pauseMs: random.int(30, 250),
    mode: random.pick(MODES),
    share: random.pick([0, 0.3, 0.7, 0.95]),
  }));
  for (const { pauseMs, mode, share } of plans) {
    await wait(pauseMs);
    const afterSeq = mode === "snapshot" ? 0 : Math.floor((first.nextSeq - 1) * share);
    const reader = new PressedReader(first.run, afterSeq);
    await reader.resume(origin, first.token, mode);
    readers.push({ reader, mode });
  }
}

/** Everybody comes back, and has in the end what the source sent through the last event that survived. */
async function checkStream(origin: string, { name, readers }: PressedStream, sums: Sums): Promise<string[]> {
  const [first] = readers;
  if (first === undefined) return [`${name}: nobody was there`];
  const status = await readStatus(origin, first.reader.token, first.reader.run.route);
  const lastId = String(status["last_id"]);
  const isComplete = status["state"] === "completed";
  const faults = isComplete || status["state"] === "interrupted" ? [] : [`${name}: ${JSON.stringify(status)}`];
  sums.streams++;
  if (isComplete) sums.completed++;
  else sums.interrupted++;
  for (const { reader, mode } of readers) {
    const wasTold = reader.end !== undefined;
    if (!wasTold) await reader.resume(origin, first.reader.token, mode);
    await reader.toEnd();
    reader.verify();
    sums.addReader(reader);
    const ending = wasTold || isComplete ? ["complete", "completed"] : ["interrupted"];
    const isEnded = ending.includes(String(reader.end?.["status"])) || (mode === "replay" && reader.end === undefined);
    const isAtEnd = `1-${reader.nextSeq - 1}` === lastId || (lastId === "0-0" && reader.nextSeq === 1);
    if (!isEnded)
      reader.faults.push(`ended as ${JSON.stringify(reader.end)}, and the stream ${String(status["state"])}`);
    if (!isAtEnd) reader.faults.push(`came to ${reader.nextSeq - 1} of ${lastId}`);
    faults.push(...reader.faults.map((fault) => `${name}, ${mode} of ${reader.run.route}: ${fault}`));
  }
  return faults;
}

/** Every row holds what it says, by SSE's own grammar and deflate's. */
function rowFaults(folder: string, sums: Sums): string[] {
  return storedSegments(folder).flatMap(({ firstSeq, lastSeq, encoding, wireBytes, payload }) => {
    sums.rows[encoding] = (sums.rows[encoding] ?? 0) + 1;
    const bytes = encoding.includes("deflate") ? inflateRawSync(payload) : Buffer.from(payload);
    const seqs = Array.from(bytes.toString("utf8").matchAll(/(?<=^|\n\n)id: 1-(\d+)\n/g), ([, seq]) => Number(seq));
    const isRising = seqs.every((seq, at) => seq > (seqs[at - 1] ?? firstSeq - 1));
    const isWhole = isRising && seqs.at(-1) === lastSeq && bytes.byteLength === wireBytes;
    return isWhole ? [] : [`row ${firstSeq}-${lastSeq} (${encoding}) holds ${seqs.join()}, ${bytes.byteLength} bytes`];
  });
}

test("B2, B7: killed over and over under pressure, every reader goes on, and nothing stays behind", async () => {
  const random = seededRandom("kill -9 under pressure");
  const folder = mkdtempSync(join(tmpdir(), "spillway-pressed-"));
  scene.folders.push(folder);
  const sums = new Sums();
  let service = await serve(folder, random, undefined);
  const port = Number(new URL(service.origin).port);
  for (let round = 0; round < KILLS || (unmet(sums).length > 0 && round < MOST_KILLS); round++) {
    const streams = await runUntilKilled(service, round, random);
    sums.kills++;
    expect(rowFaults(folder, sums)).toEqual([]);
    service = await serve(folder, random, port);
    const { origin } = service;
    const faults = await Promise.all(streams.map((stream) => checkStream(origin, stream, sums)));
    expect(faults.flat()).toEqual([]);
  }
  await until(() => objectsWithTables(folder).length === 0, "empty storage");
  await service.kill();
  expect(objectsWithTables(folder)).toEqual([]);
  console.log(`kill -9 under pressure: ${JSON.stringify(sums)}`);
  expect(unmet(sums)).toEqual([]);
});

/** What the test is about and has not happened. */
function unmet({ interrupted, rewinds, folds, trimmed, gaps, snapshots, rows }: Sums): string[] {
  const counts: Record<string, number> = { interrupted, rewinds, folds, trimmed, gaps, snapshots };
  return [
    ...Object.keys(counts).filter((name) => counts[name] === 0),
    ...ROW_KINDS.filter((kind) => rows[kind] === undefined),
  ];
}
