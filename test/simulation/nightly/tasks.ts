/**
 * What the nightly hands to a worker, and what comes back: many seeds, one deliberate fault, or the last
 * seeds of a failure made shorter.
 */
export const HALVES = ["stream", "lake"] as const;
export type Half = (typeof HALVES)[number];

export type Task =
  | {
      readonly kind: "seeds";
      readonly half: Half;
      readonly first: number;
      readonly last: number;
      readonly steps: number;
    }
  | { readonly kind: "mutant"; readonly half: Half; readonly name: string; readonly seeds: number };

export interface Failure {
  readonly half: Half;
  readonly seed: number;
  /** Fewest steps that were found to show it. */
  readonly steps: number;
  readonly message: string;
  readonly replay: string;
}

/** The first seed that finds a deliberate fault. */
export interface Finding {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
  /** Whether the same seed passes without the fault. */
  readonly isClean: boolean;
}

export interface MutantResult {
  readonly half: Half;
  readonly name: string;
  readonly seeds: number;
  readonly finding: Finding | undefined;
}

export type Outcome =
  | {
      readonly kind: "seeds";
      readonly half: Half;
      readonly seeds: number;
      readonly steps: number;
      readonly busyMs: number;
      readonly notes: readonly (readonly [string, number])[];
      readonly strikes: readonly (readonly [string, number])[];
      readonly failures: readonly Failure[];
    }
  | ({ readonly kind: "mutant" } & MutantResult);
