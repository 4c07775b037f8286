/** The comparison's command line, its turns, and how load is raised. */
import { describe, expect, test } from "vitest";

import { bestStep, lossOf, nextRate, type LadderStep } from "../../bench/peers/measures/offer-ladder.ts";
import { eventsFor, FULL, QUICK } from "../../bench/peers/measures/plan.ts";
import { METRICS } from "../../bench/peers/measures/samples.ts";
import { readPeersOptions } from "../../bench/peers/options.ts";
import { SYSTEM_NAMES } from "../../bench/peers/system.ts";
import { possible, rotated, secondsLeft, turnsOf } from "../../bench/peers/turns.ts";

/** What a plan's figures are of. */
function told({ replays, fanOut, stored }: typeof FULL): readonly (readonly number[])[] {
  return [replays.map(({ events }) => events), fanOut.readers, stored];
}

describe("options", () => {
  test("everything, without any", () => {
    const read = readPeersOptions([], "there");
    expect(read).toMatchObject({ systems: SYSTEM_NAMES, required: [], out: "there", plan: FULL });
  });

  test("names with commas or apart, in the order of the tables", () => {
    const read = readPeersOptions(
      ["--only", "nchan,spillway", "--measures", "live", "--measures", "append", "--quick"],
      "x",
    );
    expect(read).toMatchObject({
      systems: ["spillway", "nchan"],
      measures: ["append", "live"],
      plan: { isQuick: true },
    });
  });

  test("required are those named, or all that are measured", () => {
    const only = ["--only", "spillway,nchan,bare-do"];
    expect(readPeersOptions([...only, "--require", "all"], "x")).toMatchObject({
      required: ["spillway", "bare-do", "nchan"],
    });
    expect(readPeersOptions([...only, "--require", "nchan", "--require", "spillway"], "x")).toMatchObject({
      required: ["spillway", "nchan"],
    });
  });

  test("fewer rounds measure memory no oftener", () => {
    expect(readPeersOptions(["--rounds", "1"], "x")).toMatchObject({ plan: { rounds: 1, memoryRounds: 1 } });
    expect(readPeersOptions(["--rounds", "9"], "x")).toMatchObject({
      plan: { rounds: 9, memoryRounds: FULL.memoryRounds },
    });
  });

  test.each([
    [["--only", "kafka"], /--only .*kafka/],
    [["--measures", ""], /--measures/],
    [["--require", "kafka"], /--require .*kafka/],
    [["--only", "spillway", "--require", "nchan"], /--require .*leaves out nchan/],
    [["--rounds", "0"], /--rounds/],
    [["--rounds", "many"], /--rounds/],
    [["--out", ""], /--out/],
    [["--fast"], /--fast/],
  ])("%j is refused by name", (args, message) => {
    expect(() => readPeersOptions(args, "x")).toThrow(message);
  });

  test("the quick plan yields the same figures as the full one", () => {
    expect(told(QUICK)).toEqual(told(FULL));
    const ids = METRICS.map(({ id }) => id);
    for (const events of told(FULL)[0] ?? []) expect(ids).toContain(`replay-${String(events)}-first`);
    for (const readers of FULL.fanOut.readers) expect(ids).toContain(`fan-out-${readers}`);
    for (const events of FULL.stored) expect(ids).toContain(`stored-${events}`);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("turns", () => {
  test("each round is begun by another, and memory has an instance of its own", () => {
    const turns = turnsOf(["spillway", "nchan"], ["live", "memory"], { rounds: 3, memoryRounds: 1 });
    expect(turns.map(({ round, system, measures }) => `${round} ${system} ${measures.join("+")}`)).toEqual([
      "0 spillway memory",
      "0 spillway live",
      "0 nchan memory",
      "0 nchan live",
      "1 nchan live",
      "1 spillway live",
      "2 spillway live",
      "2 nchan live",
    ]);
  });

  test("what a system cannot do is left out", () => {
    expect(possible(["append", "replay", "stored"], { cannot: ["stored-bytes"] })).toEqual(["append", "replay"]);
    expect(rotated([], 3)).toEqual([]);
    expect(secondsLeft(0, 4, 0)).toBeUndefined();
    expect(secondsLeft(1, 4, 10)).toBe(30);
  });

  test("a run of some seconds, within bounds, also where nothing is known", () => {
    const bounds = { least: 100, most: 1000 };
    expect([10, 300, 9999, Number.NaN].map((rate) => eventsFor(rate, 2, bounds))).toEqual([100, 600, 1000, 100]);
  });
});

/** Climbs with a system that delivers so much at the most, loses events beyond `losesAbove`, and is slow in some steps. */
function climb(
  firstRate: number,
  { most, losesAbove = Infinity, slowAt = [] }: { most: number; losesAbove?: number; slowAt?: readonly number[] },
): LadderStep[] {
  const steps: LadderStep[] = [];
  for (let rate = nextRate(steps, firstRate); rate !== undefined; rate = nextRate(steps, firstRate)) {
    const offeredPerSec = rate * 10;
    const wholeReaders = rate > losesAbove ? 7 : 10;
    const deliveredPerSec = Math.min(most, offeredPerSec) * (slowAt.includes(steps.length) ? 0.88 : 1);
    steps.push({ rate, offeredPerSec, deliveredPerSec, readers: 10, wholeReaders });
  }
  return steps;
}

describe("fan-out's ladder", () => {
  test("doubles until the offer is used up", () => {
    const steps = climb(100, { most: 5000 });
    expect(steps.map(({ rate }) => rate)).toEqual([100, 200, 400, 800, 800]);
    expect(bestStep(steps)?.deliveredPerSec).toBe(5000);
    expect(lossOf(steps)).toBeUndefined();
  });

  test("one slow second does not end it, and two do", () => {
    expect(climb(100, { most: 5000, slowAt: [0] }).map(({ rate }) => rate)).toEqual([100, 100, 200, 400, 800, 800]);
    expect(climb(100, { most: 5000, slowAt: [2] }).map(({ rate }) => rate)).toEqual([100, 200, 400, 400, 800, 800]);
    expect(climb(100, { most: 5000, slowAt: [0, 1] }).map(({ rate }) => rate)).toEqual([100, 100]);
  });

  test("of two tries the better one is the figure", () => {
    expect(bestStep(climb(100, { most: 1500, slowAt: [1] }))?.deliveredPerSec).toBe(1500);
  });

  test("ends also where nothing is ever used up", () => {
    expect(climb(100, { most: Infinity }).length).toBeLessThan(10);
  });

  test("goes down from where readers lost events, and its figure is of a whole step", () => {
    const steps = climb(800, { most: 1e9, losesAbove: 300 });
    expect(steps.map(({ rate }) => rate)).toEqual([800, 800, 400, 400, 200]);
    expect(bestStep(steps)?.rate).toBe(200);
    expect(lossOf(steps)).toBe("3 of 10 readers lost events at 4000 offered/s");
  });

  test("dropping is not delivering: the lossy step is faster and is not the figure", () => {
    const steps = climb(100, { most: 1e9, losesAbove: 300 });
    expect(steps.map(({ rate }) => rate)).toEqual([100, 200, 400, 400]);
    expect(bestStep(steps)?.rate).toBe(200);
  });

  test("where every step lost some, the figure is of one of them, and says so", () => {
    const steps = climb(40, { most: 1e9, losesAbove: 0 });
    expect(steps.map(({ rate }) => rate)).toEqual([40, 40, 20, 20, 10, 10]);
    expect(bestStep(steps)).toMatchObject({ wholeReaders: 7 });
  });
});
