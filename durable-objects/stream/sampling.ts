/**
 * Keeps a share of what comes, evenly spread: of four events at a share of a quarter, the fourth.
 */
export class Sampling {
  private seen = 0;
  private readonly share: number;

  /** @param share 0 to 1 */
  constructor(share: number) {
    this.share = share;
  }

  /** Whether the next one is kept. */
  keepsNext(): boolean {
    const keptBefore = Math.floor(this.seen * this.share);
    this.seen++;
    return Math.floor(this.seen * this.share) > keptBefore;
  }
}
