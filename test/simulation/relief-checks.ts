/**
 * Holds what a buffer gives up against the rules, as it happens: what, in which order, and at what cost.
 *
 * B4 what gives way is the right thing, and nothing is evicted that could have been folded.
 * B5 no payload is read to evict; relief alone reads.
 */
import type { Segment } from "../../durable-objects/stream/segment-index.ts";
import type { FoldRule } from "../../protocol/fold.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { PRIORITIES } from "../../protocol/priority.ts";
import { areAdjoining, trimmedData } from "./appends.ts";
import type { BufferListener, ReliefProgress, SeenEviction, SeenSegment } from "./buffer-watch.ts";
import type { ModelEvent } from "./model.ts";
import type { GivenCounts } from "./retention.ts";
import { readRows, readUnstored, type ReadSegment } from "./row-reading.ts";
import type { SimObject } from "./sim-object.ts";
import { fail } from "./violation.ts";

/** What a turn looks at most before it evicts: it must not take long. */
const LOOKED_MAX_STEPS = 16;
const LOOKED_MAX_BYTES = 64 * 1024;
const NORMAL = 1;
const CRITICAL = 3;
const NO_PROGRESS: ReliefProgress = { foldedThroughSeq: 0, trimmedThroughSeq: 0, lookedBytes: 0 };

/** What happened in the turn that is running, or was the last. */
interface Turn {
  steps: number;
  lookedBytes: number;
  /** Whether the last step found nothing more to do. */
  isExhausted: boolean;
  replacements: number;
  /** Payloads that relief read. */
  reads: number;
}

export class ReliefChecks implements BufferListener {
  turn: Turn = newTurn();
  /** Events are being taken in. */
  isAppending = false;
  /** What happens to the next rows that are to give way: storage refuses them, or the process dies, some statements later. */
  strike: { readonly kind: "refusal" | "crash"; readonly afterStatements: number } | undefined;
  private progress = NO_PROGRESS;
  private readonly object: SimObject;

  constructor(object: SimObject) {
    this.object = object;
  }

  beginTurn(): void {
    this.turn = newTurn();
  }

  /** A new object has looked at nothing yet. */
  forget(): void {
    this.progress = NO_PROGRESS;
  }

  seeEviction(eviction: SeenEviction): void {
    if (this.object.isDead) return;
    const { model, storage } = this.object;
    const { coverage } = this.object.context;
    this.object.struckInTurn("eviction");
    coverage.note(`evicted: ${PRIORITIES[eviction.priority]}`);
    coverage.note(`evicted for: ${eviction.reason}`);
    if (eviction.reason === "storage_lost" && storage.counts.readFailures === 0)
      coverage.note("evicted: hot tail full");
    if (hasFold(this.object, eviction)) coverage.note("evicted: fold");
    if (eviction.reason !== "storage_lost") this.requireNothingToFold(eviction);
    const { readFailures, writes, writeFailures } = storage.counts;
    const cause = { hadReadFailure: readFailures > 0, hasWritten: writes > writeFailures };
    // Readers come later: what goes in the turn of a restart goes before there is a session.
    model.evict(eviction, { ...cause, isRestart: this.object.session === undefined });
  }

  seeReplacement(olds: readonly SeenSegment[], news: readonly Segment[]): void {
    if (this.object.isDead) return;
    const { model, storage } = this.object;
    this.turn.replacements++;
    const { isPressed, isPressedForBytes } = model.retained;
    // What a failing read lost in the middle of a step took the pressure off.
    const wasPressed = isPressed || storage.counts.readFailures > 0;
    if (!wasPressed) fail("B4", "the buffer gives way, and is not three quarters full");
    const isStored = news[0]?.isStored === true;
    const read = isStored
      ? readRows(
          storage,
          news.map(({ firstSeq }) => firstSeq),
        )
      : news.map(readUnstored);
    const given = model.replace(olds, read);
    if (given.folded === 0 && !isPressedForBytes) fail("B4", "payloads give way, and bytes are not what is short");
    if (given.compressed > 0) this.requireNothingToTrim();
    this.noteGiven(given, olds, read);
    this.noteOvertaken(read);
  }

  seeStep(step: () => unknown, progress: () => ReliefProgress): unknown {
    const { counts } = this.object.storage;
    const readsBefore = counts.payloadReads;
    const result = step();
    if (this.object.isDead) return result;
    this.turn.steps++;
    this.turn.reads += counts.payloadReads - readsBefore;
    this.turn.isExhausted = result === undefined;
    const { lookedBytes } = this.progress;
    this.progress = progress();
    this.turn.lookedBytes += this.progress.lookedBytes - lookedBytes;
    if (result === "looked") this.object.context.coverage.note("relief: looked in vain");
    return result;
  }

