/**
 * A broken promise of the code under test, as the checker found it.
 */
export type Invariant = "B1" | "B2" | "B3" | "B4" | "B5" | "B6" | "B7" | "B8" | "protocol" | "durability" | "liveness";

export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
    this.name = "Violation";
  }
}

export function fail(invariant: Invariant, message: string): never {
  throw new Violation(invariant, message);
}
