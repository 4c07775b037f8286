/**
 * Serves the readers of one stream: lets them in at their position, and brings them forward. Synchronous;
 * driven by the session.
 *
 * B1, B2: what a reader is sent is decided in reader-feed.ts; here is who is fed, and when. How they are
 * taken leave of: leave-taking.ts.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { IssuedToken } from "../../protocol/resume-token.ts";
import { HEARTBEAT_FRAME } from "../../protocol/sse-frame.ts";
import type { StreamTelemetry } from "../../protocol/telemetry.ts";
import { earliest } from "../earliest.ts";
import { degradedFrame, openingFrames, resumeFrame } from "./control-frames.ts";
import { findEntry, type AttachRequest, type Entrance } from "./admission.ts";
import { Departures } from "./departures.ts";
import { LeaveTaking } from "./leave-taking.ts";
import { Reader, type ReaderPort } from "./reader.ts";
import { feedReader, offerPiece } from "./reader-feed.ts";
import { ReaderRegistry } from "./reader-registry.ts";
import { RecoveryNotes } from "./recovery-notes.ts";
import type { Piece } from "./segment-index.ts";
import { isFinished } from "./state-machine.ts";
import { SnapshotFeed } from "./snapshot-feed.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

const textEncoder = new TextEncoder();
const HEARTBEAT = textEncoder.encode(HEARTBEAT_FRAME);
/** A token is replaced before half its life is over. */
const TOKEN_REFRESH_FRACTION = 0.45;
const MS_PER_SEC = 1000;

export interface DeliveryDeps {
  readonly record: StreamRecord;
  readonly buffer: StreamBuffer;
  readonly emit: (event: StreamTelemetry) => void;
  /** Told when the last reader has gone. */
  readonly onEmpty: () => void;
}

export type AttachVerdict =
  | { readonly kind: "attached"; readonly reader: Reader; readonly isRewound: boolean }
  /** The stream is finished and the reader has all of it. */
  | { readonly kind: "nothing_left" }
  | { readonly kind: "refused"; readonly error: SpillwayError };

/** Largest queue a port may report room for: one more chunk then still fits the reader's limit. */
export function portHighWaterMark(readerBufferBytes: number): number {
  return readerBufferBytes - SEGMENT_MAX_BYTES;
}

export class Delivery {
  readonly readers: ReaderRegistry;
  private readonly departures = new Departures();
  private readonly leaving: LeaveTaking;
  private readonly recovery: RecoveryNotes;
  /** Whether the outcome is durable and may be told. */
  private isEndAnnounced = false;
  /** Pieces are being handed over: readers who wait for theirs are not fed from the buffer. */
  private isDelivering = false;

  private readonly deps: DeliveryDeps;

  constructor(deps: DeliveryDeps) {
    this.deps = deps;

    this.recovery = new RecoveryNotes(deps);
    this.readers = new ReaderRegistry(deps.record.settings);
    const { readers, departures, recovery } = this;
    this.leaving = new LeaveTaking({ ...deps, readers, departures, recovery });
  }

  attach(request: AttachRequest, port: ReaderPort, nowMs: number): AttachVerdict {
    const { emit } = this.deps;
    const position = formatEventId(request.position);
    if (request.isResumed) emit({ event: "SseResumeAttempt", position });
    const verdict = this.admit(request, port, nowMs);
    if (verdict.kind === "refused") {
      if (request.isResumed) emit({ event: "SseResumeFailed", code: verdict.error.code });
      return verdict;
    }
    if (request.isResumed) this.noteResume(request.position, verdict);
    if (verdict.kind === "attached") {
      if (request.token !== undefined) this.noteIssued(position);
      this.feed(verdict.reader, nowMs);
    }
    return verdict;
  }

  /** Hands new pieces to the readers that are just there; the others catch up by pulling. */
  deliver(pieces: readonly Piece[], nowMs: number): void {
    this.isDelivering = true;
    for (const piece of pieces) {
      for (const reader of this.readers) {
        // No further: of what follows, the buffer may not have kept all.
        if (!offerPiece(reader, piece, nowMs) && reader.hasRoom) this.feed(reader, nowMs, piece.lastSeq);
      }
    }
    this.isDelivering = false;
    for (const reader of this.readers) {
      if (reader.notices.size > 0 && reader.hasRoom && !reader.isMidEvent) this.feed(reader, nowMs);
    }
  }

  /** The port has room again. */
  pull(reader: Reader, nowMs: number): void {
    if (reader.isGone) return;
    const wasFull = reader.fullSinceMs !== undefined;
    reader.noteTaken(nowMs);
    // One that had room was fed all there was when it came.
    if (wasFull) this.feed(reader, nowMs);
  }

