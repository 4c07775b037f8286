/**
 * One stream's life: source events come in, the outcome is kept and told, deadlines are named.
 *
 * Synchronous throughout: every method is one turn, so nothing changes between reading state and
 * the write that depends on it. Clock, storage and telemetry come in as parameters; the object's
 * wiring (request-stream.ts) and the simulator drive the same code.
 *
 * B7 a finished stream stays replayable until its time to live is over (see {@link deadlines}).
 * B8 tail and outcome are written in one transaction, and readers are told the outcome once it is
 *    durable ({@link announceEnd}); who resumes in between gets the tail, then the outcome.
 */
import type { EndReason } from "../../protocol/control-events.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import { KEEP_ALIVE_MS } from "../../protocol/limits.ts";
import { PRIORITIES } from "../../protocol/priority.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import type { StreamState, StreamStatus } from "../../protocol/stream-call.ts";
import type { StreamTelemetry, TelemetrySink, TelemetrySubject } from "../../protocol/telemetry.ts";
import { earliest } from "../earliest.ts";
import { createClassifier } from "./classify.ts";
import type { AttachRequest } from "./admission.ts";
import { Delivery, type AttachVerdict } from "./delivery.ts";
import type { ReaderPort } from "./reader.ts";
import type { Eviction } from "./segment-index.ts";
import { isFinished, nextState, type StreamMove } from "./state-machine.ts";
import { StreamBuffer } from "./stream-buffer.ts";
import type { StoredSegment, StoredStream, StreamRecord, StreamStore } from "./stream-store.ts";

export interface SessionDeps {
  readonly store: StreamStore;
  readonly telemetry: TelemetrySink;
  /** Wall clock, ms. */
  readonly clock: () => number;
}

/** What a new stream is made of. */
export type StreamBlueprint = Pick<StreamRecord, "identity" | "settings" | "hasControlEvents" | "priorityRules">;

/** Wall-clock times, each by the name of what is then due. */
export interface StreamDeadlines {
  /** While a source is read: being woken is what keeps the object in memory. */
  readonly keepAlive: number | undefined;
  readonly sweep: number | undefined;
  /** An unfinished stream that nobody feeds and nobody reads. */
  readonly abandon: number | undefined;
  /** A finished stream's end of life. */
  readonly expire: number | undefined;
}

export class StreamSession {
  readonly delivery: Delivery;
  private readonly buffer: StreamBuffer;
  private lastActiveAtMs: number;
  private keepAliveAtMs: number;
  private sweepAtMs: number | undefined;

  private readonly deps: SessionDeps;
  private readonly record: StreamRecord;

  private constructor(
    deps: SessionDeps,
    record: StreamRecord,
    stored: readonly StoredSegment[] | undefined,
    nowMs: number,
  ) {
    this.deps = deps;
    this.record = record;

    this.lastActiveAtMs = nowMs;
    this.keepAliveAtMs = nowMs + KEEP_ALIVE_MS;
    this.buffer = new StreamBuffer(
      {
        store: deps.store,
        record,
        classify: createClassifier(record.priorityRules),
        onEviction: (eviction) => this.emitTrim(eviction),
        onDegraded: (isDegraded) => this.noteDegraded(isDegraded),
      },
      stored,
    );
    this.delivery = new Delivery({
      record,
      buffer: this.buffer,
      emit: (event) => this.emit(event),
      onEmpty: () => {
        this.lastActiveAtMs = deps.clock();
        this.buffer.flush(this.lastActiveAtMs);
      },
    });
  }

  /** Begins a stream and writes its first row. If that fails, the stream runs degraded. */
  static begin(deps: SessionDeps, blueprint: StreamBlueprint, nowMs: number): StreamSession {
    // Member by member: a start call also holds its upstream's secrets, which are never stored.
    const { identity, settings, hasControlEvents, priorityRules } = blueprint;
    const record: StreamRecord = {
      identity,
      settings,
      hasControlEvents,
      priorityRules,
      state: "open",
      endReason: undefined,
      epochs: [{ epoch: 1, firstSeq: 1 }],
      durableSeq: 0,
      startedAtMs: nowMs,
      endedAtMs: undefined,
      resumes: 0,
      recoveredEvents: 0,
    };
    const session = new StreamSession(deps, record, undefined, nowMs);
    session.buffer.flush(nowMs, { withRecord: true });
    session.emit({ event: "SseStreamStarted" });
    return session;
  }

