/**
 * How many events a second a system takes.
 *
 * Two things that are not the same. Systems that are appended to: each connection sends its next event when
 * the last was answered; answers are counted. Systems that read a source: it writes one event to a chunk as
 * fast as taken; events are counted that a reader has.
 */
import { eventsFor, type Plan } from "./plan.ts";
import { flawsOfAppending, flawsOfReading, medianCores, type Sample } from "./samples.ts";
import { appendChecked, flow, openStreams, secondsBetween, type Flow, type Scene } from "./scene.ts";

const MANY = 32;
const MS_PER_SEC = 1000;
const LEAST_EVENTS = 1000;
const MOST_POURS = 5;

export async function measureAppend(scene: Scene, plan: Plan): Promise<Sample[]> {
  if (scene.system.facts.producing === "source") {
    return [await pour(scene, plan, ["append-1", 1]), await pour(scene, plan, ["append-32-streams", MANY])];
  }
  return [
    await append(scene, plan, { metric: "append-1", connections: 1, streams: 1 }),
    await append(scene, plan, { metric: "append-32-streams", connections: MANY, streams: MANY }),
    await append(scene, plan, { metric: "append-32", connections: MANY, streams: 1 }),
  ];
}

/** Again and again where the most that a stream may hold is gone in a moment. */
async function pour(scene: Scene, plan: Plan, [metric, streams]: readonly [string, number]): Promise<Sample> {
  const most = plan.maxEvents;
  const events = Math.ceil(eventsFor(scene.memo.ratePerSec, plan.appendSec, { least: LEAST_EVENTS, most }) / streams);
  const limitMs = 10 * plan.appendSec * MS_PER_SEC;
  const runs: Flow[] = [];
  let taken = { events: 0, seconds: 0 };
  do {
    const run = await flow(scene, { streams, events, rate: 0, limitMs }, 1);
    runs.push(run);
    const seconds = taken.seconds + secondsBetween(run.beganAtUs, run.read.lastAtUs);
    taken = { events: taken.events + run.read.events, seconds };
  } while (runs.length < MOST_POURS && taken.seconds < plan.appendSec / 2);
  const cores = medianCores(runs.map(({ cores }) => cores));
  const flaws = runs.flatMap(({ read }) => flawsOfReading(read));
  return { metric, value: taken.events / taken.seconds, flaws, ...(cores === undefined ? {} : { cores }) };
}

interface Way {
  readonly metric: string;
  readonly connections: number;
  readonly streams: number;
}

async function append(scene: Scene, plan: Plan, { metric, connections, streams: count }: Way): Promise<Sample> {
  const events = Math.floor(plan.maxEvents / count);
  const streams = await openStreams(scene, { streams: count, events, rate: 0 });
  const limitMs = plan.appendSec * MS_PER_SEC;
  const { appended, read, cores } = await appendChecked(scene, { streams, connections, events, limitMs });
  return {
    metric,
    value: appended.events / secondsBetween(appended.firstSentAtUs, appended.lastAnsweredAtUs),
    flaws: [...flawsOfAppending(appended.refusals), ...flawsOfReading(read, "streams")],
    cores,
  };
}
