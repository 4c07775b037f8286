/**
 * One shard's events between the producer's acknowledgement and the table: what is buffered, what is
 * sealed for delivery, and when a flush is due. All of it is synchronous; SQLite holds everything that
 * must outlive the process, memory only what can be read from there again.
 *
 * - L1 an event is acknowledged after its row is written, and its row is emptied only after its batch is
 *   delivered;
 * - L2 batch numbers and seqs are never used twice in one life of the shard;
 * - L3 the age deadline is the oldest event's: later traffic never postpones it.
 */
import type { AppendAnswer, AppendCall, ShardStatus } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import type { LakeSettings } from "../../protocol/lake-settings.ts";
import { encodePayload, sizeInChars } from "./append-payload.ts";
import { toAppends, type TakenNow } from "./append-rows.ts";
import { BATCH_MAX_BYTES, BATCH_MAX_EVENTS, planBatch } from "./batch-plan.ts";
import type { NewLetter } from "./dead-letter-store.ts";
import { EventPlaces } from "./event-places.ts";
import { RollupKeeper } from "./rollup-keeper.ts";
import type {
  ReturnedLetter,
  ReturnedLetters,
  SealedBatch,
  ShardRecord,
  ShardStore,
  StoredAppend,
  StoredShard,
} from "./shard-store.ts";
import { TakenEvents } from "./taken-events.ts";

/** Rows that lie in memory one by one; beyond, they are sealed. */
const OPEN_MAX_ROWS = 5_000;

const RETRY_AFTER_FULL_SEC = 5;
/** UTF-8 makes at most three bytes of one UTF-16 unit. */
const BYTES_PER_CHAR_MAX = 3;

/** Of events that were taken before. */
interface Again {
  readonly returned?: ReturnedLetters;
  readonly isReplayed?: boolean;
  readonly places?: EventPlaces | undefined;
}

export class ShardBuffer {
  readonly record: ShardRecord;
  readonly sums: RollupKeeper;
  private readonly store: ShardStore;
  private readonly settings: LakeSettings;
  private readonly taken: TakenEvents;
  /** The newest row's first seq; it stays whatever it holds, and tells a restart how far the seqs have come. L2 */
  private newestRow = 0;
  private open: StoredAppend[] = [];
  private sealed: SealedBatch[] = [];
  private nextSeq = 1;
  /** All that is buffered, open and sealed. */
  private events = 0;
  private bytes = 0;
  private openEvents = 0;
  private openBytes = 0;
  private deadLetters = 0;

  /** Reads what storage holds of the shard, or begins its first life. */
  static load(
    store: ShardStore,
    settings: LakeSettings,
    birth: { readonly index: number; readonly randomHex: string; readonly dedupSeed: number },
  ): ShardBuffer {
    const stored = store.load();
    if (stored !== undefined) return new ShardBuffer(store, settings, stored);
    const record: ShardRecord = {
      index: birth.index,
      name: `${birth.index}-${birth.randomHex}`,
      dedupSeed: birth.dedupSeed,
      nextBatch: 1,
      isRegistered: false,
      lastFlushAtMs: undefined,
      lastError: undefined,
      attempts: 0,
      nextAttemptAtMs: undefined,
      fillMark: 0,
    };
    store.create(record);
    const nothing = { open: [], window: [], batches: [], deadLetters: 0, nextSeq: 1, newestRow: 0 };
    return new ShardBuffer(store, settings, { record, ...nothing });
  }

  private constructor(store: ShardStore, settings: LakeSettings, stored: StoredShard) {
    this.store = store;
    this.settings = settings;
    this.record = stored.record;
    this.sealed = [...stored.batches];
    this.deadLetters = stored.deadLetters;
    this.nextSeq = stored.nextSeq;
    this.newestRow = stored.newestRow;
    for (const { eventCount, byteSize } of this.sealed) this.count(eventCount, byteSize);
    for (const append of stored.open) {
      this.addOpen(append);
      this.count(append.eventCount, append.byteSize);
    }
    this.taken = new TakenEvents(stored.record.dedupSeed, stored);
    this.sums = RollupKeeper.load(store, this.lastSeq);
  }