  /**
   * Takes up a stream from storage. One that was unfinished lost its source with the earlier object:
   * it is `interrupted`, under a new epoch.
   */
  static restore(deps: SessionDeps, stored: StoredStream, nowMs: number): StreamSession {
    const session = new StreamSession(deps, stored.record, stored.segments, nowMs);
    if (!isFinished(stored.record.state)) {
      const { record, buffer } = session;
      const epoch = (record.epochs.at(-1)?.epoch ?? 0) + 1;
      record.epochs = [...record.epochs, { epoch, firstSeq: buffer.lastSeq + 1 }];
      session.finish("interrupted", "object_restarted", nowMs);
    }
    session.announceEnd(nowMs);
    return session;
  }

  get state(): StreamState {
    return this.record.state;
  }

  get isFinished(): boolean {
    return isFinished(this.record.state);
  }

  get isDegraded(): boolean {
    return this.buffer.isDegraded;
  }

  get identity(): StreamRecord["identity"] {
    return this.record.identity;
  }

  get startedAtMs(): number {
    return this.record.startedAtMs;
  }

  get settings(): StreamRecord["settings"] {
    return this.record.settings;
  }

  /** The upstream has answered with an event stream. */
  openSource(nowMs: number): void {
    this.lastActiveAtMs = nowMs;
    this.move("source_opened");
    this.buffer.flush(nowMs, { withRecord: true });
  }

  /** The source sent something, if only a comment: it is alive. */
  noteSourceActivity(nowMs: number): void {
    this.lastActiveAtMs = nowMs;
  }

  /** Events of the source: to readers at once, and into the buffer. */
  append(events: readonly SourceEvent[], nowMs: number): void {
    this.lastActiveAtMs = nowMs;
    if (this.isFinished) throw new Error("append to a finished stream");
    const pieces = this.buffer.append(events, nowMs);
    this.delivery.deliver(pieces, nowMs);
    this.buffer.settle(nowMs);
  }

  /**
   * The outcome. Written with the tail in one transaction; call {@link announceEnd} once it is durable.
   * Does nothing to a stream that is finished already.
   */
  finish(move: Exclude<StreamMove, "source_opened">, reason: EndReason | undefined, nowMs: number): void {
    if (this.isFinished) return;
    const { record, buffer } = this;
    this.move(move);
    record.endReason = reason;
    record.endedAtMs = nowMs;
    buffer.flush(nowMs, { withRecord: true });
    this.emit({
      event: "SseStreamEnded",
      state: record.state,
      reason: reason ?? null,
      duration_ms: nowMs - record.startedAtMs,
      events: buffer.lastSeq,
      trimmed_events: buffer.trimmedEvents,
      resumes: record.resumes,
    });
  }

  announceEnd(nowMs: number): void {
    this.delivery.announceEnd(nowMs);
  }

  attach(request: AttachRequest, port: ReaderPort, nowMs: number): AttachVerdict {
    this.lastActiveAtMs = nowMs;
    const verdict = this.delivery.attach(request, port, nowMs);
    this.sweepAtMs ??= nowMs + this.record.settings.cleanupIntervalMs;
    return verdict;
  }

  /** The position a token for this reader should carry; the reader's own where it is unknown. */
  tokenPosition(position: EventId): EventId {
    const located = this.buffer.locate(position);
    return located.kind === "unknown" ? position : this.buffer.idOf(located.seq);
  }

  /** When the next of the in-memory duties is due: commit, heartbeat, token refresh. */
  nextTickAtMs(): number | undefined {
    const { oldestUnstoredAtMs } = this.buffer;
    const commitAtMs =
      oldestUnstoredAtMs === undefined ? undefined : oldestUnstoredAtMs + this.record.settings.commitIntervalMs;
    return earliest([commitAtMs, this.delivery.nextHeartbeatAtMs(), this.delivery.nextTokenRefreshAtMs()]);
  }

  /** Commit and heartbeat, where due. Tokens are the caller's: signing is asynchronous. */
  tick(nowMs: number): void {
    const { oldestUnstoredAtMs } = this.buffer;
    if (oldestUnstoredAtMs !== undefined && nowMs >= oldestUnstoredAtMs + this.record.settings.commitIntervalMs) {
      this.buffer.flush(nowMs);
    }
    this.delivery.heartbeat(nowMs);
  }

