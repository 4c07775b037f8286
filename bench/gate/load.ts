/**
 * Keeps so many streams live until its time is over: one that has ended is followed by a new one. Chooses what
 * each is made of and where it is cut, by a seed.
 */
import { setTimeout as wait } from "node:timers/promises";

import type { Random } from "../../test/fixtures/process-random.ts";
import type { StreamScript } from "./dialect.ts";
import { GateReader, type ReaderParts, type ReaderPlan } from "./gate-reader.ts";

/** Streams live for three to seven seconds, so that a window sees many of them end. */
const MIN_STREAM_SEC = 3;
const MAX_STREAM_SEC = 7;
const EVENT_BYTES = 200;
/**
 * One in five streams has more events than a buffer holds (256), so that it evicts; slow enough that who is away
 * for a second and more still finds the rest there.
 */
const LARGE_EVERY = 5;
const LARGE_EVENTS = { min: 384, max: 512 };
const LARGE_STREAM_SEC = { min: 5, max: MAX_STREAM_SEC };
export const BUFFER_EVENTS = 256;
const MORE_CUTS_CHANCE = 0.25;
/** Cuts fall between and into events, not only behind them. */
const MAX_CUT_DELAY_MS = 60;
export const RAMP_MS = 1000;
/** Whoever was refused does not come back at once. */
const REFUSED_MS = 250;

export interface LoadPlan {
  readonly streams: number;
  readonly cutShare: number;
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadParts extends ReaderParts {
  /** Another one for each stream. */
  readonly nextMark: () => string;
  readonly random: Random;
  readonly connection: Pick<ReaderPlan, "startUrl" | "resumeUrl" | "headers" | "dialect">;
  /** What the next stream is made of, where that is not left to chance. */
  readonly chooseScript?: (atMs: number) => StreamScript | undefined;
}

export interface Load {
  /** Settles when the last stream is over. */
  readonly over: Promise<void>;
  readonly live: ReadonlySet<GateReader>;
  /** Streams whose start was answered, and what all that were asked for send a second. */
  share(): { readonly streams: number; readonly offeredPerSec: number };
  /** All readers leave at once, and no new ones come. */
  stop(): void;
}

export function startLoad(plan: LoadPlan, parts: LoadParts): Load {
  const live = new Set<GateReader>();
  let isStopped = false;
  const isDone = () => isStopped || parts.log.nowMs() >= plan.seconds * 1000;
  const keepLive = async (at: number) => {
    await wait((RAMP_MS * at) / plan.streams);
    while (!isDone()) {
      const reader = openReader(plan, parts, at % LARGE_EVERY === 0);
      live.add(reader);
      await reader.over;
      live.delete(reader);
      if (!reader.hasStarted) await wait(REFUSED_MS);
    }
  };
  const over = Promise.all(Array.from({ length: plan.streams }, (_, at) => keepLive(at)));
  return {
    over: over.then(() => undefined),
    live,
    share() {
      const readers = [...live];
      const pending = (plan.streams - readers.length) * plan.rate;
      return {
        streams: readers.filter(({ hasStarted }) => hasStarted).length,
        offeredPerSec: readers.reduce((sum, { eventsPerSec }) => sum + eventsPerSec, pending),
      };
    },
    stop() {
      isStopped = true;
      for (const reader of live) reader.close();
    },
  };
}

function openReader(plan: LoadPlan, parts: LoadParts, isLarge: boolean): GateReader {
  const { random, connection } = parts;
  const made = parts.chooseScript?.(parts.log.nowMs()) ?? chooseScript(plan, random, isLarge);
  const script = { ...made, mark: parts.nextMark() };
  const { startUrl } = connection;
  return new GateReader(
    {
      ...connection,
      startUrl: `${startUrl}?${connection.dialect.startQuery(script)}`,
      script,
      cuts: chooseCuts(plan, script, random),
    },
    parts,
  );
}

export function chooseScript({ rate }: Pick<LoadPlan, "rate">, random: Random, isLarge: boolean): StreamScript {
  if (isLarge) {
    const events = random.int(LARGE_EVENTS.min, LARGE_EVENTS.max);
    const seconds = random.int(LARGE_STREAM_SEC.min, LARGE_STREAM_SEC.max);
    return { events, rate: Math.max(rate, Math.round(events / seconds)), bytes: EVENT_BYTES };
  }
  const events = random.int(Math.ceil(rate * MIN_STREAM_SEC), Math.ceil(rate * MAX_STREAM_SEC));
  return { events, rate, bytes: EVENT_BYTES };
}

/**
 * Anywhere, before the first event and behind the last one included; some readers are cut more than once. Of a stream
 * that overflows its buffer they are where that has given up events already.
 */
export function chooseCuts(
  { cutShare }: Pick<LoadPlan, "cutShare">,
  { events }: StreamScript,
  random: Random,
): ReaderPlan["cuts"] {
  if (!random.chance(cutShare)) return [];
  const from = events > BUFFER_EVENTS ? BUFFER_EVENTS : 0;
  const places = [random.int(from, events)];
  while (random.chance(MORE_CUTS_CHANCE)) places.push(random.int(from, events));
  return places
    .toSorted((a, b) => a - b)
    .map((afterEvents) => ({ afterEvents, delayMs: random.int(0, MAX_CUT_DELAY_MS) }));
}
