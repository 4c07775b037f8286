/**
 * Storage that fails at any moment: one stream's life is lived once for each statement of it (a third of them per
 * kind of outage), and there storage refuses, for one statement, for a while, or until after the end.
 *
 * B1, B2: whatever happens, readers are told the truth, and live ones miss nothing.
 */
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";

import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { readConfig } from "../../workers/config.ts";
import { FaultyLife, FaultyStorage, Tap, type Statement } from "./faulty-stream.ts";
import { readTold, type Told } from "./told-truth.ts";

const BURSTS = 20;
const BURST_EVENTS = 5;
/** Each kind of outage takes up every third statement, each another one: together they leave none out. */
const STRIDE = 3;
const EVENTS = BURSTS * BURST_EVENTS;
const LARGE_CHARS = 17_000;
const VERBOSE = "v".repeat(150);

afterEach(async () => {
  await reset();
});

const TEXTS = Array.from({ length: EVENTS }, (_, at) =>
  at === 46 ? `<${at + 1}>`.padEnd(LARGE_CHARS, "L") : `<${at + 1}> some words `,
);

function nameOf(seq: number): string {
  if (seq % 29 === 0) return "stage";
  if (seq % 13 === 0) return "result";
  return seq % 6 === 0 ? "debug" : "token";
}

function eventAt(seq: number): SourceEvent {
  return { event: nameOf(seq), data: JSON.stringify({ t: TEXTS[seq - 1], v: VERBOSE }), retryMs: undefined };
}

/** Small enough that every kind of relief has work to do. */
function begin(storage: FaultyStorage): FaultyLife {
  const reading = readConfig({ ...env });
  if (!reading.ok) throw new Error("the configuration is at fault");
  const limits = { bufferMaxEvents: 36, bufferMaxBytes: 25 * 1024, snapshotTtlMs: 60_000 };
  return new FaultyLife(storage, {
    settings: { ...reading.config.settings, ...limits },
    relief: { fold: { paths: ["$.t"] }, trimPaths: ["$.v"], compresses: true, lowPriorityShare: 0.5 },
  });
}

/** What a reader was sent, and the position it came with. */
interface Witness {
  readonly name: string;
  readonly tap: Tap;
  readonly afterSeq: number;
}

/** Lives through the stream with readers of every kind, up to and with its end. */
function live(storage: FaultyStorage): { life: FaultyLife; witnesses: Witness[] } {
  const life = begin(storage);
  const witnesses: Witness[] = [{ name: "live", tap: life.attach(undefined), afterSeq: 0 }];
  const slow = new Tap();
  slow.takesBytes = 3000;
  const slowSnapshot = new Tap();
  slowSnapshot.takesBytes = 1000;
  witnesses.push({ name: "slow", tap: life.attach(undefined, "live", slow), afterSeq: 0 });
  for (let burst = 0; burst < BURSTS; burst++) {
    const firstSeq = burst * BURST_EVENTS + 1;
    life.append(...Array.from({ length: BURST_EVENTS }, (_, at) => eventAt(firstSeq + at)));
    if (burst === 6) {
      witnesses.push({ name: "resumed", tap: life.attach("1-7"), afterSeq: 7 });
      witnesses.push({ name: "replayed", tap: life.attach("1-20", "replay"), afterSeq: 20 });
      witnesses.push({ name: "snapshot", tap: life.attach("1-20", "snapshot"), afterSeq: 0 });
      witnesses.push({ name: "slow snapshot", tap: life.attach("1-9", "snapshot", slowSnapshot), afterSeq: 0 });
    }
    if (burst === 9) life.release(slowSnapshot);
    if (burst === 13) life.release(slow);
    if (burst === 14) witnesses.push({ name: "inside", tap: life.attach("1-33"), afterSeq: 33 });
    if (burst % 3 === 2) life.pass(600);
  }
  life.finish();
  return { life, witnesses };
}