  deadlines(): StreamDeadlines {
    const { settings, endedAtMs } = this.record;
    const hasReaders = this.delivery.readers.size > 0;
    return {
      keepAlive: this.isFinished ? undefined : this.keepAliveAtMs,
      sweep: this.delivery.hasConnections ? this.sweepAtMs : undefined,
      abandon: this.isFinished || hasReaders ? undefined : this.lastActiveAtMs + settings.stateTtlMs,
      expire: endedAtMs === undefined ? undefined : endedAtMs + settings.snapshotTtlMs,
    };
  }

  /**
   * Does what its deadlines say is due.
   *
   * @returns `expired` when everything about the stream is to be deleted; `abandoned` when the
   *   stream has just been ended for want of source and readers, and its source is to be cut
   */
  wake(nowMs: number): "expired" | "abandoned" | "alive" {
    const due = this.deadlines();
    if (isDue(due.keepAlive, nowMs)) this.keepAliveAtMs = nowMs + KEEP_ALIVE_MS;
    if (isDue(due.sweep, nowMs)) {
      this.sweepAtMs = nowMs + this.record.settings.cleanupIntervalMs;
      this.delivery.sweep(nowMs);
    }
    if (isDue(due.expire, nowMs)) {
      this.delivery.expel(nowMs);
      return "expired";
    }
    if (isDue(due.abandon, nowMs)) {
      this.finish("expired", "abandoned", nowMs);
      return "abandoned";
    }
    return "alive";
  }

  status(): StreamStatus {
    const { record, buffer } = this;
    const { expire } = this.deadlines();
    const { firstSeq } = buffer;
    return {
      request_id: record.identity.requestId,
      route: record.identity.route,
      ...(record.identity.correlationId === undefined ? {} : { correlation_id: record.identity.correlationId }),
      state: record.state,
      ...(record.endReason === undefined ? {} : { reason: record.endReason }),
      epoch: record.epochs.at(-1)?.epoch ?? 1,
      first_id: firstSeq === undefined ? null : formatEventId(buffer.idOf(firstSeq)),
      last_id: formatEventId(buffer.idOf(buffer.lastSeq)),
      events: buffer.lastSeq,
      retained_events: buffer.retainedEvents,
      retained_bytes: buffer.retainedBytes,
      trimmed_events: buffer.trimmedEvents,
      resumes: record.resumes,
      readers: this.delivery.readers.size,
      degraded: buffer.isDegraded,
      started_at: new Date(record.startedAtMs).toISOString(),
      ended_at: isoOrNull(record.endedAtMs),
      expires_at: isoOrNull(expire),
    };
  }

  private move(move: StreamMove): void {
    const state = nextState(this.record.state, move);
    if (state === undefined) throw new Error(`a stream cannot go from ${this.record.state} by ${move}`);
    this.record.state = state;
  }

  private noteDegraded(isDegraded: boolean): void {
    this.emit({ event: "SseDegraded", kind: "storage", ...(isDegraded ? {} : { is_over: true as const }) });
    const nowMs = this.deps.clock();
    if (!isDegraded) return this.delivery.noteStorageBack(nowMs);
    // Also where nothing waits to be written: the next try is what finds storage back.
    this.buffer.oldestUnstoredAtMs ??= nowMs;
    this.delivery.notifyDegraded(nowMs);
  }

  private emitTrim(eviction: Eviction): void {
    this.emit({
      event: "SseBufferTrimmed",
      seq: eviction.seq,
      priority: PRIORITIES[eviction.segment.priority],
      reason: eviction.reason,
      events: eviction.events,
      bytes: eviction.bytes,
    });
  }

  private emit(event: StreamTelemetry): void {
    const { identity } = this.record;
    const subject: TelemetrySubject = {
      request_id: identity.requestId,
      route: identity.route,
      tenant: identity.tenant,
      ...(identity.correlationId === undefined ? {} : { correlation_id: identity.correlationId }),
    };
    this.deps.telemetry({ ...event, ...subject, time: new Date(this.deps.clock()).toISOString() });
  }
}

function isDue(deadlineMs: number | undefined, nowMs: number): boolean {
  return deadlineMs !== undefined && deadlineMs <= nowMs;
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
