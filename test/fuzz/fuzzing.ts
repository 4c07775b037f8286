/**
 * One fuzz target: inputs, what is fuzzed, what must hold of it; and the same with faults put in on purpose,
 * each of which must be found, so that a target is known to see.
 *
 * How many inputs, and from which seed, comes from outside (run.ts).
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

const DEFAULT_RUNS = 1000;
/** A fault that so many inputs do not show is not seen. */
const FAULT_RUNS = 20_000;
/** Nothing that a caller can send may take longer, however it is made. */
const RUN_MAX_MS = 5000;
const PROGRESS_MS = 10_000;

export interface Target<Input, Subject> {
  readonly name: string;
  readonly inputs: fc.Arbitrary<Input>;
  /** What is fuzzed. */
  readonly subject: Subject;
  /** Throws where something does not hold. */
  readonly holds: (input: Input, subject: Subject) => void | Promise<void>;
  /** The subject with something broken. */
  readonly faults: Readonly<Record<string, Subject>>;
}

function numberFrom(variable: string, fallback: number): number {
  const text = process.env[variable];
  return text === undefined || text === "" ? fallback : Number(text);
}

export function fuzz<Input, Subject>({ name, inputs, subject, holds, faults }: Target<Input, Subject>): void {
  const runs = numberFrom("FUZZ_RUNS", DEFAULT_RUNS);
  const seed = numberFrom("FUZZ_SEED", Date.now() & 0x7fffffff);
  describe(`${name}:`, () => {
    test(`holds for ${runs} inputs (seed ${seed})`, async () => {
      const progress = newProgress(name, runs);
      const property = fc.asyncProperty(inputs, async (input) => {
        const startedAtMs = performance.now();
        await holds(input, subject);
        const tookMs = performance.now() - startedAtMs;
        if (tookMs > RUN_MAX_MS) throw new Error(`one input took ${Math.round(tookMs)} ms`);
        progress();
      });
      await expect(fc.assert(property, { numRuns: runs, seed })).resolves.toBeUndefined();
    });

    test.each(Object.entries(faults))("would find that %s", async (_, faulty) => {
      const property = fc.asyncProperty(inputs, async (input) => holds(input, faulty));
      const found = await fc.check(property, { numRuns: FAULT_RUNS, seed, endOnFailure: true });
      expect(found.failed).toBe(true);
    });
  });
}

/** As `expect`, for what a property claims: it is looked at within the tests above. */
export const claim = expect;

/** Says now and then on stderr how far a target has come. */
function newProgress(name: string, runs: number): () => void {
  let done = 0;
  let saidAtMs = performance.now();
  return () => {
    done++;
    if (performance.now() - saidAtMs < PROGRESS_MS) return;
    saidAtMs = performance.now();
    process.stderr.write(`${name}: ${done} of ${runs}\n`);
  };
}

/** @throws where what was thrown is none of these */
export function requireTagged(error: unknown, ...allowed: readonly (new (...args: never[]) => Error)[]): void {
  if (!allowed.some((type) => error instanceof type)) throw error;
}
