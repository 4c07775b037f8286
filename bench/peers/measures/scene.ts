/**
 * What a measure works with: a running system, the load, and streams that events flow through. The same
 * calls for systems that read a source and for those that are appended to.
 */
import { cpuSecondsOf, residentMbOf } from "../../lib/process-meter.ts";
import { nowUs, scriptQuery, type SourceScript } from "../../lib/source-script.ts";
import type { LoadGenerators } from "../load/generators.ts";
import type { AppendOutcome, ReadOutcome } from "../load/messages.ts";
import type { PeerStream, PlannedRequest, RunningSystem } from "../system.ts";
import { flawsOfAppending, flawsOfReading, type Cores } from "./samples.ts";

/** Of every event's data in the comparison. */
const EVENT_BYTES = 200;
/** Storage that is waited for may hold a system up for seconds. */
const SILENCE_MS = 4000;
const READ_LIMIT_MS = 15_000;
/** For some hundred appends to a disk that is waited for. */
const FILL_LIMIT_MS = 40_000;
/** What was sent may be on its way for so long. */
const DRAIN_LIMIT_MS = 10_000;
const OPENED_AT_ONCE = 20;
const US_PER_SEC = 1_000_000;
const US_PER_MS = 1000;
const KIB_PER_MIB = 1024;

/** How events are produced on each of some streams. */
export interface Production {
  readonly streams: number;
  /** On each stream. */
  readonly events: number;
  /** Events a second on each stream; 0: as fast as they are taken. */
  readonly rate: number;
  /** After which producers that append stop. */
  readonly limitMs: number;
}

export interface Flow {
  readonly read: Reading;
  /** When the first event may have been sent. */
  readonly beganAtUs: number;
  /** Of systems that are appended to. */
  readonly appended: AppendOutcome | undefined;
  readonly cores: Cores;
}

/** What readers got of what was sent. */
export interface Reading extends Omit<ReadOutcome, "received"> {
  readonly readers: number;
  /** Readers that got every event that was sent, each once, in order where there is one. */
  readonly wholeReaders: number;
}

export interface Scene {
  readonly system: RunningSystem;
  readonly load: LoadGenerators;
  readonly memo: Memo;
  /** Unique in the run. */
  nextName(): string;
}

/** What is known of a system from before: how much to ask of it. */
export interface Memo {
  /** Events a second through one stream, roughly. */
  ratePerSec: number;
  /** By readers: events a second that fan-out begins with. */
  readonly fanOutRates: Map<number, number>;
}

/** Streams whose producers wait, and which end after their last event; or neither. */
export async function openStreams(
  scene: Scene,
  { streams, events, rate }: Pick<Production, "streams" | "events" | "rate">,
  { isHeld = true, staysOpen = false } = {},
): Promise<PeerStream[]> {
  const { system, load } = scene;
  const everyMs = rate === 0 ? 0 : 1000 / rate;
  const open = (at: number) => {
    const offsetMs = Math.round((everyMs * at) / streams);
    const script: SourceScript = { events, bytes: EVENT_BYTES, rate, batch: 1, isHeld, offsetMs, staysOpen };
    const sourceUrl = `${load.sourceOrigin}/?${scriptQuery(script)}`;
    return system.createStream({ name: scene.nextName(), sourceUrl, maxEvents: events });
  };
  const opened: PeerStream[] = [];
  for (let at = 0; at < streams; at += OPENED_AT_ONCE) {
    const count = Math.min(OPENED_AT_ONCE, streams - at);
    opened.push(...(await Promise.all(Array.from({ length: count }, (_, index) => open(at + index)))));
  }
  return opened;
}

/** Lets the producers of streams go. @returns as soon as they have begun */
export async function produce(
  scene: Scene,
  streams: readonly PeerStream[],
  { events, rate, limitMs }: Production,
): Promise<{ readonly beganAtUs: number; readonly done: Promise<AppendOutcome | undefined> }> {
  const targets = streams.flatMap((stream): PlannedRequest[] => {
    const request = stream.append();
    return request === undefined ? [] : [request];
  });
  if (targets.length === 0) {
    return { beganAtUs: await scene.load.beginSources(streams.length), done: Promise.resolve(undefined) };
  }
  const job = { targets, connections: targets.length, events, bytes: EVENT_BYTES, rate, limitMs };
  return { beganAtUs: nowUs(), done: scene.load.append(job) };
}

/** Events through fresh streams to readers that follow each of them from before the first event. */
export async function flow(scene: Scene, production: Production, readersOfEach: number): Promise<Flow> {
  const { events, limitMs } = production;
  const streams = await openStreams(scene, production);
  const readers = await scene.load.attachReaders({
    kind: "read",
    readers: streams.flatMap((stream) =>
      Array.from({ length: readersOfEach }, () => ({ request: stream.follow(), events, isInAnyOrder: false })),
    ),
    silenceMs: SILENCE_MS,
    limitMs: limitMs + DRAIN_LIMIT_MS,
    staysOpen: false,
  });
  const meter = new CoreMeter(scene);
  const { beganAtUs, done } = await produce(scene, streams, production);
  const [outcome, appended] = await Promise.all([readers.outcome, done]);
  const cores = meter.stop();
  // A producer that was not answered in time has sent fewer: those that were not sent, nobody lost.
  const sent = (at: number) => appended?.lastNumbers[Math.floor(at / readersOfEach)] ?? events;
  return { read: readingOf(outcome, sent), beganAtUs, appended, cores };
}

