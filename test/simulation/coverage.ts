/**
 * What a run has reached, counted by name: a simulation that never meets a gap proves nothing about
 * gaps.
 */
export class Coverage {
  private readonly counts = new Map<string, number>();

  note(name: string, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times);
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  add(other: Coverage): void {
    for (const [name, times] of other.counts) this.note(name, times);
  }

  /** By name, for a table. */
  entries(): readonly (readonly [string, number])[] {
    return [...this.counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}
