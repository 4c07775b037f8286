/**
 * Shards, table, catalog and bucket under the deterministic simulator: exactly once after every step of
 * every seed (L1–L3, X1–X4), and proof that the seeds reached what they are there for.
 */
import { beforeAll, describe, expect, it } from "vitest";

import { Coverage } from "../coverage.ts";
import { runLakeSeed } from "./run-lake-seed.ts";

const SEEDS = 300;
const STEPS = 120;
const FAILURES_SHOWN = 3;

/** Everything a run must have met, each name as the simulation counts it. */
const INTERESTING = [
  "append repeated",
  "acknowledged append repeated",
  "append moved to another shard",
  "append refused: buffer_full",
  "duplicate within an append",
  "duplicates recognised",
  "effect without an answer: append",
  "effect without an answer: stage",
  "effect without an answer: put data file",
  "effect without an answer: put metadata",
  "effect without an answer: commit table",
  "effect after its caller gave up: append",
  "effect after its caller gave up: stage",
  "effect after its caller gave up: put data file",
  "effect after its caller gave up: put manifest list",
  "effect after its caller gave up: put metadata",
  "effect after its caller gave up: commit table",
  "call timed out",
  "throttled",
  "IcebergConflict",
  "IcebergCommitFailed",
  "BufferFlushFailed",
  "storage refused a write",
  "crash at rest",
  "crash between turns",
  "crash in the middle of a turn",
  "crash in the middle of a transaction",
  "crash in the turn after: put data file",
  "crash in the turn after: stage",
  "crash with put data file asked",
  "crash with stage asked",
  "crash with put manifest asked",
  "crash with put manifest list asked",
  "crash with put metadata asked",
  "clock set back",
  "clock set forward",
  "more than an hour passes",
  "number of shards changed",
  "dead letter: time",
  "dead letter: unreadable append row",
  "dead letters written to the bucket",
  "snapshot: append",
  "snapshot: replace",
  "snapshots expired",
  "manifests merged",
  "compaction given up: overtaken",
  "objects swept",
  "some of many objects deleted",
  "commit, compaction and sweep after hours without any",
  "read by icebird as well",
  "telemetry summed up",
  "export replayed",
  "any export replayed",
] as const;

interface Run {
  readonly coverage: Coverage;
  /** What each failing seed has to say: where, what, and how to see it again. */
  readonly failures: readonly string[];
}

async function runSeeds(first: number, count: number): Promise<Run> {
  const coverage = new Coverage();
  const failures: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    try {
      coverage.add(await runLakeSeed(seed, { steps: STEPS }));
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { coverage, failures };
}

describe("the lake in simulation", () => {
  let run: Run;

  beforeAll(async () => {
    run = await runSeeds(1, SEEDS);
  }, 300_000);

  it(`exactly once holds after every step of ${SEEDS} seeds (L1–L3, X1–X4)`, () => {
    expect(run.failures.slice(0, FAILURES_SHOWN), `${run.failures.length} seeds failed`).toEqual([]);
  });

  it.each(INTERESTING)("the seeds reached: %s", (name) => {
    expect(run.coverage.of(name)).toBeGreaterThan(0);
  });

  it("takes the same steps for the same seed", async () => {
    const runs: string[][] = [];
    for (let time = 0; time < 2; time++) {
      const lines: string[] = [];
      await runLakeSeed(7, { steps: STEPS, verbose: (line) => lines.push(line) });
      runs.push(lines);
    }
    expect(runs[0]).toEqual(runs[1]);
    expect(runs[0]?.length).toBeGreaterThan(STEPS);
  });
});