  /** Takes all events that are new, or none where they do not fit. L1 */
  append(call: Omit<AppendCall, "shardIndex">, nowMs: number): AppendAnswer {
    const places = call.places === undefined ? undefined : this.lookAtPlaces(call.places);
    const { fresh, fingerprints, duplicates } = this.taken.sift(call.events, places);
    if (fresh.length === 0) {
      if (places !== undefined) this.store.putPlaces(places);
      return { ok: true, accepted: 0, duplicates };
    }
    if (!this.hasRoomFor(fresh)) {
      const waitMs = Math.max(0, (this.record.nextAttemptAtMs ?? 0) - nowMs);
      return {
        ok: false,
        code: "buffer_full",
        retryAfterSec: Math.max(RETRY_AFTER_FULL_SEC, Math.ceil(waitMs / 1000)),
      };
    }
    const { isRiding, isReplayed = false } = call;
    this.write({ events: fresh, fingerprints, isRiding, isReplayed, places }, nowMs);
    return { ok: true, accepted: fresh.length, duplicates };
  }

  /**
   * The shard's telemetry about itself, which rides along; what does not fit is not taken. Remembered like all
   * else: an operator who replays an export sends it again.
   */
  appendOwn(events: readonly LakeEvent[], nowMs: number): void {
    if (!this.hasRoomFor(events)) return;
    this.write({ events, fingerprints: this.taken.fingerprintsOf(events), isRiding: true }, nowMs);
  }

  /**
   * Events of dead letters are buffered again, and the letters gone, both or neither. They have been taken
   * before: what they are known by moves to their new row. T1
   *
   * @returns whether there was room
   */
  takeBack(letters: readonly ReturnedLetter[], nowMs: number): boolean {
    const events = letters.map(({ event }) => event);
    if (!this.hasRoomFor(events)) return false;
    const fingerprints = this.taken.fingerprintsOf(events);
    const rows = this.taken.rowsWithout(fingerprints);
    const returned = { letterIds: letters.map(({ letterId }) => letterId), rows };
    const places = this.lookAtPlaces();
    for (const [at, { seq }] of letters.entries()) places.moveOwn(seq, this.nextSeq + at);
    this.write({ events, fingerprints, isRiding: false, returned, places }, nowMs);
    return true;
  }

  private lookAtPlaces(given?: AppendCall["places"]): EventPlaces {
    return new EventPlaces(this.store.places, { life: this.record.name, nextSeq: this.nextSeq }, given);
  }

  private write(taken: TakenNow & Again, nowMs: number): void {
    const appends = toAppends(taken, this.nextSeq, nowMs);
    this.sums.saveIfDue(this.lastSeq, nowMs);
    const isCounted = taken.returned !== undefined || taken.isReplayed === true;
    const lastSeq = this.lastSeq + taken.events.length;
    const last = () => {
      if (isCounted) this.sums.skip(taken.events, lastSeq);
      if (taken.places !== undefined) this.store.places.put(taken.places);
    };
    // Nothing in memory changes before the rows are there: storage may refuse them.
    this.store.append(appends, this.taken.rowsGone(), taken.returned, last);
    this.taken.noteRowsGone();
    if (taken.returned !== undefined) {
      this.taken.noteMoved(taken.returned.rows, taken.fingerprints);
      this.deadLetters -= taken.returned.letterIds.length;
    }
    this.nextSeq += taken.events.length;
    this.newestRow = appends.at(-1)?.firstSeq ?? this.newestRow;
    let at = 0;
    for (const { payload: _, fingerprints: __, ...append } of appends) {
      this.addOpen(append);
      this.count(append.eventCount, append.byteSize);
      const fingerprints = taken.fingerprints.slice(at, at + append.eventCount);
      this.taken.remember(append.firstSeq, fingerprints, (row) => this.isBuffered(row));
      at += append.eventCount;
    }
    if (!isCounted) this.sums.note(taken.events, appends);
    this.sealFull();
  }

  /** Sealed rows are one entry in memory: a backlog of many small appends costs no more than one of large ones. */
  private sealFull(): void {
    const isFull = () =>
      this.open.length >= OPEN_MAX_ROWS || this.openEvents >= BATCH_MAX_EVENTS || this.openBytes >= BATCH_MAX_BYTES;
    try {
      while (isFull()) this.sealNext(this.lastSeq);
    } catch {
      // Storage refuses just now. The events are kept, and sealed with the next append or flush.
    }
  }

