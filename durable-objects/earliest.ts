/**
 * The earliest of several times, of which some may not be set. Pure.
 *
 * @returns `undefined` when none is set
 */
export function earliest(times: Iterable<number | undefined>): number | undefined {
  let found: number | undefined;
  for (const time of times) {
    if (time !== undefined && (found === undefined || time < found)) found = time;
  }
  return found;
}
