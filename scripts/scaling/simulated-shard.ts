/**
 * A shard's rule for flushing, event by event: at so many events, or at the age of the oldest. Says how often
 * that is, and how full its files are. Pure; chance comes from a seed.
 */
import { exponential } from "./random.ts";

export interface ShardTraffic {
  readonly handOversPerSec: number;
  /** Of one hand-over. */
  readonly events: number;
  readonly flushEvents: number;
  readonly flushAgeSec: number;
  /** What a flush tells of itself: there with the next one, causing none. */
  readonly ownEvents: number;
}

export interface FlushRhythm {
  readonly perSec: number;
  /** The lake's own included. */
  readonly rowsPerFile: number;
}

/** The mean: from the first event on it is so many events, or the age, whichever comes first. */
export function flushRhythm(traffic: ShardTraffic): FlushRhythm {
  const { handOversPerSec, events, flushEvents, flushAgeSec, ownEvents } = traffic;
  const eventsPerSec = handOversPerSec * events;
  // What rides along counts towards the number as well.
  const fillSec = Math.max(0, flushEvents - ownEvents) / eventsPerSec;
  const periodSec = Math.min(fillSec, flushAgeSec + 1 / handOversPerSec);
  return { perSec: 1 / periodSec, rowsPerFile: eventsPerSec * periodSec + ownEvents };
}

/** The same rule, played through. */
export function playFlushes(traffic: ShardTraffic, flushes: number, random: () => number): FlushRhythm {
  const { handOversPerSec, flushEvents, flushAgeSec, ownEvents } = traffic;
  let nowSec = 0;
  let rows = 0;
  let buffered = 0;
  let oldestSec: number | undefined;
  let partial = 0;
  for (let flushed = 0; flushed < flushes;) {
    nowSec += exponential(random, handOversPerSec);
    if (oldestSec !== undefined && nowSec - oldestSec >= flushAgeSec) {
      rows += buffered;
      flushed++;
      buffered = ownEvents;
      oldestSec = undefined;
      // The last flush is by age: time ends there, not with the hand-over after it.
      if (flushed === flushes) break;
    }
    // Hand-overs bring whole events: 1.5 of each are one and two by turns.
    partial += traffic.events;
    const brought = Math.floor(partial);
    partial -= brought;
    buffered += brought;
    oldestSec ??= nowSec;
    if (buffered >= flushEvents) {
      rows += buffered;
      flushed++;
      buffered = ownEvents;
      oldestSec = undefined;
    }
  }
  return { perSec: flushes / nowSec, rowsPerFile: rows / flushes };
}
