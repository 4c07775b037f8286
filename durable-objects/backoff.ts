/**
 * How long to wait before the next try of something that failed.
 */

export interface BackoffSettings {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Doubles with every attempt and takes a random half of it off ("equal jitter"): never at once, and never
 * all in step.
 *
 * @param attempts failures so far, from 1
 * @param random 0 to 1
 */
export function backoffMs(attempts: number, random: number, { firstMs, maxMs }: BackoffSettings): number {
  const ceilingMs = Math.min(maxMs, firstMs * 2 ** Math.min(attempts - 1, 30));
  return Math.ceil(ceilingMs / 2 + (ceilingMs / 2) * random);
}
