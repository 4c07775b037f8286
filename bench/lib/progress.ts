/**
 * How a long run tells where it is: on stderr, with the seconds since it began.
 *
 * @param beganMs by `Date.now()`
 */
export function progressSince(beganMs: number): (line: string) => void {
  return (line) => {
    const seconds = Math.round((Date.now() - beganMs) / 1000);
    process.stderr.write(`${String(seconds).padStart(4)} s  ${line}\n`);
  };
}