  /** The reader's connection is gone. */
  disconnect(reader: Reader, nowMs: number): void {
    this.departures.forget(reader);
    this.leaving.remove(reader, "disconnected", nowMs);
  }

  /** The outcome is durable: whoever has everything is told, the others when they get there. */
  announceEnd(nowMs: number): void {
    this.isEndAnnounced = true;
    for (const reader of this.readers.all()) this.feed(reader, nowMs);
  }

  /** Lets go of every reader, when the stream itself is about to be deleted. */
  expel(nowMs: number): void {
    for (const reader of this.readers.all()) {
      this.leaving.cut(reader, "stream_expired", nowMs);
    }
    this.departures.cutAll();
  }

  sweep(nowMs: number): void {
    for (const { reader, reason } of this.readers.sweep(nowMs)) {
      if (reason === "stalled") this.leaving.cut(reader, reason, nowMs);
      else this.leaving.sendAway(reader, reason, this.readers.ageRetryMs(), nowMs);
    }
    this.departures.cutStalled(nowMs, this.deps.record.settings.readerStallMs);
  }

  /** Whether a reader waits for a turn of its own. */
  get hasPaused(): boolean {
    for (const reader of this.readers) if (reader.isPaused && reader.hasRoom) return true;
    return false;
  }

  /** Feeds on the readers whose last turn was full. */
  feedPaused(nowMs: number): void {
    for (const reader of this.readers.all()) {
      if (!reader.isPaused || !reader.hasRoom) continue;
      reader.isPaused = false;
      this.feed(reader, nowMs);
    }
  }

  /** Whether the sweep has anybody to watch. */
  get hasConnections(): boolean {
    return this.readers.size + this.departures.size > 0;
  }

  /** Comments to readers that were sent nothing for a heartbeat; also how a dead connection shows. */
  heartbeat(nowMs: number): void {
    for (const reader of this.readers) {
      const isDue = nowMs - reader.lastSentAtMs >= this.deps.record.settings.heartbeatMs;
      if (isDue && reader.hasRoom && !reader.isMidEvent) reader.send(HEARTBEAT, nowMs);
    }
  }

  nextHeartbeatAtMs(): number | undefined {
    const { heartbeatMs } = this.deps.record.settings;
    const withRoom = this.readers.all().filter((reader) => reader.hasRoom);
    return earliest(withRoom.map((reader) => reader.lastSentAtMs + heartbeatMs));
  }

  nextTokenRefreshAtMs(): number | undefined {
    return earliest(this.readers.all().map((reader) => reader.tokenRefreshAtMs));
  }

  readersDueForToken(nowMs: number): Reader[] {
    return this.readers.all().filter((reader) => (reader.tokenRefreshAtMs ?? Infinity) <= nowMs);
  }

  /** What a token issued to this reader now should say. */
  positionOf(reader: Reader): EventId {
    return this.deps.buffer.idOf(reader.nextSeq - 1);
  }

  refreshToken(reader: Reader, position: EventId, token: IssuedToken, nowMs: number): void {
    if (reader.isGone) return;
    reader.notices.set("resume", resumeFrame(this.deps.record, token, reader.isFollowing ? "live" : "replay"));
    reader.tokenRefreshAtMs = refreshAtMs(token);
    this.noteIssued(formatEventId(position));
    this.feed(reader, nowMs);
  }

  /** Puts a notice between events for every reader that takes control events. */
  notifyDegraded(nowMs: number): void {
    for (const reader of this.readers.all()) {
      if (reader.hasControlEvents) reader.notices.set("degraded", degradedFrame());
      // While pieces are handed over, the notice goes before the next of them.
      if (!reader.isMidEvent && !this.isDelivering) this.feed(reader, nowMs);
    }
  }

  /** Who came while there was no token to be had gets one now. */
  noteStorageBack(nowMs: number): void {
    for (const reader of this.readers) {
      if (reader.hasControlEvents) reader.tokenRefreshAtMs ??= nowMs;
    }
  }

  /** A reconnection time the source asked for after its last event: told with the end. */
  noteTrailingRetry(retryMs: number): void {
    this.leaving.trailingRetryMs = retryMs;
  }