  seeApplication(kind: string, apply: () => unknown): unknown {
    const { storage, context } = this.object;
    const { counts } = storage;
    const failuresBefore = counts.writeFailures;
    const wasDead = this.object.isDead;
    const { strike } = this;
    this.strike = undefined;
    const { shouldFail } = storage;
    let left = strike?.afterStatements ?? 0;
    if (strike?.kind === "refusal") storage.shouldFail = (asked) => asked === "write" && left-- <= 0;
    if (strike?.kind === "crash") storage.crashAfterStatements = strike.afterStatements;
    const result = apply();
    storage.shouldFail = shouldFail;
    if (counts.writeFailures > failuresBefore) context.coverage.note(`refused by storage: ${kind}`);
    if (this.object.isDead && !wasDead) context.coverage.note(`crash while rows give way: ${kind}`);
    return result;
  }

  seeEnforcement(enforce: () => unknown): unknown {
    const { counts } = this.object.storage;
    const readsBefore = counts.payloadReads;
    const result = enforce();
    if (counts.payloadReads > readsBefore) fail("B5", "payloads were read to evict");
    return result;
  }

  /** The order of giving way: what folds is folded before anything is evicted, a bounded number of steps at a time. */
  private requireNothingToFold(eviction: SeenEviction): void {
    const { fold } = this.object.model.policy;
    const { steps, isExhausted, lookedBytes } = this.turn;
    if (fold === undefined || !this.isAppending || isExhausted) return;
    if (steps >= LOOKED_MAX_STEPS || lookedBytes >= LOOKED_MAX_BYTES) return;
    const pair = this.unlookedPair(fold);
    if (pair !== undefined) fail("B4", `${eviction.firstSeq} was evicted with ${pair} waiting to be folded`);
  }

  /** Two events that would become one, and that folding has not come to. */
  private unlookedPair(fold: FoldRule): string | undefined {
    let before: ModelEvent | undefined;
    for (const event of this.object.model.retained.events.values()) {
      if (event.seq <= this.progress.foldedThroughSeq || event.priority === CRITICAL) continue;
      const isNext = before?.seq === event.seq - 1 && before.priority === event.priority;
      const isSmall = isNext && before !== undefined && before.bytes + event.bytes <= SEGMENT_MAX_BYTES;
      if (isSmall && before !== undefined && areAdjoining(fold, before, event)) return `${before.seq} and ${event.seq}`;
      before = event;
    }
    return undefined;
  }

  /** Rows that are compressed could not have lost verbose values instead. */
  private requireNothingToTrim(): void {
    const { model } = this.object;
    const { trimmedThroughSeq } = this.progress;
    for (const { seq, priority, data } of model.retained.events.values()) {
      const isStored = seq > trimmedThroughSeq && seq <= model.durableSeq;
      const frame = model.retained.frameOf(seq);
      if (!isStored || priority > NORMAL || frame?.isTrimmed !== false || frame.firstSeq !== frame.lastSeq) continue;
      if (trimmedData(data, model.policy.trimPaths) !== undefined) fail("B4", `compressed with ${seq} not trimmed`);
    }
  }

  /** Snapshots that were half made, and stand within what has become one event. */
  private noteOvertaken(news: readonly ReadSegment[]): void {
    for (const { reader, check } of this.object.attached) {
      const { nextSeq } = reader?.snapshot ?? { nextSeq: 0 };
      const isOvertaken = news.some(({ frames }) =>
        frames.some(({ firstSeq, lastSeq }) => firstSeq < nextSeq && lastSeq >= nextSeq),
      );
      if (!isOvertaken) continue;
      check.noteOvertaken();
      this.object.struckInTurn("snapshot overtaken");
      this.object.context.coverage.note("snapshot: overtaken by a fold");
    }
  }

  private noteGiven(given: GivenCounts, olds: readonly SeenSegment[], news: readonly ReadSegment[]): void {
    const { coverage } = this.object.context;
    const isStored = olds.some((old) => old.isStored);
    if (given.folded > 0) this.object.struckInTurn("fold");
    if (given.trimmed > 0) this.object.struckInTurn("trimmed payload");
    if (given.compressed > 0) this.object.struckInTurn("compression");
    if (given.folded > 0) coverage.note(`folded: ${isStored ? "stored" : "in memory"}`, given.folded);
    if (isStored && !olds.every((old) => old.isStored)) coverage.note("folded: stored and in memory");
    if (given.trimmed > 0) coverage.note("trimmed", given.trimmed);
    if (given.compressed > 0) coverage.note("compressed", given.compressed);
    for (const { encoding } of news) coverage.note(`encoding: ${encoding}`);
  }
}

function newTurn(): Turn {
  return { steps: 0, lookedBytes: 0, isExhausted: false, replacements: 0, reads: 0 };
}

function hasFold({ model }: SimObject, { firstSeq, lastSeq }: SeenEviction): boolean {
  const last = model.retained.frameOf(lastSeq);
  return last !== undefined && last.firstSeq < last.lastSeq && last.firstSeq >= firstSeq;
}
