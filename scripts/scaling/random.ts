/**
 * Chance from a seed: the same numbers each time. Not for secrets.
 */

/** @returns numbers from 0 (included) to 1 (excluded); mulberry32 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Times between arrivals that know nothing of each other. */
export function exponential(random: () => number, perSec: number): number {
  return -Math.log(1 - random()) / perSec;
}
