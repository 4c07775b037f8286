/**
 * What an event costs that makes an older one give way, at buffers of very different sizes: in this process,
 * over the whole buffer with SQLite in memory, and over its index alone.
 */
import { SegmentIndex, toSegment, type Piece } from "../../durable-objects/stream/segment-index.ts";
import type { Priority } from "../../protocol/priority.ts";
import { event, makeBuffer, NOW_MS } from "../../test/simulation/buffer-harness.ts";
import type { Plan } from "../lib/options.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface EvictionResult {
  /** `SSE_BUFFER_MAX_EVENTS`. */
  readonly maxEvents: number;
  /** Events evicted in each round. */
  readonly events: number;
  readonly rounds: number;
  /** Framing, taking in, writing, evicting and deleting: all that a buffer does for an event, µs. */
  readonly bufferUs: Spread;
  /** Taking in and evicting in the index, events of one priority and 16 KiB segments, µs. */
  readonly indexUs: Spread;
  /** The same where every event is a segment of its own: priorities take turns, the lowest give way first. */
  readonly mixedUs: Spread;
  /** Whether as many events gave way as came in, each time. */
  readonly isExact: boolean;
}

const DATA = "x".repeat(200);
const PIECE_BYTES = 220;
const EVENTS_A_SEGMENT = 74;
const US_PER_MS = 1000;
/** Never reached: the limit on events is what is measured. */
const NO_BYTE_LIMIT = 1024 ** 3;
const WARM_UP_ROUNDS = 2;

export function measureEviction(
  { limits, events, rounds }: Plan["eviction"],
  note: (line: string) => void,
): EvictionResult[] {
  note(`limits of ${limits.join(", ")} events, by turns`);
  const scenes = limits.map((maxEvents) => ({
    maxEvents,
    works: { buffer: bufferWork(maxEvents), index: indexWork(maxEvents, false), mixed: indexWork(maxEvents, true) },
    us: { buffer: new Array<number>(), index: new Array<number>(), mixed: new Array<number>() },
    isExact: true,
  }));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const scene of scenes) {
      for (const name of ["buffer", "index", "mixed"] as const) {
        const beganMs = performance.now();
        const evicted = scene.works[name](events);
        const us = ((performance.now() - beganMs) / events) * US_PER_MS;
        if (round >= 0) scene.us[name].push(us);
        scene.isExact &&= evicted === events;
      }
    }
  }
  return scenes.map(({ maxEvents, us, isExact }) => ({
    maxEvents,
    events,
    rounds,
    bufferUs: spreadOf(us.buffer),
    indexUs: spreadOf(us.index),
    mixedUs: spreadOf(us.mixed),
    isExact,
  }));
}

/** Takes in so many events, and tells how many others gave way. */
type Work = (events: number) => number;

function bufferWork(maxEvents: number): Work {
  const { buffer, evictions } = makeBuffer({ maxEvents, maxBytes: NO_BYTE_LIMIT });
  const batch = [event(DATA)];
  const work = (events: number) => {
    // The harness keeps what it was told; a stream does not.
    evictions.length = 0;
    const before = buffer.trimmedEvents;
    for (let count = 0; count < events; count++) {
      buffer.append(batch, NOW_MS);
      buffer.settle(NOW_MS);
    }
    return buffer.trimmedEvents - before;
  };
  work(maxEvents);
  return work;
}

function indexWork(maxEvents: number, isMixed: boolean): Work {
  const index = new SegmentIndex();
  const limits = { maxEvents, maxBytes: NO_BYTE_LIMIT };
  const bytes = new Uint8Array(PIECE_BYTES);
  let seq = 0;
  const take = () => {
    const piece: Piece = { firstSeq: ++seq, lastSeq: seq, bytes };
    const open = index.newest();
    if (!isMixed && open !== undefined && !open.isEvicted && open.eventCount < EVENTS_A_SEGMENT) {
      index.grow(open, piece);
    } else {
      index.push(segmentOf(piece, isMixed ? priorityAt(seq) : 1));
    }
    const evictions = index.enforce(limits);
    return evictions.reduce((sum, { events }) => sum + events, 0);
  };
  const work = (events: number) => {
    let evicted = 0;
    for (let count = 0; count < events; count++) evicted += take();
    return evicted;
  };
  work(maxEvents);
  return work;
}

/** Half low, half normal: a low event gives way as soon as it comes, a normal one pushes the oldest out. */
function priorityAt(seq: number): Priority {
  return seq % 2 === 0 ? 0 : 1;
}

function segmentOf({ firstSeq, lastSeq, bytes }: Piece, priority: Priority) {
  const byteSize = bytes.byteLength;
  const facts = { firstSeq, lastSeq, priority, eventCount: 1, byteSize, wireBytes: byteSize } as const;
  const shape = { encoding: "plain", frameEnds: undefined } as const;
  return toSegment({ ...facts, ...shape }, { isStored: true, pieces: [], folds: undefined });
}
