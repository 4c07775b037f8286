/**
 * The comparison's measures, with their real load processes, on a small system: a right one yields every
 * figure, and one that drops, repeats or refuses a single event is told of, in each of them.
 */
import { afterEach, describe, expect, test } from "vitest";

import { ComparisonRun, type Outcome } from "../../bench/peers/comparison.ts";
import { QUICK } from "../../bench/peers/measures/plan.ts";
import { MEASURE_NAMES, METRICS, type MeasureName } from "../../bench/peers/measures/samples.ts";
import { Session } from "../../bench/peers/session.ts";
import type { StartSystem, SystemName } from "../../bench/peers/system.ts";
import { toyPeer, type ToyFault } from "../fixtures/toy-peer.ts";

/** Each measure sends more than the ten events after which the faults begin. */
const PLAN = {
  ...QUICK,
  live: { rate: 500, seconds: 0.5 },
  streams: { count: 4, rate: 250, seconds: 1 },
  fanOut: { readers: [50, 200], stepSec: 0.5, deliveredAtFirst: 50_000 },
  memory: { streams: 4, events: 256, settleSec: 0.05 },
};

const sessions: Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
});

/** Starts, and makes no stream. */
const breakingPeer: StartSystem = async (home) => {
  const system = await toyPeer()(home);
  return { ...system, createStream: () => Promise.reject(new Error("no more streams")) };
};

async function compare(
  systems: readonly (readonly [SystemName, StartSystem])[],
  measures: readonly MeasureName[] = MEASURE_NAMES,
): Promise<Outcome> {
  const session = new Session();
  sessions.push(session);
  const comparison = { systems: new Map(systems), measures, plan: PLAN };
  return new ComparisonRun(comparison, session, () => undefined).run();
}

describe("the measures", () => {
  test("a right system: every figure, without a flaw", async () => {
    const { samples, failures } = await compare([["nchan", toyPeer()]]);
    expect(failures).toEqual([]);
    expect(samples.map(({ metric }) => metric).toSorted()).toEqual(METRICS.map(({ id }) => id).toSorted());
    expect(samples.flatMap(({ flaws }) => flaws)).toEqual([]);
    // It has no process whose memory could be told.
    const measured = samples.filter(({ metric }) => !metric.startsWith("memory"));
    for (const { metric, value } of measured) expect(value, metric).toBeGreaterThan(0);
  });

  test.each<ToyFault>(["drops", "repeats", "refuses"])(
    "a system that %s: no figure is without its flaw",
    async (fault) => {
      const { samples, failures } = await compare([["nchan", toyPeer(fault)]]);
      expect(failures).toEqual([]);
      // Those that no event of the run went into, and the fan-out steps that ended before the fault.
      const whole = samples.filter(({ flaws }) => flaws.length === 0).map(({ metric }) => metric);
      expect(whole.filter((metric) => metric !== "memory-idle" && !metric.startsWith("fan-out"))).toEqual([]);
      const fanOuts = samples.filter(({ metric }) => metric.startsWith("fan-out"));
      expect(fanOuts).toHaveLength(PLAN.fanOut.readers.length);
      for (const { remark, flaws } of fanOuts) expect([remark, ...flaws].join()).toMatch(/lost events|lacked events/);
    },
  );

  test("nothing is started once a run is being ended", async () => {
    const session = new Session();
    await session.close();
    const home = { folder: "", maxReaders: 1, maxEvents: 1, sourceOrigin: "" };
    await expect(session.start(toyPeer(), home)).rejects.toThrow("being ended");
  });

  test("one that does not start, and one that breaks: told, and the other goes on", async () => {
    const outcome = await compare(
      [
        ["redis-streams", () => Promise.reject(new Error("no such server"))],
        ["spillway", breakingPeer],
        ["nchan", toyPeer()],
      ],
      ["live"],
    );
    expect(new Set(outcome.samples.map(({ system }) => system))).toEqual(new Set(["nchan"]));
    const details = outcome.failures.map(({ system, detail }) => `${system}: ${detail}`);
    expect(new Set(details)).toEqual(new Set(["redis-streams: no such server", "spillway: no more streams"]));
  });
});
