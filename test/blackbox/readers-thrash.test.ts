/**
 * More readers than places: they take turns, and do not throw each other out without end. Each evicted
 * one is asked to stay away for longer than the one before, and in the end everybody has everything.
 */
import { randomUUID } from "node:crypto";

import { expect, onTestFinished, test } from "vitest";

import { follow, sendSteadily } from "../fixtures/following.ts";
import { liveSource } from "../fixtures/live-source.ts";
import { serveToldAndPlain } from "../fixtures/told-and-plain.ts";

const PLACES = 2;
const READERS = PLACES + 2;
const RETRY_MS = 20;
/** Enough to see the doubling: by then a wait is more than sixty times the first one. */
const EVICTIONS = 8;

/** Until so many evictions were seen, then to the end of the stream. */
async function crowd(route: string, bufferEvents: number) {
  const { service, upstream } = await serveToldAndPlain({
    SSE_MAX_CLIENTS: PLACES,
    SSE_RETRY_MS: RETRY_MS,
    SSE_CLEANUP_INTERVAL_SEC: 1,
    SSE_BUFFER_MAX_EVENTS: bufferEvents,
  });
  const live = liveSource();
  upstream.handle(live.handler);
  const url = `${service.origin}/${route}/stream?idempotency_key=${randomUUID()}`;
  const readers = Array.from({ length: READERS }, () => follow(url));
  onTestFinished(() => readers.forEach(({ source }) => source.close()));
  await live.open();
  const steady = sendSteadily(live, 25);
  const evictionsAtMs = () =>
    service
      .telemetry("SseReaderRemoved")
      .filter(({ reason }) => reason === "evicted")
      .map(({ time }) => Date.parse(String(time)));
  await expect.poll(() => evictionsAtMs().length, { timeout: 30_000 }).toBeGreaterThanOrEqual(EVICTIONS);
  const evictions = evictionsAtMs();
  const events = steady.end();
  await expect.poll(() => readers.map(({ isOver }) => isOver), { timeout: 30_000 }).toEqual(readers.map(() => true));
  return { readers, evictions, events };
}

function expectGrowingPauses(evictionsAtMs: readonly number[]): void {
  // Who was evicted comes back and evicts the next: with two outside, every other eviction follows from
  // the one before last, and comes after the wait that one was given.
  for (let at = 2; at < evictionsAtMs.length; at++) {
    const pauseMs = (evictionsAtMs[at] ?? 0) - (evictionsAtMs[at - 2] ?? 0);
    expect(pauseMs, `pause before eviction ${at}`).toBeGreaterThanOrEqual(RETRY_MS * 2 ** (at - 1));
  }
}

test.each([
  { route: "told", bufferEvents: 16, hasGaps: true },
  // Its readers are told of no gaps, but refused.
  { route: "plain", bufferEvents: 4096, hasGaps: false },
])(
  "two readers more than places: evictions become rarer, and nobody misses a thing unsaid ($route)",
  async ({ route, bufferEvents, hasGaps }) => {
    const { readers, evictions, events } = await crowd(route, bufferEvents);
    expectGrowingPauses(evictions);
    // Nobody connects but at first and after an eviction, and that is a small part of what asking all to
    // come back after the same short time would have come to.
    const connections = readers.reduce((sum, { openedAtMs }) => sum + openedAtMs.length, 0);
    const tookMs = (evictions.at(-1) ?? 0) - (evictions[0] ?? 0);
    expect(connections).toBeLessThan((READERS - PLACES) * (tookMs / RETRY_MS / 4));
    for (const { seqs } of readers) expect(seqs).toEqual(Array.from({ length: events }, (_, at) => at + 1));
    // Who was away for longer than the buffer reaches back is told what it missed.
    expect(readers.some(({ gapSeqs }) => gapSeqs.length > 0)).toBe(hasGaps);
  },
);
