/**
 * Plays one scenario against the gate itself: a service, a proxy before it, and the fault at its time.
 */
import { startOwnHost } from "../host.ts";
import { runGate, type GateRun } from "../run-gate.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { faultOf } from "./expectation.ts";
import type { Scenario } from "./scenarios.ts";

const RATE = 20;

export interface Played {
  readonly scenario: Scenario;
  readonly run: GateRun;
  /** Why the gate did not do what it should; `undefined` where it did. */
  readonly fault: string | undefined;
}

export interface Stage {
  /** Path of the real service's bundle. */
  readonly bundle: string;
  readonly seed: number;
}

export async function play(scenario: Scenario, { bundle, seed }: Stage): Promise<Played> {
  let proxy: FaultProxy | undefined;
  const host = await startOwnHost({
    ...(scenario.entry === undefined ? { bundle } : { entry: scenario.entry }),
    ...(scenario.vars === undefined ? {} : { vars: scenario.vars }),
    between: async (origin) => (proxy = await startFaultProxy(origin)),
  });
  const { from, to } = scenario.faultSec;
  const isFaulty = (second: number) => second >= from && second < to;
  const setFault = (second: number) => {
    if (scenario.proxy !== undefined)
      proxy?.set(isFaulty(second) ? scenario.proxy.fault : undefined, scenario.proxy.path);
  };
  try {
    setFault(0);
    const run = await runGate(
      { ...scenario, rate: RATE, seed },
      {
        host,
        say: () => undefined,
        onSecond: setFault,
        chooseScript: (atMs) => (isFaulty(atMs / 1000) ? scenario.script : undefined),
      },
    );
    return { scenario, run, fault: faultOf(scenario, run) };
  } finally {
    await host.close();
  }
}
