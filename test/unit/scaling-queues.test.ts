/**
 * The simulation of queues against what is known exactly, and the closed forms against cases worked out by hand.
 */
import { describe, expect, it, test } from "vitest";

import { agreements } from "../../scripts/scaling/agreement.ts";
import { waitsOfBurst } from "../../scripts/scaling/burst-among.ts";
import { longestWaitOfBurstSec, meanWaitOfMixSec, meanWaitSec, shareWithin } from "../../scripts/scaling/queueing.ts";
import { seededRandom } from "../../scripts/scaling/random.ts";
import { serve, steadyJobs } from "../../scripts/scaling/simulated-queue.ts";
import { flushRhythm, playFlushes } from "../../scripts/scaling/simulated-shard.ts";

describe("closed forms", () => {
  it("M/D/1, half busy: half a service to wait on average, and nothing for half of all", () => {
    const queue = { arrivalsPerSec: 500, serviceSec: 0.001 };
    expect(meanWaitSec(queue)).toBeCloseTo(0.0005, 12);
    expect(shareWithin(queue, 0)).toBeCloseTo(0.5, 12);
    // Half a service later: those who found one in service, by chance, and nobody else: e^(1/4) / 2.
    expect(shareWithin(queue, 0.0005)).toBeCloseTo(Math.exp(0.25) / 2, 12);
  });

  it("M/G/1: services of two lengths wait longer than of their mean", () => {
    const mix = [
      { share: 0.9, serviceSec: 0.0005 },
      { share: 0.1, serviceSec: 0.0055 },
    ];
    // 500 × (0.9 × 0.25e-6 + 0.1 × 30.25e-6) / (2 × 0.5)
    expect(meanWaitOfMixSec(500, mix)).toBeCloseTo(500 * 3.25e-6, 12);
    expect(meanWaitOfMixSec(1000, mix)).toBe(Number.POSITIVE_INFINITY);
  });

  it("a burst: what is left of its work when the last one comes", () => {
    expect(longestWaitOfBurstSec(5001, 2, 0.001)).toBeCloseTo(3, 12);
    expect(longestWaitOfBurstSec(1000, 2, 0.001)).toBe(0);
  });
});

test.each([7])("the simulation agrees with every exact answer, seed %d", (seed) => {
  expect(agreements(seed).filter(({ agrees }) => !agrees)).toEqual([]);
});

function play(seed: number) {
  return serve(steadyJobs({ perSec: 800, mix: [{ share: 1, serviceSec: 0.001 }] }, { jobs: 1000 }, seededRandom(seed)));
}

describe("served by hand", () => {
  it("three jobs: the second waits for the first, the third for nobody; a pause holds up and waits for nothing", () => {
    const jobs = [
      { atSec: 0, serviceSec: 2 },
      { atSec: 1, serviceSec: 1 },
      { atSec: 5, serviceSec: 3, isInternal: true },
      { atSec: 6, serviceSec: 1 },
    ];
    const waits = serve(jobs, 1.5);
    expect(waits).toMatchObject({ jobs: 3, p50Sec: 1, p99Sec: 2, longestSec: 2, endSec: 9 });
    expect(waits.meanSec).toBeCloseTo(1, 12);
    expect(waits.lateShare).toBeCloseTo(1 / 3, 12);
  });

  it("a pause after each hundred makes some wait for it, and takes as much of the time as it is long", () => {
    const arrivals = { perSec: 100, mix: [{ share: 1, serviceSec: 0.0001 }] };
    const jobs = 20_000;
    const without = serve(steadyJobs(arrivals, { jobs }, seededRandom(3)));
    const pause = { everyJobs: 100, sec: 0.05 };
    const paused = serve(steadyJobs({ ...arrivals, pause }, { jobs }, seededRandom(3)));
    expect(without.p99Sec).toBeLessThan(0.001);
    expect(paused.p99Sec).toBeGreaterThan(0.03);
    expect(paused.longestSec).toBeGreaterThan(0.045);
    expect(paused.jobs).toBe(without.jobs);
  });

  it("the same seed gives the same waits", () => {
    expect(play(5)).toEqual(play(5));
    expect(play(5)).not.toEqual(play(6));
  });
});

describe("a burst on a server that has steady work", () => {
  const steady = { perSec: 400, mix: [{ share: 1, serviceSec: 0.002 }] };
  const burst = { jobs: 200, withinSec: 1, serviceSec: 0.002, steady };

  it("waits for that as well: 800 ms of steady work in a second leave it 200 of its 400", () => {
    const alone = waitsOfBurst({ ...burst, steady: { ...steady, perSec: 0.001 } }, 1);
    const among = waitsOfBurst(burst, 1);
    expect(alone?.longestSec).toBeLessThan(0.02);
    expect(among?.longestSec).toBeGreaterThan(0.1);
    expect(among?.longestSec).toBeLessThan(0.35);
    expect(among?.jobs).toBe(200);
  });

  it("never ends where the steady work is more than there is time", () => {
    expect(waitsOfBurst({ ...burst, steady: { ...steady, perSec: 500 } }, 1)).toBeUndefined();
  });

  it("too large to be played, waits as the last of a played one does", () => {
    const flood = { ...burst, jobs: 2_500_000 };
    expect(waitsOfBurst(flood, 1)?.longestSec).toBeCloseTo(5000 - 0.2, 2);
    expect(waitsOfBurst(flood, 1, 2500)?.lateShare).toBeCloseTo(0.5, 3);
    const played = waitsOfBurst({ ...burst, jobs: 25_000 }, 1)?.longestSec ?? 0;
    expect(played / (50 - 0.2)).toBeCloseTo(1, 2);
  });
});

test("a shard's rhythm turns from age to number where the number comes first", () => {
  const traffic = { events: 2, flushEvents: 100, flushAgeSec: 10, ownEvents: 0 };
  expect(flushRhythm({ ...traffic, handOversPerSec: 1 }).rowsPerFile).toBeCloseTo(22, 9);
  expect(flushRhythm({ ...traffic, handOversPerSec: 50 })).toEqual({ perSec: 1, rowsPerFile: 100 });
  const played = playFlushes({ ...traffic, handOversPerSec: 50 }, 200, seededRandom(2));
  expect(played.rowsPerFile).toBe(100);
});
