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
import type { StreamInspection } from "../../protocol/admin-streams.ts";
import type { EndReason } from "../../protocol/control-events.ts";
import type { EventId } from "../../protocol/event-id.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import type { StreamState, StreamStatus } from "../../protocol/stream-call.ts";
import type { StreamTelemetry, TelemetrySink } from "../../protocol/telemetry.ts";
import { earliest } from "../earliest.ts";
import { createClassifier } from "./classify.ts";
import type { AttachRequest } from "./admission.ts";
import type { ArchivedStream } from "./archive-file.ts";
import { Archiving } from "./archiving.ts";
import { Deadlines, isDue, type StreamDeadlines } from "./deadlines.ts";
import { Delivery, type AttachVerdict } from "./delivery.ts";
import { inspectionOf } from "./inspection.ts";
import type { ReaderPort } from "./reader.ts";
import type { ReliefChange } from "./relief-change.ts";
import type { SegmentFacts } from "./segment-index.ts";
import { isFinished, nextState, type StreamMove } from "./state-machine.ts";
import { StreamBuffer, type Trim } from "./stream-buffer.ts";
import { reliefTelemetry, statusOf, subjectOf, trimTelemetry } from "./stream-notes.ts";
import { TelemetryGathering } from "./telemetry-gathering.ts";
import {
  newRecord,
  type StoredStream,
  type StreamBlueprint,
  type StreamRecord,
  type StreamStore,
} from "./stream-store.ts";

export interface SessionDeps {
  readonly store: StreamStore;
  readonly telemetry: TelemetrySink;
  /** Wall clock, ms. */
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
}

export class StreamSession {
  readonly delivery: Delivery;
  readonly archiving: Archiving;
  private readonly buffer: StreamBuffer;
  private readonly due: Deadlines;
  private readonly gathering = new TelemetryGathering((event) => this.emit(event));
  private readonly deps: SessionDeps;
  private readonly record: StreamRecord;

  private constructor(
    deps: SessionDeps,
    record: StreamRecord,
    stored: readonly SegmentFacts[] | undefined,
    nowMs: number,
  ) {
    this.deps = deps;
    this.record = record;
    this.due = new Deadlines(record, nowMs);
    this.buffer = new StreamBuffer(
      {
        store: deps.store,
        record,
        classify: createClassifier(record.priorityRules),
        onTrim: (trim) => this.noteTrim(trim),
        onRelief: (change) => this.noteRelief(change),
        onDegraded: (isDegraded) => this.noteDegraded(isDegraded),
      },
      stored,
    );
    this.archiving = new Archiving({ record, buffer: this.buffer, random: deps.random });
    this.delivery = new Delivery({
      record,
      buffer: this.buffer,
      emit: (event) => this.emit(event),
      onEmpty: () => {
        this.due.noteNoReaders(deps.clock());
        this.buffer.flush(deps.clock());
      },
    });
  }

  /** Begins a stream and writes its first row. If that fails, the stream runs degraded. */
  static begin(deps: SessionDeps, blueprint: StreamBlueprint, nowMs: number): StreamSession {
    const record = newRecord(blueprint, nowMs);
    const session = new StreamSession(deps, record, undefined, nowMs);
    session.buffer.flush(nowMs, { withRecord: true });
    session.emit({ event: "SseStreamStarted" });
    return session;
  }

  /** Brings a finished stream back from the archive: into storage, and from there. */
  static bringBack(deps: SessionDeps, archived: ArchivedStream, nowMs: number): StreamSession {
    const { rows } = archived;
    const record: StreamRecord = { ...archived.record, broughtBackAtMs: nowMs };
    // All or nothing: a record without its segments would say that they have given way.
    deps.store.create(record, rows);
    const session = StreamSession.restore(deps, { record, segments: rows }, nowMs);
    const bytes = rows.reduce((sum, { byteSize }) => sum + byteSize, 0);
    session.emit({ event: "SseArchiveRead", segments: rows.length, bytes });
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
    this.due.noteSourceActivity(nowMs);
    // Not written: an object that dies before or after this ends the stream in the same way.
    this.move("source_opened");
  }

  /** The source sent something, if only a comment: it is alive. */
  noteSourceActivity(nowMs: number): void {
    this.due.noteSourceActivity(nowMs);
  }

  /** Events of the source: to readers at once, and into the buffer. */
  append(events: readonly SourceEvent[], nowMs: number): void {
    this.due.noteSourceActivity(nowMs);
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
    this.gathering.tellAll(nowMs);
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
    this.due.noteReader(nowMs);
    return this.delivery.attach(request, port, nowMs);
  }

  /** The position a token for this reader should carry; the reader's own where it is unknown. */
  tokenPosition(position: EventId): EventId {
    const located = this.buffer.locate(position);
    return located.kind === "unknown" ? position : this.buffer.idOf(located.seq);
  }

  /** Whether something waits for no more than a turn of its own: relief of the buffer, a long snapshot. */
  get hasWorkLeft(): boolean {
    return this.buffer.hasReliefToDo || this.delivery.hasPaused;
  }

