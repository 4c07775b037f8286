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
import { dayOf, MICROS_PER_MS, type LakeEvent } from "../../protocol/lake-event.ts";
import type { LakeSettings } from "../../protocol/lake-settings.ts";
import { encodePayload, sizeInChars, splitIntoRows } from "./append-payload.ts";
import { DedupWindow, fingerprintOf, packFingerprints, unpackFingerprints, type Fingerprint } from "./dedup-window.ts";
import {
  WINDOW_MAX_ROWS,
  type DeadLetter,
  type NewAppend,
  type SealedBatch,
  type ShardRecord,
  type ShardStore,
  type StoredAppend,
  type StoredShard,
} from "./shard-store.ts";

/** Events whose fingerprints a shard remembers. About 80 bytes of memory each. */
export const DEDUP_WINDOW_EVENTS = 50_000;
/** Rows that lie in memory one by one; beyond, they are sealed. */
const OPEN_MAX_ROWS = 5_000;

/** Most rows and bytes of one batch, for the 128 MB that objects of an isolate share. */
export const BATCH_MAX_EVENTS = 20_000;
export const BATCH_MAX_BYTES = 8 * 1024 * 1024;
/** Days of one batch, each a file: an append has at most 100 (ingest limit), so a batch stays below 300. */
const BATCH_MAX_DAYS = 200;

const RETRY_AFTER_FULL_SEC = 5;
/** UTF-8 makes at most three bytes of one UTF-16 unit. */
const BYTES_PER_CHAR_MAX = 3;

