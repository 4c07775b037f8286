/**
 * How full a shard is, in the steps at which somebody should know. Pure.
 */

const MARKS = [0.9, 0.7, 0.5] as const;
/** A mark is left only well below it, so that a fill that hovers there is not told again and again. */
const HYSTERESIS = 0.05;

/**
 * @param fillRate 0 to 1
 * @param previous the mark so far
 * @returns the highest mark reached: 0, 0.5, 0.7 or 0.9
 */
export function fillMarkOf(fillRate: number, previous: number): number {
  const reached = MARKS.find((mark) => fillRate >= mark) ?? 0;
  if (reached >= previous) return reached;
  return fillRate >= previous - HYSTERESIS ? previous : reached;
}