  /** When the next of the in-memory duties is due: work left over, commit, heartbeat, token refresh. */
  nextTickAtMs(): number | undefined {
    if (this.hasWorkLeft) return this.deps.clock();
    const { oldestUnstoredAtMs } = this.buffer;
    const commitAtMs =
      oldestUnstoredAtMs === undefined ? undefined : oldestUnstoredAtMs + this.record.settings.commitIntervalMs;
    return earliest([commitAtMs, this.delivery.nextHeartbeatAtMs(), this.delivery.nextTokenRefreshAtMs()]);
  }

  /** Work left over; commit and heartbeat, where due. Tokens are the caller's: signing is asynchronous. */
  tick(nowMs: number): void {
    if (this.buffer.hasReliefToDo) this.buffer.relieve(nowMs);
    this.delivery.feedPaused(nowMs);
    const { oldestUnstoredAtMs } = this.buffer;
    if (oldestUnstoredAtMs !== undefined && nowMs >= oldestUnstoredAtMs + this.record.settings.commitIntervalMs) {
      this.buffer.flush(nowMs);
    }
    this.delivery.heartbeat(nowMs);
  }

  deadlines(): StreamDeadlines {
    const { readers, hasConnections } = this.delivery;
    return this.due.all({ hasReaders: readers.size > 0, hasConnections, archiveAtMs: this.archiving.dueAtMs });
  }

  /** Whether {@link wake} will say that its life is over. */
  isExpiring(nowMs: number): boolean {
    return isDue(this.deadlines().expire, nowMs);
  }

  /**
   * Does what its deadlines say is due.
   *
   * @returns `expired` when everything about the stream is to be deleted; `abandoned` when the
   *   stream has just been ended for want of source and readers, and its source is to be cut
   */
  wake(nowMs: number): "expired" | "abandoned" | "alive" {
    const due = this.deadlines();
    if (isDue(due.keepAlive, nowMs)) this.due.noteKeptAlive(nowMs);
    if (isDue(due.sweep, nowMs)) {
      this.due.noteSwept(nowMs);
      this.delivery.sweep(nowMs);
    }
    if (isDue(due.expire, nowMs)) {
      this.delivery.expel(nowMs);
      this.gathering.tellAll(nowMs);
      return "expired";
    }
    if (isDue(due.abandon, nowMs)) {
      this.finish("expired", "abandoned", nowMs);
      return "abandoned";
    }
    return "alive";
  }

  /** The record as the archive keeps it: brought back, the stream is as it was. */
  archivedRecord(): StreamRecord {
    return { ...this.record, isArchived: true, durableSeq: this.buffer.lastSeq };
  }

  noteArchived(kept: { segments: number; bytes: number; begunAtMs: number }, nowMs: number): void {
    this.archiving.noteKept(nowMs);
    this.gathering.tellAll(nowMs);
    const { segments, bytes, begunAtMs } = kept;
    this.emit({ event: "SseArchived", segments, bytes, duration_ms: nowMs - begunAtMs });
  }

  noteArchiveFailed(reason: string, isFinal: boolean, nowMs: number): void {
    this.archiving.noteFailed(nowMs);
    this.emit({ event: "SseArchiveFailed", action: "keep", reason, is_final: isFinal });
  }

  status(): StreamStatus {
    const readers = this.delivery.readers.size;
    return statusOf(this.record, this.buffer, { readers, expiresAtMs: this.deadlines().expire });
  }

  /** A look: nothing is written, nothing noted, no deadline moved. */
  inspect(nowMs: number): StreamInspection {
    const { record, buffer, delivery } = this;
    const readers = delivery.readers.all().map((reader) => ({ reader, position: delivery.positionOf(reader) }));
    const { sourceActiveAtMs } = this.due;
    const facts = { record, buffer, readers, sourceActiveAtMs, deadlines: this.deadlines(), status: this.status() };
    return inspectionOf(facts, nowMs);
  }

  /**
   * Writes what waits to be written, and tells what is gathered to be told.
   *
   * @returns whether storage now holds all
   */
  handOver(nowMs: number): boolean {
    this.buffer.flush(nowMs);
    this.gathering.tellAll(nowMs);
    return !this.buffer.isDegraded && this.buffer.unstoredBytes === 0;
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

  private noteTrim(trim: Trim): void {
    const { readers } = this.delivery;
    // What is not kept goes to whoever is there all the same.
    const handedThroughSeq = trim.reason === "sampled" && readers.size > 0 ? trim.seq : readers.handedThroughSeq();
    this.gathering.add(trimTelemetry(trim, handedThroughSeq), this.deps.clock());
  }

  private noteRelief(change: ReliefChange): void {
    const { given } = this.record;
    if (change.kind === "folded") given.foldedEvents += change.count;
    else if (change.kind === "trimmed") given.trimmedPayloads += change.count;
    else given.compressedSegments += change.count;
    this.gathering.add(reliefTelemetry(change), this.deps.clock());
  }

  private emit(event: StreamTelemetry): void {
    const time = new Date(this.deps.clock()).toISOString();
    this.deps.telemetry({ ...event, ...subjectOf(this.record.identity), time });
  }
}
