/** How much a full and a quick run measure. Pure. */

export interface Plan {
  readonly isQuick: boolean;
  readonly rounds: number;
  /** Of these rounds, the first so many measure memory, each on a fresh instance. */
  readonly memoryRounds: number;
  /** The most events that any stream holds. */
  readonly maxEvents: number;
  /** How long each way of appending is kept up, about. */
  readonly appendSec: number;
  readonly live: { readonly rate: number; readonly seconds: number };
  readonly replays: readonly { readonly events: number; readonly repetitions: number }[];
  readonly fanOut: { readonly readers: readonly number[]; readonly stepSec: number; readonly deliveredAtFirst: number };
  readonly streams: { readonly count: number; readonly rate: number; readonly seconds: number };
  readonly memory: { readonly streams: number; readonly events: number; readonly settleSec: number };
  /** Events of the streams whose stored bytes are told. */
  readonly stored: readonly number[];
}

export const FULL: Plan = {
  isQuick: false,
  rounds: 3,
  memoryRounds: 2,
  maxEvents: 30_000,
  appendSec: 1.5,
  live: { rate: 100, seconds: 4 },
  replays: [
    { events: 256, repetitions: 100 },
    { events: 1000, repetitions: 60 },
  ],
  fanOut: { readers: [50, 200], stepSec: 1, deliveredAtFirst: 20_000 },
  streams: { count: 200, rate: 25, seconds: 3 },
  memory: { streams: 200, events: 256, settleSec: 1.5 },
  stored: [256, 1000],
};

/** The same figures from less: to see that all of it works. */
export const QUICK: Plan = {
  ...FULL,
  isQuick: true,
  rounds: 1,
  memoryRounds: 1,
  appendSec: 0.5,
  live: { rate: 100, seconds: 1 },
  replays: [
    { events: 256, repetitions: 20 },
    { events: 1000, repetitions: 20 },
  ],
  fanOut: { readers: [50, 200], stepSec: 0.5, deliveredAtFirst: 40_000 },
  streams: { count: 200, rate: 25, seconds: 1 },
  memory: { streams: 200, events: 256, settleSec: 0.5 },
};

/** How many events make a run of about so many seconds. */
export function eventsFor(
  ratePerSec: number,
  seconds: number,
  { least, most }: { least: number; most: number },
): number {
  const wanted = Math.round(ratePerSec * seconds);
  return Number.isFinite(wanted) ? Math.min(most, Math.max(least, wanted)) : least;
}
