/**
 * What a run has reached, counted by name: a simulation that never meets a gap proves nothing about
 * gaps.
 */
export function cellName(state: string, fault: string): string {
  return `${state} × ${fault}`;
}

export class Coverage {
  private readonly counts = new Map<string, number>();
  private readonly cells = new Map<string, number>();

  note(name: string, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times);
  }

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  add(other: Coverage): void {
    for (const [name, times] of other.counts) this.note(name, times);
    for (const [cell, times] of other.cells) this.cells.set(cell, (this.cells.get(cell) ?? 0) + times);
  }

  /** A fault has struck something that was in this state. */
  strike(state: string, fault: string, times = 1): void {
    const cell = cellName(state, fault);
    this.cells.set(cell, (this.cells.get(cell) ?? 0) + times);
  }

  /** By {@link cellName}. */
  strikes(): readonly (readonly [string, number])[] {
    return [...this.cells];
  }

  /** By name, for a table. */
  entries(): readonly (readonly [string, number])[] {
    return [...this.counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}
