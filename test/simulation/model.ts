/**
 * The plain model of one stream: a list of all events there ever were, which of them must be
 * retained, and what a crash would leave. Knows nothing of segments, pieces or tables.
 *
 * Told what happens (events appended, evictions as telemetry names them, commits as storage shows
 * them), it says whether that may happen, and what readers must see.
 */
import { HOT_TAIL_MAX_BYTES } from "../../protocol/limits.ts";
import { PRIORITIES, type Priority } from "../../protocol/priority.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { StreamState } from "../../protocol/stream-call.ts";
import { EvictionLedger } from "./eviction-ledger.ts";
import type { SeenEviction } from "./eviction-watch.ts";
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
}

interface ModelEpoch {
  readonly epoch: number;
  readonly firstSeq: number;
  /** Last event that outlived the crash which ended the epoch. */
  lastSurvivor: number | undefined;
}

export type Place =
  | { readonly kind: "here"; readonly seq: number }
  | { readonly kind: "rewound"; readonly seq: number }
  | { readonly kind: "unknown" };

export class StreamModel {
  /** Everything alive; the event with seq n at n - 1. */
  events: ModelEvent[] = [];
  /** What the buffer must hold, by seq, in order. */
  retained = new Map<number, ModelEvent>();
  /** Events that failing storage took, as against a full buffer. */
  lostSeqs = new Set<number>();
  /** Bytes as the buffer accounts them: an event's count until its whole run has gone. */
  accountedBytes = 0;
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
  private unstoredEvictions: { readonly lastSeq: number; readonly bytes: number }[] = [];
  /** What has given way, and what telemetry said of it. */
  readonly ledger = new EvictionLedger();
  /** Every id that was ever given out, and for what, also by earlier incarnations. */
  private readonly contentById = new Map<string, string>();

  readonly settings: StreamSettings;

  constructor(settings: StreamSettings) {
    this.settings = settings;
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
    for (const eviction of this.unstoredEvictions) bytes -= eviction.bytes;
    return bytes;
  }

  append(drawn: DrawnEvent): ModelEvent {
    const seq = this.lastSeq + 1;
    const { source, priority } = drawn;
    const id = this.idOf(seq);
    const retry = source.retryMs === undefined ? undefined : String(source.retryMs);
    const event: ModelEvent = {
      seq,
      id,
      event: source.event,
      data: source.data,
      retry,
      priority,
      bytes: frameBytes(id, source),
    };
    this.noteContent(id, event);
    this.events.push(event);
    this.retained.set(seq, event);
    this.accountedBytes += event.bytes;
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
    for (const candidate of this.retained.keys()) if (candidate >= seq) return candidate;
    return undefined;
  }

  /** Whether failing storage took this event or any after it. */
  hasLostFrom(seq: number): boolean {
    for (const lost of this.lostSeqs) if (lost >= seq) return true;
    return false;
  }

  /** B4: holds an eviction against the rule, then lets the events go. */
  evict(eviction: SeenEviction, cause: { hadReadFailure: boolean }): void {
    const { firstSeq, lastSeq, reason, bytes } = eviction;
    this.checkEviction(eviction, cause);
    for (let seq = firstSeq; seq <= lastSeq; seq++) {
      if (!this.retained.delete(seq)) fail("B4", `event ${seq} was evicted twice`);
      if (reason === "storage_lost") this.lostSeqs.add(seq);
    }
    this.accountedBytes -= bytes;
    if (lastSeq > this.durableSeq) this.unstoredEvictions.push({ lastSeq, bytes });
    this.ledger.see(eviction);
  }

  private checkEviction(eviction: SeenEviction, cause: { hadReadFailure: boolean }): void {
    const { firstSeq, lastSeq, reason, priority } = eviction;
    const what = `eviction of ${firstSeq}..${lastSeq} (${PRIORITIES[priority]}, ${reason})`;
    const own = this.retained.get(lastSeq)?.priority;
    if (own !== priority)
      fail("B4", `${what}: the model has that event as ${own === undefined ? "gone" : PRIORITIES[own]}`);
    switch (reason) {
      case "storage_lost":
        // Memory for what storage refuses is bounded too; a read failure takes what it hit.
        if (!cause.hadReadFailure && this.unstoredBytes <= HOT_TAIL_MAX_BYTES)
          fail("B6", `${what}: the hot tail was not full`);
        return;
      case "max_bytes":
        if (this.accountedBytes <= this.settings.bufferMaxBytes) fail("B3", `${what}: the bytes were within the limit`);
        break;
      case "max_events": {
        const excess = this.retained.size - this.settings.bufferMaxEvents;
        if (lastSeq - firstSeq + 1 > excess) fail("B3", `${what}: only ${excess} were too many`);
      }
    }
    for (const event of this.retained.values()) {
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
    this.unstoredEvictions = this.unstoredEvictions.filter(({ lastSeq }) => lastSeq > this.durableSeq);
  }

  private checkRanges(ranges: DurableStream["ranges"]): void {
    let at = 0;
    for (const seq of this.retained.keys()) {
      if (seq > this.durableSeq) return;
      while ((ranges[at]?.lastSeq ?? Infinity) < seq) at++;
      const range = ranges[at];
      if (range === undefined || range.firstSeq > seq) fail("B2", `event ${seq} is retained, but no row holds it`);
    }
  }

  /**
   * The process died: what was not durable is gone, what storage shows is retained.
   *
   * @returns how many events died
   */
  crash(): number {
    const { durable } = this;
    if (durable === undefined) throw new Error("nothing of the stream is left");
    const died = this.lastSeq - this.durableSeq;
    this.events = this.events.slice(0, this.durableSeq);
    this.retained = new Map();
    this.lostSeqs = new Set();
    this.ledger.clear();
    this.accountedBytes = 0;
    this.unstoredEvictions = [];
    for (const { firstSeq, lastSeq } of durable.ranges) {
      for (const event of this.events.slice(firstSeq - 1, lastSeq)) {
        this.retained.set(event.seq, event);
        this.accountedBytes += event.bytes;
      }
    }
    this.state = durable.state;
    this.endedAtMs = durable.endedAtMs;
    this.resumes = durable.resumes;
    this.trailingRetry = undefined;
    // A restart that itself died before its commit opened an epoch that nobody will ever hear of.
    this.epochs = this.epochs.slice(0, durable.epochs);
    const last = this.epochs.at(-1);
    if (last !== undefined) last.lastSurvivor = undefined;
    return died;
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