  private admit(request: AttachRequest, port: ReaderPort, nowMs: number): AttachVerdict {
    const { record, buffer } = this.deps;
    const entry = findEntry(request, record, buffer);
    if (entry.kind !== "enter") return entry;
    const takenPlaces = this.departures.makeRoom(this.readers, record.settings, nowMs);
    const admission = this.readers.admit(nowMs, takenPlaces);
    if (admission.kind === "reject") {
      const { maxReaders, cleanupIntervalMs } = record.settings;
      // The next sweep may make room.
      const retryAfterSec = Math.ceil(cleanupIntervalMs / MS_PER_SEC);
      return { kind: "refused", error: { code: "reader_limit", maxReaders, retryAfterSec } };
    }
    if (admission.kind === "admit_instead_of") {
      this.makeRoom(admission.reader, admission.reason, nowMs);
      // Of many that come at once, most are evicted before they have taken anything. With full queues they
      // would hold too much to be left until they have heard when to come back.
      port.holdUntilTaken?.();
    }
    const reader = this.welcome(request, entry, { port, nowMs });
    return { kind: "attached", reader, isRewound: entry.rewoundTo !== undefined };
  }

  private welcome(request: AttachRequest, entry: Entrance, place: { port: ReaderPort; nowMs: number }): Reader {
    const { record, buffer } = this.deps;
    // A snapshot folds what is committed alone. A failing storage is tried again in its own time.
    if (request.mode === "snapshot" && !buffer.isDegraded) buffer.flush(place.nowMs);
    const reader = new Reader({
      ...place,
      nextSeq: entry.nextSeq,
      hasControlEvents: record.hasControlEvents,
      isFollowing: request.mode !== "replay",
      snapshot: request.mode === "snapshot" ? new SnapshotFeed(buffer.lastSeq) : undefined,
      isResumed: request.isResumed,
      acceptsGap: request.acceptGap,
      replayThroughSeq: buffer.lastSeq,
    });
    this.readers.add(reader);
    const head = openingFrames(record, {
      position: entry.rewoundTo === undefined ? buffer.idOf(entry.nextSeq - 1) : undefined,
      rewind: entry.rewoundTo && { client: request.position, durable: entry.rewoundTo },
      token: request.token,
      mode: request.mode,
      isDegraded: buffer.isDegraded,
    });
    reader.send(textEncoder.encode(head), place.nowMs);
    if (request.token !== undefined && record.hasControlEvents) reader.tokenRefreshAtMs = refreshAtMs(request.token);
    return reader;
  }

  private noteIssued(position: string): void {
    const { emit, buffer } = this.deps;
    emit({ event: "SseResumeIssued", position, readers: this.readers.size, events: buffer.lastSeq });
  }

  private noteResume(position: EventId, verdict: Exclude<AttachVerdict, { kind: "refused" }>): void {
    if (verdict.kind === "attached") this.recovery.noteResume(position, verdict.reader, verdict.isRewound);
    else this.recovery.noteResume(position, undefined, false);
  }

  private feed(reader: Reader, nowMs: number, throughSeq?: number): void {
    for (;;) {
      const result = feedReader(reader, this.deps.buffer, nowMs, throughSeq);
      switch (result.kind) {
        case "full":
          return;
        case "paused":
          reader.isPaused = true;
          return;
        case "snapshot_sent":
          this.recovery.noteSnapshot(reader, result.snapshot);
          break;
        case "fell_behind":
          return this.leaving.cut(reader, "fell_behind", nowMs);
        case "gap":
          this.recovery.noteGap(reader, result.missingEvents);
          break;
        case "caught_up":
          return this.finishOrFollow(reader, nowMs);
      }
    }
  }

  private finishOrFollow(reader: Reader, nowMs: number): void {
    const { record, emit, buffer } = this.deps;
    // A replay that began before the tail came has what there was; the end is not its to tell.
    const isShort = !reader.isFollowing && reader.nextSeq <= buffer.lastSeq;
    if (isFinished(record.state) && !isShort) {
      if (this.isEndAnnounced) this.leaving.sendEnd(reader, nowMs);
      return;
    }
    if (!reader.isFollowing) {
      this.leaving.leave(reader, nowMs);
      this.departures.close(reader);
      return;
    }
    if (reader.isResumed && reader.liveSinceMs === undefined) {
      reader.liveSinceMs = nowMs;
      const position = formatEventId(buffer.idOf(reader.nextSeq - 1));
      emit({ event: "SseResumeLiveStart", position, catch_up_ms: nowMs - reader.attachedAtMs });
    }
  }

  private makeRoom(reader: Reader, reason: "stalled" | "evicted", nowMs: number): void {
    if (reason === "stalled") this.leaving.cut(reader, reason, nowMs);
    else this.leaving.sendAway(reader, reason, this.readers.evictionRetryMs(nowMs), nowMs);
  }
}

function refreshAtMs(token: IssuedToken): number {
  return token.issuedAtMs + (token.expiresAtMs - token.issuedAtMs) * TOKEN_REFRESH_FRACTION;
}
