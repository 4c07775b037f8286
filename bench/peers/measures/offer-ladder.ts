/**
 * Offered load, raised until it is used up: which rate comes next, and which step tells the figure. Pure.
 */

export interface LadderStep {
  /** Events a second that the producer kept to. */
  readonly rate: number;
  readonly offeredPerSec: number;
  readonly deliveredPerSec: number;
  readonly readers: number;
  readonly wholeReaders: number;
}

/** What is delivered of what is offered, from which on a system counts as keeping up. */
const KEEPS_UP = 0.9;
const LEAST_RATE = 10;
/** A second of it is as much as any stream of the run holds. */
const MOST_RATE = 25_600;
/** One short pause of the machine is not the system's: what falls short is tried again. */
const TRIES = 2;

/**
 * Doubles the rate as long as the system keeps up, in one of two tries. Where readers lost events in both it goes down
 * instead, until a step is whole: what was lost was not delivered.
 *
 * @returns the rate of the next step; nothing, when the ladder is done
 */
export function nextRate(steps: readonly LadderStep[], firstRate: number): number | undefined {
  const last = steps.at(-1);
  if (last === undefined) return Math.min(MOST_RATE, Math.max(LEAST_RATE, Math.round(firstRate)));
  const tries = steps.filter(({ rate }) => rate === last.rate);
  const isReached = tries.some((step) => isWhole(step) && keepsUp(step));
  if (!isReached && tries.length < TRIES) return last.rate;
  const next = isReached ? raised(steps, last.rate) : lowered(tries, last.rate);
  // Up again after down, or the other way, ends where it has been.
  return next === undefined || steps.some(({ rate }) => rate === next) ? undefined : next;
}

function raised(steps: readonly LadderStep[], rate: number): number | undefined {
  const isFalling = steps.some((step) => step.rate > rate);
  return isFalling || rate * 2 > MOST_RATE ? undefined : rate * 2;
}

function lowered(tries: readonly LadderStep[], rate: number): number | undefined {
  return tries.some(isWhole) || rate / 2 < LEAST_RATE ? undefined : Math.round(rate / 2);
}

/** The most that was delivered with nothing lost; of nothing but lossy steps, the most of those. */
export function bestStep(steps: readonly LadderStep[]): LadderStep | undefined {
  const whole = steps.filter(isWhole);
  return (whole.length > 0 ? whole : steps).toSorted((a, b) => b.deliveredPerSec - a.deliveredPerSec)[0];
}

/** Whether a system still kept up where the ladder ends: then it may do more than its figure says. */
export function isAtTop(step: LadderStep): boolean {
  return step.rate * 2 > MOST_RATE && keepsUp(step);
}

/** Steps in which readers lost events: to be told beside the figure, whichever step it comes from. */
export function lossOf(steps: readonly LadderStep[]): string | undefined {
  const lossy = steps.filter((step) => !isWhole(step)).toSorted((a, b) => a.rate - b.rate)[0];
  if (lossy === undefined) return undefined;
  const { readers, wholeReaders, offeredPerSec } = lossy;
  return `${readers - wholeReaders} of ${readers} readers lost events at ${offeredPerSec} offered/s`;
}

function keepsUp({ deliveredPerSec, offeredPerSec }: LadderStep): boolean {
  return deliveredPerSec >= KEEPS_UP * offeredPerSec;
}

function isWhole({ readers, wholeReaders }: LadderStep): boolean {
  return readers === wholeReaders;
}
