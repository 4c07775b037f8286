/**
 * What the nightly hands to a thread, and what comes back: many seeds, or one deliberate fault; and what is
 * noted where nothing comes back.
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

/** The first seed in which a deliberate fault shows. */
export interface Finding {
  readonly seed: number;
  /** What the checker found broken; `undefined` where the seed failed by something else, which finds nothing. */
  readonly invariant: string | undefined;
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

/** A task that came to no outcome. */
export interface Trouble {
  readonly kind: "hung" | "died";
  readonly task: Task;
  /** The seed that was under way. */
  readonly seed: number | undefined;
  readonly message: string;
}

/** What a thread says. Each failing seed is told when it is found, and once more, shortened, in the outcome. */
export type ThreadMessage =
  | { readonly kind: "seed"; readonly seed: number }
  | { readonly kind: "failure"; readonly failure: Failure }
  | { readonly kind: "outcome"; readonly outcome: Outcome }
  | { readonly kind: "error"; readonly error: string };
