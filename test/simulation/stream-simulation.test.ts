/**
 * The stream object under the deterministic simulator: invariants B1–B8 after every step of every
 * seed, and proof that the seeds reached what they are there for.
 */
import { beforeAll, describe, expect, it } from "vitest";

import { Coverage } from "./coverage.ts";
import { runSeed } from "./run-seed.ts";

const SEEDS = 300;
const STEPS = 300;
/** On a machine that is busy with other tests. */
const RUN_TIMEOUT_MS = 400_000;
/** Chosen apart from the seeds above, for depth: long lives with many crashes and restarts. */
const FIRST_DEEP_SEED = 1_000_000;
const DEEP_SEEDS = 10;
const DEEP_STEPS = 3000;
const FAILURES_SHOWN = 3;

/** Everything a run must have met, each name as the checker counts it. */
const INTERESTING = [
  "event",
  "large event",
  "event in slices",
  "gap: buffer_trimmed",
  "gap: storage_lost",
  "rewind",
  "evicted: low",
  "evicted: normal",
  "evicted: high",
  "evicted: critical",
  "evicted for: max_bytes",
  "evicted for: max_events",
  "evicted for: storage_lost",
  "evicted: fold",
  "evicted: hot tail full",
  "folded: in memory",
  "folded: stored",
  "folded: stored and in memory",
  "trimmed",
  "compressed",
  "encoding: folded+deflate",
  "relief: looked in vain",
  "refused by storage: folded",
  "refused by storage: trimmed",
  "refused by storage: compressed",
  "crash while rows give way: folded",
  "crash right after rows gave way",
  "restart with rows: folded",
  "restart with rows: deflate",
  "restart with rows: folded+deflate",
  "fold",
  "fold: the rest",
  "fold: the rest, after a restart",
  "fold: the rest, deflated",
  "event: trimmed",
  "event: deflated",
  "event: not kept",
  "gap: sampled",
  "hole passed over",
  "snapshot",
  "snapshot: with gap",
  "snapshot: fold",
  "snapshot: large event",
  "snapshot: trimmed event",
  "snapshot: while the buffer gave way",
  "snapshot: beyond its beginning",
  "snapshot: overtaken by a fold",
  "a reader waits for a turn of its own",
  "refused: snapshot without control events",
  "degraded",
  "recovered",
  "notice: degraded",
  "notice: resume",
  "heartbeat",
  "farewell",
  "removed: evicted",
  "removed: stalled",
  "removed: max_age",
  "removed: fell_behind",
  "removed: disconnected",
  "removed: stream_expired",
  "cut mid-event",
  "left mid-event",
  "attach: attached",
  "attach: nothing_left",
  "refused: invalid_request",
  "refused: position_trimmed",
  "refused: reader_limit",
  "replay over",
  "probe",
  "closed: complete",
  "broken off: not complete",
  "broken off: sent away",
  "end: complete",
  "end: error",
  "end: cancelled",
  "end: interrupted",
  "end: expired",
  "crash between turns",
  "crash in the middle of a turn",
  "crash in the middle of a transaction",
  "events died",
  "restart",
  "restart refused by storage",
  "stream lost",
  "wake: alive",
  "wake: abandoned",
  "wake: expired",
] as const;

interface Run {
  readonly coverage: Coverage;
  /** What each failing seed has to say: where, what, and how to see it again. */
  readonly failures: readonly string[];
}

function runSeeds(first: number, count: number, steps: number): Run {
  const coverage = new Coverage();
  const failures: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    try {
      coverage.add(runSeed(seed, { steps }));
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { coverage, failures };
}

describe("the stream object in simulation", () => {
  let run: Run;

  beforeAll(() => {
    run = runSeeds(1, SEEDS, STEPS);
  }, RUN_TIMEOUT_MS);

  it(`B1–B8 hold after every step of ${SEEDS} seeds`, () => {
    expect(run.failures.slice(0, FAILURES_SHOWN), `${run.failures.length} seeds failed`).toEqual([]);
  });

  it.each(INTERESTING)("the seeds reached: %s", (name) => {
    expect(run.coverage.of(name)).toBeGreaterThan(0);
  });

  it("B1–B8 hold over long runs of many lives", { timeout: RUN_TIMEOUT_MS }, () => {
    const deep = runSeeds(FIRST_DEEP_SEED, DEEP_SEEDS, DEEP_STEPS);
    expect(deep.failures.slice(0, FAILURES_SHOWN), `${deep.failures.length} seeds failed`).toEqual([]);
    expect(deep.coverage.of("restart")).toBeGreaterThan(0);
    expect(deep.coverage.of("wake: expired")).toBeGreaterThan(DEEP_SEEDS);
  });

  it("takes the same steps for the same seed", () => {
    const [first, second] = [1, 2].map(() => {
      const lines: string[] = [];
      runSeed(7, { steps: STEPS, verbose: (line) => lines.push(line) });
      return lines;
    });
    expect(first).toEqual(second);
    expect(first?.length).toBeGreaterThan(STEPS / 4);
  });
});