  private isBuffered(firstSeq: number): boolean {
    const oldest = this.sealed[0]?.fromSeq ?? this.open[0]?.firstSeq ?? this.nextSeq;
    return firstSeq >= oldest;
  }

  private hasRoomFor(events: readonly LakeEvent[]): boolean {
    if (this.events + events.length > this.settings.shardMaxEvents) return false;
    const chars = events.reduce((sum, event) => sum + sizeInChars(event), 0);
    // By the most the text can take: refusing a little early is harmless, a row too many is not.
    const isClose = this.bytes + chars * BYTES_PER_CHAR_MAX > this.settings.shardMaxBytes;
    return !isClose || this.bytes + encodePayload(events).byteLength <= this.settings.shardMaxBytes;
  }

  /**
   * The next batch to deliver: one that was sealed before, or else a new one of at most
   * {@link BATCH_MAX_EVENTS} and {@link BATCH_MAX_BYTES}. L2
   *
   * @param uptoSeq nothing after it is sealed anew, so that steady traffic cannot keep a flush going
   */
  nextBatch(uptoSeq: number): SealedBatch | undefined {
    return this.sealed[0] ?? this.sealNext(uptoSeq);
  }

  private sealNext(uptoSeq: number): SealedBatch | undefined {
    const plan = planBatch(this.open, uptoSeq);
    if (plan === undefined) return undefined;
    const batch: SealedBatch = { batch: this.record.nextBatch, ...plan.batch };
    this.store.seal(batch, { ...this.record, nextBatch: batch.batch + 1 });
    this.record.nextBatch = batch.batch + 1;
    this.open.splice(0, plan.appends);
    this.openEvents -= batch.eventCount;
    this.openBytes -= batch.byteSize;
    this.sealed.push(batch);
    return batch;
  }

  /** The batch that a delivery may have been tried of: they go one after the other. */
  get headBatch(): SealedBatch | undefined {
    return this.sealed[0];
  }

  /** Seals whatever is open, so that no batch holds events of before and after `uptoSeq`. */
  sealUpto(uptoSeq: number): void {
    while (this.sealNext(uptoSeq) !== undefined);
  }

  /** Sealed batches under new numbers: the old ones can never be delivered any more. L2 */
  renumber(): void {
    const first = this.record.nextBatch;
    const renumbered = this.sealed.map((batch, at) => ({ ...batch, batch: first + at }));
    const nextBatch = first + renumbered.length;
    const changes = this.sealed.map(({ batch }, at) => ({ from: batch, to: first + at }));
    this.store.renumber(changes, { ...this.record, nextBatch });
    this.record.nextBatch = nextBatch;
    this.sealed = renumbered;
  }

  /**
   * Events up to a seq, as a moment ago somebody saw them: how many of them are left, and whether producers
   * have sent more since. `undefined` where they cannot be told apart from later ones.
   */
  eventsUpto(uptoSeq: number): { readonly events: number; readonly hasLaterOnes: boolean } | undefined {
    if ((this.sealed.at(-1)?.uptoSeq ?? 0) > uptoSeq) return undefined;
    const later = this.open.filter(({ firstSeq }) => firstSeq > uptoSeq);
    const events = this.events - later.reduce((sum, { eventCount }) => sum + eventCount, 0);
    return { events, hasLaterOnes: later.some(({ isRiding }) => !isRiding) };
  }

  /**
   * Lets go of events that are safe elsewhere, and forgets them: sent again, they are taken again. The range is
   * of whole sealed batches, {@link sealUpto} has seen to that. T1
   *
   * @returns what has left
   */
  drop(fromSeq: number, uptoSeq: number): { readonly events: number; readonly bytes: number } {
    const isDropped = ({ fromSeq: from }: SealedBatch) => from >= fromSeq && from <= uptoSeq;
    const gone = this.sealed.filter(isDropped);
    const change = { lastError: undefined, attempts: 0, nextAttemptAtMs: undefined };
    const { newestRow } = this;
    this.sums.saveIfChanged(this.lastSeq);
    this.store.drop({ fromSeq, uptoSeq, newestRow, record: { ...this.record, ...change } });
    Object.assign(this.record, change);
    this.sealed = this.sealed.filter((batch) => !isDropped(batch));
    this.taken.forgetRows(fromSeq, uptoSeq);
    if (newestRow >= fromSeq && newestRow <= uptoSeq) this.taken.noteNewestEmptied(newestRow);
    const events = gone.reduce((sum, { eventCount }) => sum + eventCount, 0);
    const bytes = gone.reduce((sum, { byteSize }) => sum + byteSize, 0);
    this.count(-events, -bytes);
    return { events, bytes };
  }

