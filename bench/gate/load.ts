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
const MORE_CUTS_CHANCE = 0.25;
/** Cuts fall between and into events, not only behind them. */
const MAX_CUT_DELAY_MS = 60;
const RAMP_MS = 1000;
/** Whoever was refused does not come back at once. */
const REFUSED_MS = 250;

export interface LoadPlan {
  readonly streams: number;
  readonly cutShare: number;
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadParts extends ReaderParts {
  readonly random: Random;
  readonly connection: Pick<ReaderPlan, "startUrl" | "resumeUrl" | "headers" | "dialect">;
  /** What the next stream is made of, where that is not left to chance. */
  readonly chooseScript?: (atMs: number) => StreamScript | undefined;
}

export interface Load {
  /** Settles when the last stream is over. */
  readonly over: Promise<void>;
  readonly live: ReadonlySet<GateReader>;
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
      const reader = openReader(plan, parts);
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
    stop() {
      isStopped = true;
      for (const reader of live) reader.close();
    },
  };
}

function openReader(plan: LoadPlan, parts: LoadParts): GateReader {
  const { random, connection } = parts;
  const script = parts.chooseScript?.(parts.log.nowMs()) ?? chooseScript(plan, random);
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

function chooseScript({ rate }: LoadPlan, random: Random): StreamScript {
  const events = random.int(Math.ceil(rate * MIN_STREAM_SEC), Math.ceil(rate * MAX_STREAM_SEC));
  return { events, rate, bytes: EVENT_BYTES };
}

/** Anywhere, before the first event and behind the last one included; some readers are cut more than once. */
function chooseCuts({ cutShare }: LoadPlan, { events }: StreamScript, random: Random): ReaderPlan["cuts"] {
  if (!random.chance(cutShare)) return [];
  const places = [random.int(0, events)];
  while (random.chance(MORE_CUTS_CHANCE)) places.push(random.int(0, events));
  return places
    .toSorted((a, b) => a - b)
    .map((afterEvents) => ({ afterEvents, delayMs: random.int(0, MAX_CUT_DELAY_MS) }));
}
