/**
 * Counts of latencies in buckets of 1 %: small enough to hand from process to process, exact enough
 * for percentiles of a noisy machine.
 */

const GROWTH = 1.01;
const LOG_GROWTH = Math.log(GROWTH);

export class LatencyHistogram {
  /** How many latencies fell into `GROWTH ** index` µs and above. */
  readonly counts: number[];

  constructor(counts: readonly number[] = []) {
    this.counts = [...counts];
  }

  add(latencyUs: number): void {
    const index = latencyUs <= 1 ? 0 : Math.floor(Math.log(latencyUs) / LOG_GROWTH);
    while (this.counts.length <= index) this.counts.push(0);
    this.counts[index] = (this.counts[index] ?? 0) + 1;
  }

  merge(counts: readonly number[]): void {
    while (this.counts.length < counts.length) this.counts.push(0);
    for (const [index, count] of counts.entries()) this.counts[index] = (this.counts[index] ?? 0) + count;
  }

  /** @param share between 0 and 1; the middle of the bucket that holds it, `NaN` where nothing was counted */
  quantileUs(share: number): number {
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    let passed = 0;
    for (const [index, count] of this.counts.entries()) {
      passed += count;
      if (count > 0 && passed >= total * share) return GROWTH ** (index + 0.5);
    }
    return Number.NaN;
  }
}