  /** A batch is delivered: its events leave. L1 */
  finish(batch: SealedBatch, deadLetters: readonly NewLetter[], nowMs: number): void {
    const change = { lastFlushAtMs: nowMs, lastError: undefined, attempts: 0, nextAttemptAtMs: undefined };
    const windowStart = this.taken.firstRowOr(this.nextSeq);
    const { newestRow } = this;
    this.sums.saveIfChanged(this.lastSeq);
    this.store.finish({ batch, deadLetters, windowStart, newestRow, record: { ...this.record, ...change } });
    Object.assign(this.record, change);
    if (newestRow >= batch.fromSeq && newestRow <= batch.uptoSeq) this.taken.noteNewestEmptied(newestRow);
    this.sealed.shift();
    this.count(-batch.eventCount, -batch.byteSize);
    this.deadLetters += deadLetters.length;
  }

  /** A delivery has failed; the batch stays as it is. */
  noteFailure(reason: string, nextAttemptAtMs: number): void {
    const change = { lastError: reason, attempts: this.record.attempts + 1, nextAttemptAtMs };
    Object.assign(this.record, change);
    this.store.putRecord(this.record);
  }

  noteRegistered(): void {
    this.record.isRegistered = true;
    this.store.putRecord(this.record);
  }

  noteFillMark(mark: number): void {
    this.record.fillMark = mark;
    this.store.putRecord(this.record);
  }

  noteDeadLettersGone(uptoLetterId: number, count: number): void {
    this.store.letters.dropUpto(uptoLetterId);
    this.deadLetters -= count;
  }

  dropLetters(letterIds: readonly number[]): void {
    this.store.dropLetters(letterIds);
    this.deadLetters -= letterIds.length;
  }

  get lastSeq(): number {
    return this.nextSeq - 1;
  }

  get bufferedEvents(): number {
    return this.events;
  }

  get deadLetterCount(): number {
    return this.deadLetters;
  }

  /** 0 to 1. */
  get fillRate(): number {
    return Math.max(this.events / this.settings.shardMaxEvents, this.bytes / this.settings.shardMaxBytes);
  }

  /** When a flush is due; `undefined` while nothing waits for one. L3 */
  flushDueAtMs(nowMs: number): number | undefined {
    const wantedAtMs = this.wantedAtMs(nowMs);
    if (wantedAtMs === undefined) return undefined;
    return Math.max(wantedAtMs, this.record.nextAttemptAtMs ?? 0);
  }

  private wantedAtMs(nowMs: number): number | undefined {
    if (this.sealed.length > 0 || this.deadLetters > this.settings.deadLetterMax) return nowMs;
    const oldest = this.open.find((append) => !append.isRiding);
    if (oldest === undefined) return undefined;
    if (this.openEvents >= this.settings.flushEvents || this.openBytes >= BATCH_MAX_BYTES) return nowMs;
    return oldest.appendedAtMs + this.settings.flushAgeMs;
  }

  status(nowMs: number): ShardStatus {
    const { record } = this;
    // Of what waits for others to cause a flush, the age says nothing.
    const oldestAtMs = this.sealed[0]?.oldestAtMs ?? this.open.find((append) => !append.isRiding)?.appendedAtMs;
    return {
      shard: record.name,
      events: this.events,
      bytes: this.bytes,
      buffer_fill_rate: Number(this.fillRate.toFixed(4)),
      oldest_age_ms: oldestAtMs === undefined ? null : Math.max(0, nowMs - oldestAtMs),
      pending_batches: this.sealed.length,
      dead_letters: this.deadLetters,
      last_flush_at: isoOrNull(record.lastFlushAtMs),
      last_error: record.lastError ?? null,
      next_attempt_at: isoOrNull(record.nextAttemptAtMs),
    };
  }

  private addOpen(append: StoredAppend): void {
    this.open.push(append);
    this.openEvents += append.eventCount;
    this.openBytes += append.byteSize;
  }

  private count(events: number, bytes: number): void {
    this.events += events;
    this.bytes += bytes;
  }
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