/** @param sent of each reader's stream */
export function readingOf({ received, ...rest }: ReadOutcome, sent: (at: number) => number): Reading {
  const whole = received.filter(({ events, isSound }, at) => isSound && events === sent(at));
  return { ...rest, readers: received.length, wholeReaders: whole.length };
}

/** Reads streams from their beginnings, all side by side. */
async function readWhole(
  { load }: Scene,
  plans: readonly { readonly stream: PeerStream; readonly events: number }[],
  isInAnyOrder = false,
): Promise<Reading> {
  const readers = plans.map(({ stream, events }) => ({ request: stream.readFromStart(), events, isInAnyOrder }));
  const limits = { silenceMs: SILENCE_MS, limitMs: READ_LIMIT_MS };
  const { outcome } = await load.attachReaders({ kind: "read", readers, ...limits, staysOpen: false });
  return readingOf(await outcome, (at) => plans[at]?.events ?? 0);
}

/** Streams and what is appended to each of them. */
export interface Appending {
  readonly streams: readonly PeerStream[];
  readonly connections: number;
  /** To each stream, at the most. */
  readonly events: number;
  readonly limitMs: number;
}

/**
 * Appends, each event when the last was answered, and sees whether it is all there: reads it afterwards, or,
 * of a system that replays nothing, follows meanwhile.
 */
export async function appendChecked(
  scene: Scene,
  { streams, connections, events, limitMs }: Appending,
): Promise<{ readonly appended: AppendOutcome; readonly read: Reading; readonly cores: Cores }> {
  const { load, system } = scene;
  const isInAnyOrder = connections > streams.length;
  const job = { targets: streams.flatMap((stream) => stream.append() ?? []), connections, events, limitMs };
  const followers = system.facts.cannot.includes("replay")
    ? await load.attachReaders({
        kind: "read",
        readers: streams.map((stream) => ({ request: stream.follow(), events, isInAnyOrder })),
        silenceMs: SILENCE_MS,
        limitMs: limitMs + DRAIN_LIMIT_MS,
        staysOpen: false,
      })
    : undefined;
  const meter = new CoreMeter(scene);
  const appended = await load.append({ ...job, bytes: EVENT_BYTES, rate: 0 });
  const cores = meter.stop();
  const sent = (at: number) => appended.lastNumbers[at] ?? 0;
  if (followers !== undefined) return { appended, cores, read: readingOf(await followers.outcome, sent) };
  const plans = streams.map((stream, at) => ({ stream, events: sent(at) })).filter(({ events }) => events > 0);
  return { appended, cores, read: await readWhole(scene, plans, isInAnyOrder) };
}

/**
 * A quiet stream that holds so many events. Its source stays open: not every system answers for a stream
 * that is over.
 */
export async function filledStream(
  scene: Scene,
  events: number,
): Promise<{ readonly stream: PeerStream; readonly flaws: readonly string[] }> {
  const streams = await openStreams(scene, { streams: 1, events, rate: 0 }, { isHeld: false, staysOpen: true });
  const [stream] = streams;
  if (stream === undefined) throw new Error("no stream was opened");
  if (stream.append() === undefined)
    return { stream, flaws: flawsOfReading(await readWhole(scene, [{ stream, events }])) };
  const { appended, read } = await appendChecked(scene, { streams, connections: 1, events, limitMs: FILL_LIMIT_MS });
  const short = appended.events < events ? [`${appended.events} of ${events} events were appended in time`] : [];
  return { stream, flaws: [...flawsOfAppending(appended.refusals), ...short, ...flawsOfReading(read)] };
}

/** How many cores each side keeps busy, from its making to its stopping. */
class CoreMeter {
  private readonly scene: Scene;
  private readonly beganAtUs = nowUs();
  private readonly before: Cores;

  constructor(scene: Scene) {
    this.scene = scene;
    this.before = this.read();
  }

  stop(): Cores {
    const seconds = (nowUs() - this.beganAtUs) / US_PER_SEC;
    const now = this.read();
    const busy = (name: keyof Cores) => (now[name] - this.before[name]) / seconds;
    return {
      system: busy("system"),
      source: busy("source"),
      producers: busy("producers"),
      readers: busy("readers"),
    };
  }

  private read(): Cores {
    const { system, load } = this.scene;
    return {
      system: system.pids().reduce((sum, pid) => sum + (cpuSecondsOf(pid) ?? 0), 0),
      source: load.cpuSecondsOf("source"),
      producers: load.cpuSecondsOf("producers"),
      readers: load.cpuSecondsOf("readers"),
    };
  }
}

/** Resident memory of all that is the system's. */
export function residentKib({ system }: Scene): number {
  return system.pids().reduce((sum, pid) => sum + (residentMbOf(pid) ?? Number.NaN), 0) * KIB_PER_MIB;
}

export function secondsBetween(fromUs: number, toUs: number): number {
  return (toUs - fromUs) / US_PER_SEC;
}

export function toMs(us: number): number {
  return us / US_PER_MS;
}
