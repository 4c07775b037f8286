/**
 * One object gets far more events and readers than it can serve at once: it takes in what it can, refuses the rest
 * in words, lies to nobody, stays within its memory, and is as quick as before when the flood is over.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { anonymousBytes, asMb, watchMemory } from "../fixtures/process-memory.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { openReader } from "../fixtures/process-reader.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { FloodSource, joinCrowd } from "./faults/crowd.ts";
import { medianStartMs } from "./faults/latency.ts";
import { proveGone, proveTold } from "./faults/proofs.ts";
import { placeOf } from "./fixtures/clean-up-proof.ts";
import { ChaosScene } from "./scene.ts";

const EVENTS = 5000;
const READERS = 300;
const READERS_MAX = 200;
const STARTS = 200;
/** Most of a kilobyte each: 200 readers are sent 750 MB, far more than they may cost. */
const SCRIPT = {
  events: EVENTS,
  minChars: 200,
  maxChars: 800,
  largeEvery: 0,
  largeChars: 0,
  stageEvery: 0,
  burst: 0,
  pauseMs: 0,
};
/** Each reader's queue is 64 KiB at most; its connection and what the runtime keeps for it come on top. */
const MEMORY_MAX_BYTES = 400 * 1_048_576;

let upstream: Upstream;
let scene: ChaosScene;
beforeAll(async () => {
  upstream = await startUpstream();
  scene = await ChaosScene.begin({
    vars: { SSE_MAX_CLIENTS: READERS_MAX, SSE_CLIENT_LIMIT_POLICY: "reject" },
    routes: [
      { name: "flood", upstream: upstream.origin },
      { name: "demo", upstream: "builtin:demo" },
    ],
  });
});
afterAll(async () => {
  await scene.end();
  await upstream.stop();
});

test(`${EVENTS} events at once to ${READERS} readers of which ${READERS_MAX} may be there`, async () => {
  const random = seededRandom("flood");
  const script = { ...SCRIPT, seed: random.int(1, 1e6) };
  const source = new FloodSource(script);
  upstream.handle(source.handler);
  const { origin } = scene.service;
  const quietMs = await medianStartMs(origin);
  const restBytes = anonymousBytes(scene.service.runtimePid());
  const memory = watchMemory(scene.service.runtimePid());

  const first = await openReader(`${origin}/flood/stream`);
  const token = first.header("x-resume-token");
  const place = placeOf(scene.folder, first.requestId);
  const crowd = await joinCrowd(READERS, { url: `${origin}/flood/resume`, headers: position(token), script });
  const admitted = crowd.filter(({ reader }) => reader.status === 200);
  const refused = crowd.filter(({ reader }) => reader.status !== 200);
  expect(admitted).toHaveLength(READERS_MAX - 1);
  expect(new Set(refused.map(({ reader }) => reader.status))).toEqual(new Set([429]));
  for (const { reader } of refused) expect(Number(reader.header("retry-after"))).toBeGreaterThan(0);

  const begunAtMs = performance.now();
  source.letGo();
  for (const { reader } of admitted) expect(await reader.toEnd()).toBe("ended");
  const tookMs = performance.now() - begunAtMs;
  memory.stop();
  expect(source.isDone).toBe(true);
  const received = admitted.reduce((sum, { checker }) => sum + checker.received.length, 0);
  const missing = admitted.reduce((sum, { checker }) => sum + missingIn(checker.gaps), 0);
  const grownBytes = memory.peakBytes() - restBytes;
  const busyMs = await medianStartMs(origin);
  console.log(
    `flood: ${JSON.stringify({ received, missing, perSec: Math.round((received / tookMs) * 1000), grown: asMb(grownBytes), quietMs, busyMs })}`,
  );
  for (const { checker } of admitted) {
    expect(checker.faults).toEqual([]);
    // Each event came, or the reader was told which did not.
    expect(checker.received.length + missingIn(checker.gaps)).toBe(EVENTS);
    expect(checker.end).toMatchObject({ status: "complete", last_id: `1-${EVENTS}` });
  }
  expect(grownBytes).toBeLessThan(MEMORY_MAX_BYTES);
  expect(busyMs).toBeLessThan(Math.max(10 * quietMs, 250));

  await proveGone(scene, { place, route: "flood", token });
  await proveTold(scene, place, {
    SseStreamStarted: 1,
    SseStreamEnded: 1,
    SseResumeAttempt: READERS,
    SseResumeSuccess: READERS_MAX - 1,
    SseResumeIssued: READERS_MAX,
  });
});

test(`${STARTS} starts with one key at once are one stream and one call of the upstream`, async () => {
  const random = seededRandom("starts");
  const script = { ...SCRIPT, events: 200, seed: random.int(1, 1e6) };
  const source = new FloodSource(script);
  upstream.handle(source.handler);
  const url = `${scene.service.origin}/flood/stream`;
  const headers = { "Idempotency-Key": `chaos-starts-${random.int(1, 1e9)}` };
  const crowd = await joinCrowd(STARTS, { url, headers, script });
  expect(new Set(crowd.map(({ reader }) => reader.status))).toEqual(new Set([200]));
  expect(new Set(crowd.map(({ reader }) => reader.requestId)).size).toBe(1);
  const { reader } = crowd[0] ?? { reader: undefined };
  if (reader === undefined) throw new Error("nobody came");
  const place = placeOf(scene.folder, reader.requestId);
  source.letGo();
  for (const { reader: each } of crowd) expect(await each.toEnd()).toBe("ended");
  expect(source.calls).toBe(1);
  for (const { checker } of crowd) {
    expect([checker.faults, checker.gaps, checker.received.length]).toEqual([[], [], script.events]);
    expect(checker.end).toMatchObject({ status: "complete" });
  }
  await proveGone(scene, { place, route: "flood", token: reader.header("x-resume-token") });
  await proveTold(scene, place, { SseStreamStarted: 1, SseStreamEnded: 1, SseResumeIssued: STARTS });
});

function position(token: string): Readonly<Record<string, string>> {
  return { "X-Resume-Token": token, "Last-Event-ID": "0-0" };
}

function missingIn(gaps: readonly { readonly from: number; readonly to: number }[]): number {
  return gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}
