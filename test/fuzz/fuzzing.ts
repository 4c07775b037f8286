/**
 * One fuzz target: inputs, what is fuzzed, what must hold of it; and the same with faults put in on purpose,
 * each of which must be found, so that a target is known to see.
 *
 * How many inputs, and from which seed, comes from outside (run.ts).
 */
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Watchdog } from "./watchdog.ts";

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
  /** Throws where something does not hold. Says with `reached` that an input came as far as `reach` tells. */
  readonly holds: (input: Input, subject: Subject, reached: () => void) => void | Promise<void>;
  /** Where most of what must hold is looked at, and what share of the inputs has to come so far. */
  readonly reach?: { readonly what: string; readonly leastShare: number };
  /** The subject with something broken. */
  readonly faults: Readonly<Record<string, Subject>>;
}

const nothing = () => undefined;

function numberFrom(variable: string, fallback: number): number {
  const text = process.env[variable];
  return text === undefined || text === "" ? fallback : Number(text);
}

export function fuzz<Input, Subject>(target: Target<Input, Subject>): void {
  const { name, inputs, subject, holds, faults, reach } = target;
  const runs = numberFrom("FUZZ_RUNS", DEFAULT_RUNS);
  const seed = numberFrom("FUZZ_SEED", Date.now() & 0x7fffffff);
  describe(`${name}:`, () => {
    let watchdog: Watchdog | undefined;
    beforeAll(() => {
      watchdog = new Watchdog(`${name}, seed ${seed}`);
    });
    afterAll(async () => watchdog?.end());

    test(`holds for ${runs} inputs (seed ${seed})`, async () => {
      const progress = newProgress(name, runs);
      let reachedInputs = 0;
      const property = fc.asyncProperty(inputs, async (input) => {
        const startedAtMs = performance.now();
        watchdog?.begin(() => fc.stringify(input));
        try {
          await holds(input, subject, () => reachedInputs++);
        } finally {
          watchdog?.rest();
        }
        const tookMs = performance.now() - startedAtMs;
        if (tookMs > RUN_MAX_MS) throw new Error(`one input took ${Math.round(tookMs)} ms`);
        progress();
      });
      await expect(fc.assert(property, { numRuns: runs, seed })).resolves.toBeUndefined();
      if (reach === undefined) return;
      const share = reachedInputs / runs;
      process.stderr.write(`${name}: ${(100 * share).toFixed(1)} % of ${runs} inputs: ${reach.what}\n`);
      expect(share, reach.what).toBeGreaterThanOrEqual(reach.leastShare);
    });

    test.each(Object.entries(faults))("would find that %s", async (_, faulty) => {
      const property = fc.asyncProperty(inputs, async (input) => holds(input, faulty, nothing));
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
