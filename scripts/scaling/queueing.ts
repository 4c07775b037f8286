/**
 * Queues with an exact answer: one server, first come first served, arrivals that know nothing of each other.
 * What simulated-queue.ts is held against. Pure.
 *
 * Sources: Pollaczek–Khinchine for the mean wait of M/G/1; Erlang's distribution of the wait of M/D/1.
 */

export interface FixedService {
  readonly arrivalsPerSec: number;
  readonly serviceSec: number;
}

/** The share of time that the server works: from 1 on, the queue grows for ever. */
export function utilization({ arrivalsPerSec, serviceSec }: FixedService): number {
  return arrivalsPerSec * serviceSec;
}

/** Mean wait before service in s, all services equally long: M/D/1. */
export function meanWaitSec(queue: FixedService): number {
  return meanWaitOfMixSec(queue.arrivalsPerSec, [{ share: 1, serviceSec: queue.serviceSec }]);
}

/** Mean wait in s where services are of several lengths: M/G/1. */
export function meanWaitOfMixSec(
  arrivalsPerSec: number,
  mix: readonly { readonly share: number; readonly serviceSec: number }[],
): number {
  const mean = mix.reduce((sum, { share, serviceSec }) => sum + share * serviceSec, 0);
  const square = mix.reduce((sum, { share, serviceSec }) => sum + share * serviceSec ** 2, 0);
  const busy = arrivalsPerSec * mean;
  return busy >= 1 ? Number.POSITIVE_INFINITY : (arrivalsPerSec * square) / (2 * (1 - busy));
}

/** How likely a wait of M/D/1 is no longer than `waitSec`. Exact, but loses its digits beyond some 20 services. */
export function shareWithin(queue: FixedService, waitSec: number): number {
  const busy = utilization(queue);
  if (busy >= 1) return 0;
  let sum = 0;
  for (let ahead = 0; ahead * queue.serviceSec <= waitSec; ahead++) {
    const x = queue.arrivalsPerSec * (waitSec - ahead * queue.serviceSec);
    sum += ((-x) ** ahead / factorial(ahead)) * Math.exp(x);
  }
  return Math.min(1, (1 - busy) * sum);
}

/**
 * The wait of the last of many that come within a time too short for the server: what is left then of the
 * work that they have brought.
 */
export function longestWaitOfBurstSec(arrivals: number, withinSec: number, serviceSec: number): number {
  return Math.max(0, (arrivals - 1) * serviceSec - withinSec);
}

function factorial(of: number): number {
  let product = 1;
  for (let factor = 2; factor <= of; factor++) product *= factor;
  return product;
}
