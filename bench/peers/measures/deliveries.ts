/**
 * Live delivery: how long events are on their way, to one reader, to many, and on many streams at once.
 */
import { LatencyHistogram } from "../../lib/latency-histogram.ts";
import { bestStep, isAtTop, lossOf, nextRate, type LadderStep } from "./offer-ladder.ts";
import type { Plan } from "./plan.ts";
import { flawsOfAppending, flawsOfReading, type Cores, type Sample } from "./samples.ts";
import { flow, secondsBetween, toMs, type Flow, type Scene } from "./scene.ts";

const MS_PER_SEC = 1000;

/** A steady source, one reader. */
export async function measureLive(scene: Scene, { live }: Plan): Promise<Sample[]> {
  const { rate, seconds } = live;
  const production = { streams: 1, events: rate * seconds, rate, limitMs: 2 * seconds * MS_PER_SEC };
  const run = await flow(scene, production, 1);
  const common = { flaws: flawsOf(run), cores: run.cores };
  return [
    { metric: "live-p50", value: latencyMsOf(run, 0.5), ...common },
    { metric: "live-p99", value: latencyMsOf(run, 0.99), ...common },
  ];
}

/** Many streams with a reader each, a steady source each. */
export async function measureStreams(scene: Scene, { streams }: Plan): Promise<Sample[]> {
  const { count, rate, seconds } = streams;
  const production = { streams: count, events: rate * seconds, rate, limitMs: 4 * seconds * MS_PER_SEC };
  const run = await flow(scene, production, 1);
  const flaws = flawsOf(run, "streams");
  const remark = `${run.read.wholeReaders} of ${count} streams whole, ${count * rate} events/s offered`;
  const common = { flaws, cores: run.cores, remark };
  return [
    { metric: "streams-delivered", value: deliveredPerSec(run), ...common },
    { metric: "streams-p99", value: latencyMsOf(run, 0.99), ...common },
  ];
}

/** One stream to many readers, at a rate that is raised until it is used up. */
export async function measureFanOut(scene: Scene, { fanOut }: Plan): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const readers of fanOut.readers) {
    const steps: LadderStep[] = [];
    const cores = new Map<LadderStep, Cores>();
    const firstRate = scene.memo.fanOutRates.get(readers) ?? fanOut.deliveredAtFirst / readers;
    for (let rate = nextRate(steps, firstRate); rate !== undefined; rate = nextRate(steps, firstRate)) {
      const { step, cores: busy } = await fanOutStep(scene, { rate, readers, seconds: fanOut.stepSec });
      steps.push(step);
      cores.set(step, busy);
    }
    samples.push(sampleOf(steps, cores));
    // The next round has no need to climb from the bottom again.
    const best = bestStep(steps);
    if (best !== undefined) scene.memo.fanOutRates.set(readers, best.rate / 2);
  }
  return samples;
}

async function fanOutStep(
  scene: Scene,
  { rate, readers, seconds }: { readonly rate: number; readonly readers: number; readonly seconds: number },
): Promise<{ readonly step: LadderStep; readonly cores: Cores }> {
  const events = Math.ceil(rate * seconds);
  const run = await flow(scene, { streams: 1, events, rate, limitMs: 3 * seconds * MS_PER_SEC }, readers);
  const { wholeReaders } = run.read;
  const step = { rate, readers, wholeReaders, offeredPerSec: rate * readers, deliveredPerSec: deliveredPerSec(run) };
  return { step, cores: run.cores };
}

function sampleOf(steps: readonly LadderStep[], cores: ReadonlyMap<LadderStep, Cores>): Sample {
  const best = bestStep(steps);
  if (best === undefined) throw new Error("no step of fan-out was made");
  const busy = cores.get(best);
  const loss = lossOf(steps);
  const top = isAtTop(best) ? ", the most that is ever offered" : "";
  const remark = `at ${best.offeredPerSec} offered/s${top}${loss === undefined ? "" : `; ${loss}`}`;
  return {
    metric: `fan-out-${best.readers}`,
    value: best.deliveredPerSec,
    flaws: flawsOfReading(best),
    remark,
    ...(busy === undefined ? {} : { cores: busy }),
  };
}

function deliveredPerSec({ read, beganAtUs }: Flow): number {
  return read.events === 0 ? 0 : read.events / secondsBetween(beganAtUs, read.lastAtUs);
}

function latencyMsOf({ read }: Flow, share: number): number {
  return toMs(new LatencyHistogram(read.latencyCounts).quantileUs(share));
}

function flawsOf({ read, appended }: Flow, what?: string): string[] {
  return [...flawsOfAppending(appended?.refusals), ...flawsOfReading(read, what)];
}