export class ShardBuffer {
  readonly record: ShardRecord;
  private readonly store: ShardStore;
  private readonly settings: LakeSettings;
  private readonly window = new DedupWindow(DEDUP_WINDOW_EVENTS, WINDOW_MAX_ROWS);
  /** Emptied rows that have left the window: they go with the next append. */
  private dueForRemoval: number[] = [];
  /** Emptied rows before this one go with the next append, too: where a restart has forgotten which. */
  private forgottenBelow: number | undefined;
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
    for (const { firstSeq, fingerprints } of stored.window) this.window.add(firstSeq, unpackFingerprints(fingerprints));
    // Rows that an earlier process has left behind go with the next append.
    this.forgottenBelow = this.window.firstSeq ?? this.nextSeq;
  }

  /** Takes all events that are new, or none where they do not fit. L1 */
  append(call: Pick<AppendCall, "events" | "isRiding">, nowMs: number): AppendAnswer {
    const { fresh, fingerprints, duplicates } = this.sift(call.events);
    if (fresh.length === 0) return { ok: true, accepted: 0, duplicates };
    if (!this.hasRoomFor(fresh)) {
      const waitMs = Math.max(0, (this.record.nextAttemptAtMs ?? 0) - nowMs);
      return {
        ok: false,
        code: "buffer_full",
        retryAfterSec: Math.max(RETRY_AFTER_FULL_SEC, Math.ceil(waitMs / 1000)),
      };
    }
    this.write({ events: fresh, fingerprints, isRiding: call.isRiding }, nowMs);
    return { ok: true, accepted: fresh.length, duplicates };
  }

  /**
   * The shard's telemetry about itself, which rides along. Nobody sends it twice, so nothing of it has to be
   * remembered; what does not fit is not taken.
   */
  appendOwn(events: readonly LakeEvent[], nowMs: number): void {
    if (this.hasRoomFor(events)) this.write({ events, fingerprints: [], isRiding: true }, nowMs);
  }

  private write(
    taken: { events: readonly LakeEvent[]; fingerprints: readonly Fingerprint[]; isRiding: boolean },
    nowMs: number,
  ): void {
    const appends: NewAppend[] = [];
    let firstSeq = this.nextSeq;
    let at = 0;
    for (const events of splitIntoRows(taken.events)) {
      const payload = encodePayload(events);
      const days = new Set(events.map((event) => dayOf(event.timeUs)));
      appends.push({
        firstSeq,
        eventCount: events.length,
        byteSize: payload.byteLength,
        dayCount: days.size,
        firstDay: Math.min(...days),
        appendedAtMs: nowMs,
        isRiding: taken.isRiding,
        fingerprints: packFingerprints(taken.fingerprints.slice(at, at + events.length)),
        payload,
      });
      firstSeq += events.length;
      at += events.length;
    }
    // Nothing in memory changes before the rows are there: storage may refuse them.
    this.store.append(appends, { firstSeqs: this.dueForRemoval, forgottenBelow: this.forgottenBelow });
    this.dueForRemoval = [];
    this.forgottenBelow = undefined;
    this.nextSeq = firstSeq;
    this.newestRow = appends.at(-1)?.firstSeq ?? this.newestRow;
    at = 0;
    for (const { payload: _, fingerprints: __, ...append } of appends) {
      this.addOpen(append);
      this.count(append.eventCount, append.byteSize);
      this.remember(append.firstSeq, taken.fingerprints.slice(at, at + append.eventCount));
      at += append.eventCount;
    }
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

  /** Which of the events have not been taken before, in the window or earlier in the call. */
  private sift(events: readonly LakeEvent[]) {
    const fresh: LakeEvent[] = [];
    const fingerprints: Fingerprint[] = [];
    const duplicates: number[] = [];
    const inCall = new Map<number, number>();
    for (const [at, event] of events.entries()) {
      const fingerprint = fingerprintOf(event, this.record.dedupSeed);
      if (this.window.has(fingerprint) || inCall.get(fingerprint.high) === fingerprint.low) {
        duplicates.push(at);
        continue;
      }
      inCall.set(fingerprint.high, fingerprint.low);
      fresh.push(event);
      fingerprints.push(fingerprint);
    }
    return { fresh, fingerprints, duplicates };
  }

  private remember(firstSeq: number, fingerprints: readonly Fingerprint[]): void {
    // Of the shard's own events nothing has to be remembered: their row goes when they are delivered.
    if (fingerprints.length === 0) return;
    const left = this.window.add(firstSeq, fingerprints);
    this.dueForRemoval.push(...left.filter((row) => !this.isBuffered(row)));
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
    const first = this.open[0];
    if (first === undefined || first.firstSeq > uptoSeq) return undefined;
    let eventCount = 0;
    let byteSize = 0;
    const days = new DayCount();
    let taken = 0;
    for (const append of this.open) {
      if (append.firstSeq > uptoSeq) break;
      eventCount += append.eventCount;
      byteSize += append.byteSize;
      days.add(append);
      const isOver = eventCount > BATCH_MAX_EVENTS || byteSize > BATCH_MAX_BYTES || days.atMost > BATCH_MAX_DAYS;
      if (taken > 0 && isOver) {
        eventCount -= append.eventCount;
        byteSize -= append.byteSize;
        break;
      }
      taken++;
    }
    const last = this.open[taken - 1] ?? first;
    const batch: SealedBatch = {
      batch: this.record.nextBatch,
      fromSeq: first.firstSeq,
      uptoSeq: last.firstSeq + last.eventCount - 1,
      eventCount,
      byteSize,
      oldestAtMs: first.appendedAtMs,
    };
    this.store.seal(batch, { ...this.record, nextBatch: batch.batch + 1 });
    this.record.nextBatch = batch.batch + 1;
    this.open.splice(0, taken);
    this.openEvents -= eventCount;
    this.openBytes -= byteSize;
    this.sealed.push(batch);
    return batch;
  }

  /** A batch is delivered: its events leave. L1 */
  finish(batch: SealedBatch, deadLetters: readonly Omit<DeadLetter, "letterId">[], nowMs: number): void {
    const change = { lastFlushAtMs: nowMs, lastError: undefined, attempts: 0, nextAttemptAtMs: undefined };
    const windowStart = this.window.firstSeq ?? this.nextSeq;
    const { newestRow } = this;
    this.store.finish({ batch, deadLetters, windowStart, newestRow, record: { ...this.record, ...change } });
    Object.assign(this.record, change);
    if (newestRow >= batch.fromSeq && newestRow <= batch.uptoSeq && !this.window.holds(newestRow)) {
      this.dueForRemoval.push(newestRow);
    }
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
    this.store.dropDeadLetters(uptoLetterId);
    this.deadLetters -= count;
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

/** Days of a batch, never too few: those of appends of several days are counted as if they had none in common. */
class DayCount {
  private readonly single = new Set<number>();
  private several = 0;

  add({ dayCount, firstDay }: StoredAppend): void {
    if (dayCount === 1) this.single.add(firstDay);
    else this.several += dayCount;
  }

  get atMost(): number {
    return this.single.size + this.several;
  }
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}

/** When a row was taken, as its events' `ingest_time`. */
export function ingestTimeUs(appendedAtMs: number): number {
  return appendedAtMs * MICROS_PER_MS;
}
