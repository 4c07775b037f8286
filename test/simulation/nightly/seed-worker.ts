/**
 * A thread that runs seeds: deliberate faults change prototypes, and a thread has its own.
 */
import { parentPort } from "node:worker_threads";

import { Coverage } from "../coverage.ts";
import { SeedFailure } from "../seed-failure.ts";
import { brokenPromise, runOne, withMutant } from "./halves.ts";
import type { Failure, Finding, Half, Outcome, Task, ThreadMessage } from "./tasks.ts";

const MUTANT_STEPS = 200;
const MESSAGE_CHARS = 200;
/** The lake's first seed is about a table with a long past, and slow. */
const FIRST_MUTANT_SEED = { stream: 1, lake: 2 } as const;

type SeedsTask = Task & { kind: "seeds" };
type MutantTask = Task & { kind: "mutant" };

async function runSeeds({ half, first, last, steps }: SeedsTask): Promise<Outcome> {
  const coverage = new Coverage();
  const failures: Failure[] = [];
  const startedAtMs = performance.now();
  for (let seed = first; seed <= last; seed++) {
    answer({ kind: "seed", seed });
    try {
      coverage.add(await runOne(half, seed, steps));
    } catch (error) {
      answer({ kind: "failure", failure: failureOf(half, seed, steps, error) });
      failures.push(await shorten(half, seed, steps, error));
    }
  }
  const seeds = last - first + 1;
  const busyMs = performance.now() - startedAtMs;
  const found = { busyMs, notes: coverage.entries(), strikes: coverage.strikes(), failures };
  return { kind: "seeds", half, seeds, steps: seeds * steps, ...found };
}

/** The failure with as few steps as show it: its own prefix, and of the lake, whose end adds checks, by halving. */
async function shorten(half: Half, seed: number, steps: number, error: unknown): Promise<Failure> {
  let shown = error;
  let most = error instanceof SeedFailure ? Math.min(error.at.step, steps) : steps;
  let least = half === "stream" ? most : 1;
  while (least < most) {
    const middle = (least + most) >>> 1;
    try {
      await runOne(half, seed, middle);
      least = middle + 1;
    } catch (again) {
      shown = again;
      most = middle;
    }
  }
  return failureOf(half, seed, most, shown);
}

function failureOf(half: Half, seed: number, steps: number, error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const script = half === "stream" ? "sim" : "sim:lake";
  return { half, seed, steps, message, replay: `npm run ${script} -- --seed ${seed} --steps ${steps} --verbose` };
}

async function runMutant({ half, name, seeds }: MutantTask): Promise<Outcome> {
  const first = FIRST_MUTANT_SEED[half];
  const found = await withMutant(half, name, async (one) => {
    for (let seed = first; seed < first + seeds; seed++) {
      answer({ kind: "seed", seed });
      const finding = await findingOf(() => one(seed, MUTANT_STEPS), seed);
      if (finding !== undefined) return finding;
    }
    return undefined;
  });
  if (found === undefined) return { kind: "mutant", half, name, seeds, finding: undefined };
  const clean = await findingOf(() => runOne(half, found.seed, MUTANT_STEPS), found.seed);
  return {
    kind: "mutant",
    half,
    name,
    seeds: found.seed - first + 1,
    finding: { ...found, isClean: clean === undefined },
  };
}

async function findingOf(run: () => Promise<Coverage>, seed: number): Promise<Omit<Finding, "isClean"> | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : error;
    const message = cause instanceof Error ? cause.message : String(cause);
    return { seed, invariant: brokenPromise(cause), message: message.slice(0, MESSAGE_CHARS) };
  }
}

function answer(message: ThreadMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, no window
  parentPort?.postMessage(message);
}

parentPort?.on("message", (task: Task) => {
  const running = task.kind === "seeds" ? runSeeds(task) : runMutant(task);
  running.then(
    (outcome) => answer({ kind: "outcome", outcome }),
    (error: unknown) => answer({ kind: "error", error: error instanceof Error ? (error.stack ?? "") : String(error) }),
  );
});
