/**
 * The plain model of one stream: a list of all events there ever were, which of them must be
 * retained, and what a crash would leave. Knows nothing of segments, pieces or tables.
 *
 * Told what happens (events appended, evictions and changes as they come, commits as storage shows
 * them), it says whether that may happen, and what readers must see.
 */
import { HOT_TAIL_MAX_BYTES, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { PRIORITIES, type Priority } from "../../protocol/priority.ts";
import type { ReliefPolicy } from "../../protocol/relief.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { StreamState } from "../../protocol/stream-call.ts";
import { EvictionLedger } from "./eviction-ledger.ts";
import type { SeenEviction, SeenSegment } from "./buffer-watch.ts";
import { noneGiven, Retention, type GivenCounts } from "./retention.ts";
import type { ReadSegment } from "./row-reading.ts";
import type { DurableStream } from "./sim-storage.ts";
import { fail } from "./violation.ts";
import type { DrawnEvent } from "./workload.ts";

export interface ModelEvent {
  readonly seq: number;
  readonly id: string;
  readonly event: string | undefined;
  readonly data: string;
  readonly retry: string | undefined;
  readonly priority: Priority;
  /** Size of its frame on the wire. */
  readonly bytes: number;
  readonly chars: number;
}

/** Larger events come to live readers from the buffer, so it keeps them: three bytes a char fill a segment. */
const SAMPLED_MAX_CHARS = SEGMENT_MAX_BYTES / 3;

interface ModelEpoch {
  readonly epoch: number;
  readonly firstSeq: number;
  /** Last event that outlived the crash which ended the epoch. */
  lastSurvivor: number | undefined;
}

interface EvictionCause {
  readonly hadReadFailure: boolean;
  /** Whether storage has taken anything in this turn. */
  readonly hasWritten: boolean;
  /** Rows were found to be too many by a new object. */
  readonly isRestart: boolean;
}

export type Place =
  | { readonly kind: "here"; readonly seq: number }
  | { readonly kind: "rewound"; readonly seq: number }
  | { readonly kind: "unknown" };

export class StreamModel {
  /** Everything alive; the event with seq n at n - 1. */
  events: ModelEvent[] = [];
  /** What the buffer must hold. */
  readonly retained: Retention;
  /** Events that are not kept, while they are on their way to readers that are there. */
  readonly liveOnly = new Map<number, ModelEvent>();
  /** Events that were never kept. */
  readonly sampledSeqs = new Set<number>();
  /** Low-priority events that came under pressure, and how many of them were kept. */
  private pressedLow = { came: 0, kept: 0 };
  given: GivenCounts = noneGiven();
  /** How often segments took the place of others. */
  replacements = 0;
  /** Events that failing storage took, as against a full buffer. */
  lostSeqs = new Set<number>();
  /** From the first of them to the last. */
  private lostRange: DurableStream["lost"];
  epochs: ModelEpoch[] = [{ epoch: 1, firstSeq: 1, lastSurvivor: undefined }];
  state: StreamState = "open";
  endedAtMs: number | undefined;
  isEndAnnounced = false;
  /** Times a reader came back and was not refused. */
  resumes = 0;
  /** A reconnection time that the source asked for after its last event. */
  trailingRetry: string | undefined;
  /** What storage holds after the last commit. */
  durable: DurableStream | undefined;
  /** Highest seq a restart would know of. */
  durableSeq = 0;
  /** What readers were given as one event, and a crash must not part: they could not go back to within it. */
  private givenAsOne: { readonly firstSeq: number; readonly lastSeq: number }[] = [];
  /** What is no longer to be written, or takes so much less. */
  private unstoredSavings: { readonly lastSeq: number; readonly bytes: number }[] = [];
  /** What has given way, and what telemetry said of it. */
  readonly ledger = new EvictionLedger();
  /** Every id that was ever given out, and for what, also by earlier incarnations. */
  private readonly contentById = new Map<string, string>();

  readonly settings: StreamSettings;
  readonly policy: ReliefPolicy;

  constructor(settings: StreamSettings, policy: ReliefPolicy) {
    this.settings = settings;
    this.policy = policy;
    this.retained = new Retention(settings, policy);
  }

  get lastSeq(): number {
    return this.events.length;
  }

  get isFinished(): boolean {
    return this.state !== "open" && this.state !== "streaming";
  }

  get isDurable(): boolean {
    return this.durableSeq === this.lastSeq && (!this.isFinished || this.durable?.state === this.state);
  }

  /** Accounted bytes of what is not stored yet. */
  private get unstoredBytes(): number {
    let bytes = 0;
    for (const event of this.events.slice(this.durableSeq)) bytes += event.bytes;
    for (const saving of this.unstoredSavings) bytes -= saving.bytes;
    return bytes;
  }

  /** Events that come together: whether there is pressure is asked once, and whether relief may still help. */
  append(batch: readonly DrawnEvent[], mayRelieve: boolean): void {
    const isPressed = this.retained.isPressed && !mayRelieve;
    for (const drawn of batch) {
      const event = this.newEvent(drawn);
      this.events.push(event);
      if (this.keeps(event, isPressed)) this.retained.add(event);
      else this.noteSampledOut(event);
    }
  }

  /** Of low-priority events that come under pressure a share is kept, evenly spread. */
  private keeps({ priority, chars }: ModelEvent, isPressed: boolean): boolean {
    const { lowPriorityShare } = this.policy;
    if (priority !== 0 || lowPriorityShare >= 1 || !isPressed || chars > SAMPLED_MAX_CHARS) return true;
    const { pressedLow } = this;
    pressedLow.came++;
    if (pressedLow.kept + 1 > pressedLow.came * lowPriorityShare) return false;
    pressedLow.kept++;
    return true;
  }

  private noteSampledOut(event: ModelEvent): void {
    const { seq, bytes } = event;
    this.liveOnly.set(seq, event);
    this.sampledSeqs.add(seq);
    this.given.sampled++;
    this.unstoredSavings.push({ lastSeq: seq, bytes });
    this.ledger.see("low for sampled", 1, bytes);
  }

  private newEvent(drawn: DrawnEvent): ModelEvent {
    const seq = this.lastSeq + 1;
    const { source, priority } = drawn;
    const id = this.idOf(seq);
    const retry = source.retryMs === undefined ? undefined : String(source.retryMs);
    const bytes = frameBytes(id, source);
    const event: ModelEvent = {
      seq,
      id,
      event: source.event,
      data: source.data,
      retry,
      priority,
      bytes,
      // Names and ids are ASCII.
      chars: bytes - Buffer.byteLength(source.data) + source.data.length,
    };
    this.noteContent(id, event);
    return event;
  }

  idOf(seq: number): string {
    if (seq === 0) return "0-0";
    const epoch = this.epochs.findLast((candidate) => candidate.firstSeq <= seq);
    return `${epoch?.epoch ?? 1}-${seq}`;
  }

  locate(position: { epoch: number; seq: number }): Place {
    if (position.seq === 0) return { kind: "here", seq: 0 };
    const epoch = this.epochs.find((candidate) => candidate.epoch === position.epoch);
    if (epoch === undefined || position.seq < epoch.firstSeq) return { kind: "unknown" };
    const last = epoch.lastSurvivor ?? this.lastSeq;
    if (position.seq <= last) return { kind: "here", seq: position.seq };
    return epoch.lastSurvivor === undefined ? { kind: "unknown" } : { kind: "rewound", seq: last };
  }

  firstRetainedFrom(seq: number): number | undefined {
    for (const candidate of this.retained.events.keys()) if (candidate >= seq) return candidate;
    return undefined;
  }

  /** What is retained after the first hole at `seq` or later; `undefined` where there is none. */
  firstAfterHole(seq: number): number | undefined {
    for (let missing = seq; missing <= this.lastSeq; missing++) {
      if (!this.retained.has(missing)) return this.firstRetainedFrom(missing) ?? this.lastSeq + 1;
    }
    return undefined;
  }

  /** Whether these events lie where failing storage took some. */
  isWhereSomeWereLost(firstSeq: number, lastSeq: number): boolean {
    const { lostRange } = this;
    return lostRange !== undefined && firstSeq <= lostRange.throughSeq && lastSeq >= lostRange.fromSeq;
  }

  /** B4: holds an eviction against the rule, then lets the events go. */
  evict(eviction: SeenEviction, cause: EvictionCause): void {
    const { firstSeq, lastSeq, reason, bytes } = eviction;
    this.checkEviction(eviction, cause);
    const excess = this.retained.frameCount - this.settings.bufferMaxEvents;
    const frames = this.retained.remove(firstSeq, lastSeq, bytes);
    if (reason === "max_events" && frames > excess) {
      fail("B3", `${frames} events were evicted with ${firstSeq}..${lastSeq}, and only ${excess} were too many`);
    }
    if (reason === "storage_lost") this.noteLost(firstSeq, lastSeq);
    if (lastSeq > this.durableSeq) this.unstoredSavings.push({ lastSeq, bytes });
    // What gives way again at a restart has been told of.
    if (!cause.isRestart)
      this.ledger.see(`${PRIORITIES[eviction.priority]} for ${reason}`, lastSeq - firstSeq + 1, bytes);
  }

  private noteLost(firstSeq: number, lastSeq: number): void {
    for (let seq = firstSeq; seq <= lastSeq; seq++) this.lostSeqs.add(seq);
    const { fromSeq, throughSeq } = this.lostRange ?? { fromSeq: firstSeq, throughSeq: lastSeq };
    this.lostRange = { fromSeq: Math.min(fromSeq, firstSeq), throughSeq: Math.max(throughSeq, lastSeq) };
  }

  /** Segments give way to others: see retention.ts for what may be different. */
  replace(olds: readonly SeenSegment[], news: readonly ReadSegment[]): GivenCounts {
    const firstSeq = olds[0]?.floorSeq ?? 0;
    const lastSeq = olds.at(-1)?.lastSeq ?? 0;
    const given = this.retained.replace({ firstSeq, lastSeq }, news);
    const bytes = olds.reduce((sum, old) => sum + old.bytes, 0);
    const newBytes = news.reduce((sum, segment) => sum + segment.bytes, 0);
    this.retained.bytes += newBytes - bytes;
    this.replacements++;
    if (olds.every(({ isStored }) => !isStored)) this.unstoredSavings.push({ lastSeq, bytes: bytes - newBytes });
    this.given.folded += given.folded;
    this.given.trimmed += given.trimmed;
    this.given.compressed += given.compressed;
    if (given.folded > 0) this.ledger.see("folded", given.folded, 0);
    if (given.trimmed > 0) this.ledger.see("trimmed", given.trimmed, 0);
    if (given.compressed > 0) this.ledger.see("compressed", given.compressed, 0);
    return given;
  }

  private checkEviction(eviction: SeenEviction, cause: EvictionCause): void {
    const { firstSeq, lastSeq, reason, priority } = eviction;
    const what = `eviction of ${firstSeq}..${lastSeq} (${PRIORITIES[priority]}, ${reason})`;
    const own = this.retained.events.get(lastSeq)?.priority;
    if (own !== priority)
      fail("B4", `${what}: the model has that event as ${own === undefined ? "gone" : PRIORITIES[own]}`);
    switch (reason) {
      case "storage_lost":
        // Memory for what storage refuses is bounded too; a read failure takes what it hit.
        if (!cause.hadReadFailure && this.unstoredBytes <= HOT_TAIL_MAX_BYTES)
          fail("B6", `${what}: the hot tail was not full`);
        // What was written in this very turn is not known yet.
        if (cause.hadReadFailure || cause.hasWritten) return;
        break;
      case "max_bytes":
        if (this.retained.bytes <= this.settings.bufferMaxBytes) fail("B3", `${what}: the bytes were within the limit`);
        break;
      case "max_events":
    }
    for (const event of this.retained.events.values()) {
      if (reason === "storage_lost" && event.seq <= this.durableSeq) continue;
      const isBetter = event.priority < priority || (event.priority === priority && event.seq < firstSeq);
      if (isBetter) fail("B4", `${what}: ${event.seq} (${PRIORITIES[event.priority]}) should have gone first`);
    }
  }

  /** A turn's writes are durable: this is what storage shows now. */
  noteCommitted(durable: DurableStream | undefined): void {
    const before = this.durableSeq;
    this.durable = durable;
    this.durableSeq = Math.max(durable?.durableSeq ?? 0, durable?.ranges.at(-1)?.lastSeq ?? 0);
    if (this.durableSeq < before) fail("B1", `storage knows ${this.durableSeq} as its last seq, and knew ${before}`);
    if (this.durableSeq > this.lastSeq) fail("B1", `storage knows seq ${this.durableSeq} of ${this.lastSeq}`);
    const isOutcomeStored = durable !== undefined && durable.state !== "open" && durable.state !== "streaming";
    if (isOutcomeStored && (durable.state !== this.state || durable.endedAtMs !== this.endedAtMs)) {
      fail("B8", `stored as ${durable.state} at ${durable.endedAtMs}, it is ${this.state} at ${this.endedAtMs}`);
    }
    this.checkRanges(durable?.ranges ?? []);
    this.unstoredSavings = this.unstoredSavings.filter(({ lastSeq }) => lastSeq > this.durableSeq);
  }

  private checkRanges(ranges: DurableStream["ranges"]): void {
    let at = 0;
    for (const seq of this.retained.events.keys()) {
      if (seq > this.durableSeq) return;
      while ((ranges[at]?.lastSeq ?? Infinity) < seq) at++;
      const range = ranges[at];
      if (range === undefined || range.firstSeq > seq) fail("B2", `event ${seq} is retained, but no row holds it`);
    }
  }

  noteGivenAsOne(firstSeq: number, lastSeq: number): void {
    if (lastSeq > firstSeq && lastSeq > this.durableSeq) this.givenAsOne.push({ firstSeq, lastSeq });
  }

  /** At the end of every turn: the process may die before the next. */
  checkGivenAsOne(): void {
    const { durableSeq } = this;
    this.givenAsOne = this.givenAsOne.filter(({ lastSeq }) => lastSeq > durableSeq);
    const parted = this.givenAsOne.find(({ firstSeq, lastSeq }) => firstSeq <= durableSeq && lastSeq > durableSeq);
    if (parted === undefined) return;
    fail("B2", `a reader was given ${parted.firstSeq}..${parted.lastSeq} as one, and only ${durableSeq} would survive`);
  }

  /**
   * The process died: what was not durable is gone, what storage shows is retained.
   *
   * @param rows what storage holds
   * @returns how many events died
   */
  crash(rows: readonly ReadSegment[]): number {
    const { durable } = this;
    if (durable === undefined) throw new Error("nothing of the stream is left");
    this.givenAsOne = [];
    const died = this.lastSeq - this.durableSeq;
    this.events = this.events.slice(0, this.durableSeq);
    const { fromSeq = Infinity, throughSeq = 0 } = durable.lost ?? {};
    this.lostSeqs = new Set([...this.lostSeqs].filter((seq) => seq >= fromSeq && seq <= throughSeq));
    this.lostRange = durable.lost;
    this.ledger.clear();
    this.unstoredSavings = [];
    this.retained.restore(rows, this.events);
    this.given = { ...durable.given };
    this.liveOnly.clear();
    this.pressedLow = { came: 0, kept: 0 };
    this.state = durable.state;
    if (!this.isFinished) this.countGiven(rows);
    this.endedAtMs = durable.endedAtMs;
    this.resumes = durable.resumes;
    this.trailingRetry = undefined;
    // A restart that itself died before its commit opened an epoch that nobody will ever hear of.
    this.epochs = this.epochs.slice(0, durable.epochs);
    const last = this.epochs.at(-1);
    if (last !== undefined) last.lastSurvivor = undefined;
    return died;
  }

  /** Rows show what the record of a running stream was not written for. */
  private countGiven(rows: readonly ReadSegment[]): void {
    const folded = rows.reduce((sum, { firstSeq, lastSeq, frames }) => sum + lastSeq - firstSeq + 1 - frames.length, 0);
    const deflated = rows.filter(({ encoding }) => encoding.endsWith("deflate")).length;
    this.given.folded = Math.max(this.given.folded, folded);
    this.given.compressed = Math.max(this.given.compressed, deflated);
  }

  /** A restart takes the stream up: an unfinished one has lost its source. */
  restore(nowMs: number): void {
    this.isEndAnnounced = true;
    if (this.isFinished) return;
    const last = this.epochs.at(-1);
    if (last === undefined) throw new Error("a stream has an epoch");
    last.lastSurvivor = this.lastSeq;
    this.epochs.push({ epoch: last.epoch + 1, firstSeq: this.lastSeq + 1, lastSurvivor: undefined });
    this.state = "interrupted";
    this.endedAtMs = nowMs;
  }

  private noteContent(id: string, event: ModelEvent): void {
    const content = `${event.event ?? ""}\n${event.retry ?? ""}\n${event.data}`;
    const earlier = this.contentById.get(id);
    if (earlier !== undefined && earlier !== content) fail("B1", `id ${id} stands for two contents`);
    this.contentById.set(id, content);
  }
}

function frameBytes(id: string, source: DrawnEvent["source"]): number {
  const name = source.event === undefined ? 0 : Buffer.byteLength(source.event) + "event: \n".length;
  const retry = source.retryMs === undefined ? 0 : String(source.retryMs).length + "retry: \n".length;
  const lines = source.data.split("\n").length;
  const data = Buffer.byteLength(source.data) - (lines - 1) + lines * "data: \n".length;
  return "id: \n".length + id.length + name + retry + data + 1;
}
