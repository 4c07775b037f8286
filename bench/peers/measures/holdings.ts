/**
 * What a system has of streams that are there: replays of them, their bytes in storage, and memory.
 */
import { setTimeout as wait } from "node:timers/promises";

import { quantileOf } from "../../lib/statistics.ts";
import { figure } from "../../lib/markdown.ts";
import type { Plan } from "./plan.ts";
import { flawsOfAppending, flawsOfReading, type Sample } from "./samples.ts";
import { filledStream, flow, openStreams, produce, readingOf, residentKib, type Scene } from "./scene.ts";

const REPLAY_LIMIT_MS = 5000;
const FILL_LIMIT_MS = 40_000;
const WARM_UP_STREAMS = 5;
const MS_PER_SEC = 1000;

/** A quiet stream, read from its beginning again and again: medians of the repetitions. */
export async function measureReplay(scene: Scene, { replays }: Plan): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const { events, repetitions } of replays) {
    const { stream, flaws } = await filledStream(scene, events);
    const request = stream.readFromStart();
    const job = { request, events, repetitions, limitMs: REPLAY_LIMIT_MS };
    const { firstMs, lastMs, brokenReplays } = await scene.load.replay({ kind: "replay", ...job });
    const broken = brokenReplays === 0 ? [] : [`${brokenReplays} of ${repetitions} replays lacked events`];
    const sample = (which: string, timesMs: readonly number[]): Sample => ({
      metric: `replay-${events}-${which}`,
      value: quantileOf(timesMs, 0.5),
      flaws: [...flaws, ...broken],
      remark: `p99 ${figure(quantileOf(timesMs, 0.99))} ms`,
    });
    samples.push(sample("first", firstMs), sample("last", lastMs));
  }
  return samples;
}

/** Bytes of a stream's storage for each of its events: what the stream itself costs is in it. */
export async function measureStored(scene: Scene, { stored }: Plan): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const events of stored) {
    const { stream, flaws } = await filledStream(scene, events);
    const bytes = await stream.storedBytes();
    if (bytes === undefined) throw new Error("what is stored cannot be told");
    samples.push({ metric: `stored-${events}`, value: bytes / events, flaws });
  }
  return samples;
}

/** Resident memory with many open streams and a reader each, empty and then filled, above that without. */
export async function measureMemory(scene: Scene, { memory }: Plan): Promise<Sample[]> {
  const { streams: count, events, settleSec } = memory;
  const production = { streams: count, events, rate: 0, limitMs: FILL_LIMIT_MS };
  // What a system loads with its first streams is not what a further one takes.
  await flow(scene, { ...production, streams: WARM_UP_STREAMS }, 1);
  await wait(settleSec * MS_PER_SEC);
  const beforeKib = residentKib(scene);
  const streams = await openStreams(scene, production, { staysOpen: true });
  const readers = await scene.load.attachReaders({
    kind: "read",
    readers: streams.map((stream) => ({ request: stream.follow(), events, isInAnyOrder: false })),
    silenceMs: FILL_LIMIT_MS / 4,
    limitMs: 2 * FILL_LIMIT_MS,
    staysOpen: true,
  });
  try {
    await wait(settleSec * MS_PER_SEC);
    const idleKib = residentKib(scene);
    const { done } = await produce(scene, streams, production);
    const [outcome, appended] = await Promise.all([readers.outcome, done]);
    const read = readingOf(outcome, () => events);
    await wait(settleSec * MS_PER_SEC);
    const filledKib = residentKib(scene);
    const short = read.events < count * events ? [`${read.events} of ${count * events} events arrived in time`] : [];
    const flaws = [...flawsOfAppending(appended?.refusals), ...short, ...flawsOfReading(read, "streams")];
    const remark = `${figure(beforeKib)} KiB before, ${figure(filledKib)} KiB with ${count} filled streams`;
    return [
      { metric: "memory-idle", value: (idleKib - beforeKib) / count, flaws: [], remark },
      { metric: "memory-256", value: (filledKib - beforeKib) / count, flaws, remark },
    ];
  } finally {
    readers.close();
  }
}
