/**
 * How much of the load that was asked for there was: half the streams, or streams at half their pace, are an
 * easier run. Pure.
 */
import type { Sample } from "./samples.ts";

export interface LoadShare {
  /** Of the streams asked for that were live, on average. */
  readonly liveShare: number;
  /** Of the events that their sources had meanwhile that were received; above 1 where it caught up. */
  readonly deliveredShare: number;
}

const SECOND_MS = 1000;
/** Streams begin within the first second, and send in the next. */
const LOAD_FROM_SEC = 2;

/**
 * From whole second to whole second, while streams are kept up: events are counted by those.
 * @returns `undefined` where nothing was seen
 */
export function loadShareOf(
  samples: readonly Sample[],
  { streams, seconds, endMs }: { readonly streams: number; readonly seconds: number; readonly endMs: number },
): LoadShare | undefined {
  const toSec = Math.min(seconds, Math.floor(endMs / SECOND_MS));
  const isWithin = (atMs: number) => atMs >= LOAD_FROM_SEC * SECOND_MS && atMs < toSec * SECOND_MS;
  let looks = 0;
  let live = 0;
  let offeredPerSec = 0;
  let events = 0;
  for (const sample of samples) {
    if (!isWithin(sample.atMs)) continue;
    if (sample.kind === "events") events += sample.count;
    if (sample.kind !== "live") continue;
    looks++;
    live += sample.streams;
    offeredPerSec += sample.offeredPerSec;
  }
  if (looks === 0 || offeredPerSec === 0) return undefined;
  const offered = (offeredPerSec / looks) * (toSec - LOAD_FROM_SEC);
  return { liveShare: live / looks / streams, deliveredShare: events / offered };
}