/** How long storage refuses, and what. */
interface Outage {
  readonly name: string;
  readonly lastsMs: number;
  /** Of the kind of the statement it began with only, or everything. */
  readonly isPartial: boolean;
}

const OUTAGES: readonly Outage[] = [
  { name: "one statement", lastsMs: 0, isPartial: true },
  { name: "a while", lastsMs: 2500, isPartial: true },
  { name: "a while, reads and writes", lastsMs: 2500, isPartial: false },
  { name: "until after the end", lastsMs: Number.POSITIVE_INFINITY, isPartial: true },
];

function plan(storage: FaultyStorage, moment: number, outage: Outage): void {
  let begun: { readonly kind: Statement["kind"]; readonly endMs: number } | undefined;
  storage.refuses = ({ kind }, at) => {
    if (at < moment) return false;
    if (at === moment) begun = { kind, endMs: storage.nowMs + outage.lastsMs };
    if (begun === undefined || storage.nowMs >= begun.endMs) return at === moment;
    return !outage.isPartial || kind === begun.kind;
  };
}

function check(isRight: boolean, fault: string): void {
  if (!isRight) throw new Error(fault);
}

function seqsThrough(told: Told): number {
  return told.received.length + told.gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** What each reader was told while the stream was there. */
function checkWitnesses(life: FaultyLife, witnesses: readonly Witness[]): void {
  const begins = life.degradations().filter((isBegin) => isBegin).length;
  const isLost = life.telemetry.some((record) => "reason" in record && record.reason === "storage_lost");
  for (const { name, tap, afterSeq } of witnesses) {
    const told = readTold(tap.text, TEXTS, afterSeq);
    const isFalse = told.gaps.some(({ reason }) => reason !== "buffer_trimmed" && !isLost);
    check(!isFalse, `${name}: told of a loss that was none`);
    check(name !== "live" || told.received.length === EVENTS, `live: got ${told.received.length} events`);
    const warnings = told.notices.filter((notice) => notice === "degraded").length;
    check(name !== "live" || warnings > 0 === begins > 0, `live: ${warnings} warnings of ${begins}`);
    if (name === "replayed") continue;
    // A snapshot of which half an event is lost is cut; any other reader is told the end.
    const isCut = told.end === undefined && tap.isOver;
    check(isCut || told.end?.["status"] === "complete", `${name}: no end`);
    check(isCut || seqsThrough(told) === EVENTS - afterSeq, `${name}: ${seqsThrough(told)} of ${EVENTS - afterSeq}`);
  }
}

/** Who comes when storage is back finds an honest whole, with a token; and so after a restart. */
function checkLateReaders(life: FaultyLife): void {
  check(!life.session.isDegraded, "still degraded with storage back");
  const ended = life.degradations();
  check(ended.every((isBegin, at) => isBegin === (at % 2 === 0)) && ended.length % 2 === 0, `told ${ended.join()}`);
  const first = checkLate(life, 0);
  checkLate(life, EVENTS - 3);
  check(life.restart(), "nothing is stored");
  const again = checkLate(life, 0);
  check(again.received.join() === first.received.join(), `${again.received.join()} after a restart`);
  check(JSON.stringify(again.gaps) === JSON.stringify(first.gaps), `${JSON.stringify(again.gaps)} after a restart`);
  check(life.session.state === "completed" && !life.session.isDegraded, life.session.state);
}

function checkLate(life: FaultyLife, afterSeq: number): Told {
  const tap = life.attach(afterSeq === 0 ? "0-0" : `1-${afterSeq}`);
  const told = readTold(tap.text, TEXTS, afterSeq);
  check(tap.hadToken && tap.isOver && told.end?.["status"] === "complete", "a late reader without token or end");
  check(seqsThrough(told) === EVENTS - afterSeq, `a late reader: ${seqsThrough(told)} events and gaps`);
  return told;
}

/** @returns what went wrong, if anything did */
async function liveWithOutage(
  state: DurableObjectState,
  moment: number,
  { outage, thenCrash }: { outage: Outage; thenCrash: boolean },
): Promise<string | undefined> {
  const storage = new FaultyStorage(state.storage);
  plan(storage, moment, outage);
  try {
    const { life, witnesses } = live(storage);
    checkWitnesses(life, witnesses);
    storage.heal();
    if (thenCrash) checkAfterCrash(life);
    else {
      life.pass(3000);
      checkLateReaders(life);
    }
    check(life.isOverAfterTtl(), "does not expire");
    check(storage.refusals > 0, "storage refused nothing");
    return undefined;
  } catch (error) {
    const { query = "" } = storage.statements[moment] ?? {};
    return `${outage.name} from statement ${moment} (${query.slice(0, 40)}): ${String(error)}`;
  } finally {
    await state.storage.deleteAll();
  }
}

/** Who comes after a crash with storage down: what never got there is said to be gone. */
function checkAfterCrash(life: FaultyLife): void {
  if (!life.restart()) return;
  const durableSeq = Number(life.session.status().last_id.split("-")[1]);
  const wholeTap = life.attach("0-0");
  const whole = readTold(wholeTap.text, TEXTS);
  // Of nothing a reader at the start has all.
  if (durableSeq === 0) return check(wholeTap.isOver && wholeTap.text === "", `told ${wholeTap.text} of nothing`);
  check(
    seqsThrough(whole) === durableSeq && whole.end !== undefined,
    `from 0-0 of ${durableSeq}: ${seqsThrough(whole)}`,
  );
  const isWhole = whole.end?.["status"] === "complete";
  check(isWhole ? durableSeq === EVENTS : whole.end?.["status"] === "interrupted", JSON.stringify(whole.end));
  const { text } = life.attach(`1-${EVENTS}`);
  const told = readTold(text, TEXTS, EVENTS);
  check(told.received.length === 0 && told.notices.includes("rewind") === durableSeq < EVENTS, told.notices.join());
}

/** Each third moment of a life from `first` on, one after the other, on one object. */
function atEachMoment(
  first: number,
  liveOnce: (state: DurableObjectState, moment: number) => Promise<string | undefined>,
): Promise<readonly string[]> {
  return runInDurableObject(env.REQUEST_STREAM.getByName("faulty"), async (_, state) => {
    const storage = new FaultyStorage(state.storage);
    live(storage);
    await state.storage.deleteAll();
    const found: (string | undefined)[] = [];
    for (let moment = first; moment < storage.statements.length; moment += STRIDE) {
      found.push(await liveOnce(state, moment));
    }
    return found.filter((fault) => fault !== undefined);
  });
}

it("a life on sound storage has every kind of relief in it, so that each may be where storage fails", async () => {
  await runInDurableObject(env.REQUEST_STREAM.getByName("sound"), (_, state) => {
    const { life, witnesses } = live(new FaultyStorage(state.storage));
    checkWitnesses(life, witnesses);
    checkLateReaders(life);
    const kinds = life.telemetry.map((record) => ("reason" in record ? String(record.reason) : record.event));
    const relief = ["SseBufferFolded", "SsePayloadTrimmed", "SseBufferCompressed", "sampled", "max_events"];
    expect(kinds).toEqual(expect.arrayContaining(relief));
  });
});

it("storage fails at a statement, and the object dies after the end: what is told is what is left", async () => {
  const forGood = { name: "for good", lastsMs: Number.POSITIVE_INFINITY, isPartial: false };
  const faults = await atEachMoment(0, (state, moment) =>
    liveWithOutage(state, moment, { outage: forGood, thenCrash: true }),
  );
  expect(faults).toEqual([]);
});

describe.each(OUTAGES)("storage that refuses: $name", (outage) => {
  it("at any moment of a stream's life, readers are told the truth, and the stream recovers", async () => {
    const faults = await atEachMoment(OUTAGES.indexOf(outage) % STRIDE, (state, moment) =>
      liveWithOutage(state, moment, { outage, thenCrash: false }),
    );
    expect(faults).toEqual([]);
  });
});
