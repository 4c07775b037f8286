/**
 * A hundred readers who come back at once with one token: with places for all of them, and without.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { createRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import type { ChaosReader } from "./fixtures/chaos-reader.ts";
import type { ChaosStream } from "./fixtures/chaos-stream.ts";
import { ChaosScene, perform } from "./scene.ts";

const CROWD = 100;
const EVENTS = 60;
const DEFAULT_PLACES = 20;
const RETRY_MS = 50;

const scenes: ChaosScene[] = [];
async function begin(vars: Readonly<Record<string, unknown>>): Promise<ChaosScene> {
  // Those who were sent away come back in small groups when their stream is over.
  const scene = await ChaosScene.begin({ vars: { SSE_RETRY_MS: RETRY_MS, SSE_SNAPSHOT_TTL_SEC: 15, ...vars } });
  scenes.push(scene);
  return scene;
}
afterAll(async () => {
  for (const scene of scenes) await scene.end();
});

interface Place {
  readonly reader: ChaosReader;
  readonly hadSeq: number;
}

/** All at once with the stream's first token, each at a position of its own. One that is cut before its answer has none. */
async function comeBack(stream: ChaosStream, seed: number): Promise<Place[]> {
  const random = createRandom(seed);
  const places = Array.from({ length: CROWD }, (_, at) => ({
    reader: stream.reader(`reader ${at + 1} of ${CROWD}`),
    hadSeq: random.int(0, EVENTS),
  }));
  await Promise.all(
    places.map(({ reader, hadSeq }) =>
      reader.resume({ after: idOf(hadSeq), token: stream.token }).catch((error: unknown) => {
        if (!(error instanceof TypeError)) throw error;
      }),
    ),
  );
  return places;
}

const idOf = (seq: number) => (seq === 0 ? "0-0" : `1-${seq}`);
const many = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

let roomy: ChaosScene;
beforeAll(async () => {
  roomy = await begin({ SSE_MAX_CLIENTS: CROWD + 10 });
});

test.concurrent("with places for all, all get all, from wherever they are", async () => {
  await perform(roomy, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    const places = await comeBack(stream, 71);
    await source.drip(EVENTS);
    source.end();
    await Promise.all([first, ...places.map(({ reader }) => reader)].map((reader) => reader.untilEnd()));
    return { readers: [first, ...places], telemetry: { SseResumeLiveEnd: many(CROWD, { state: "completed" }) } };
  });
});

test.concurrent("on a finished stream, all get all, and those who have it are told so", async () => {
  await perform(roomy, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    source.end();
    await first.untilEnd();
    const places = await comeBack(stream, 72);
    const served = places.filter(({ reader }) => reader.connections[0]?.status === 200);
    expect(served.map(({ hadSeq }) => hadSeq === EVENTS)).not.toContain(true);
    await Promise.all(served.map(({ reader }) => reader.untilEnd()));
    return { readers: [first, ...places] };
  });
});

test.concurrent("at the default limit the oldest make way: told when to come back, in vain for nobody, and without a thrash", async () => {
  const scene = await begin({});
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    const places = await comeBack(stream, 73);
    const all = [{ reader: first, hadSeq: 0 }, ...places];
    await stream.untilReaders(DEFAULT_PLACES);
    const open = () => all.filter(({ reader }) => reader.connections.some(({ outcome }) => outcome === "open"));
    await until(() => open().length === DEFAULT_PLACES, `${DEFAULT_PLACES} open connections`);
    const staying = open();
    const evicted = all.filter((place) => !staying.includes(place));
    // Those who are leaving hold a bounded number of bytes: beyond it they are cut, some before their answer.
    const told = evicted.filter(({ reader }) => (reader.connections[0]?.retries.length ?? 0) > 1);
    expect(told.length).toBeGreaterThan(evicted.length / 2);
    const waits = told.map(({ reader }) => reader.reading.retries.at(-1) ?? 0);
    // Asked to stay away for longer than usual, since readers evict each other, and not all for the same time.
    expect(Math.min(...waits)).toBeGreaterThan(RETRY_MS);
    expect(new Set(waits).size).toBeGreaterThan(told.length / 2);
    for (const { reader } of told) expect(reader.reading.outcome).toBe("closed");

    // Those who have a place keep it, and get everything as it comes.
    await source.drip(EVENTS);
    source.end();
    await Promise.all(staying.map(({ reader }) => reader.untilEnd()));
    // Those who were sent away come back to the rest, fewer at a time than there are places.
    for (let at = 0; at < evicted.length; at += DEFAULT_PLACES / 2) {
      const batch = evicted.slice(at, at + DEFAULT_PLACES / 2);
      await Promise.all(
        batch.map(({ reader, hadSeq }) => reader.resume({ after: idOf(Math.max(hadSeq, reader.seq)) })),
      );
      await Promise.all(batch.map(({ reader }) => reader.untilEnd()));
    }
    const resumes = places.length + evicted.length;
    return {
      readers: all,
      telemetry: {
        SseResumeAttempt: resumes,
        SseResumeSuccess: resumes,
        SseResumeIssued: 1 + resumes,
        SseReaderRemoved: many(evicted.length, { reason: "evicted" }),
        SseResumeLiveEnd: { min: staying.length, max: places.length },
      },
    };
  });
});

test.concurrent("at the default limit with policy reject: as many as there are places, and 429 with a time for the others", async () => {
  const scene = await begin({ SSE_CLIENT_LIMIT_POLICY: "reject" });
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    const places = await comeBack(stream, 74);
    const admitted = places.filter(({ reader }) => reader.connections[0]?.status === 200);
    expect(admitted).toHaveLength(DEFAULT_PLACES - 1);
    await source.drip(EVENTS);
    source.end();
    await Promise.all([first, ...admitted.map(({ reader }) => reader)].map((reader) => reader.untilEnd()));
    const refused = places.filter((place) => !admitted.includes(place));
    for (const { reader } of refused) expect(reader.connections[0]?.code).toBe("reader_limit");
    for (const { reader, hadSeq } of refused) {
      expect(await reader.resume({ after: idOf(hadSeq) })).toBe(200);
      await reader.untilEnd();
    }
    return { readers: [first, ...places] };
  });
});
