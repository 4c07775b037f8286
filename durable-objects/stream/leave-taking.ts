/**
 * How readers are taken leave of: told the end, sent away to come back, or cut; and what is told of it.
 * Synchronous. When, and who: delivery.ts.
 */
import type { Diagnostics } from "../../protocol/control-events.ts";
import { retryFrame } from "../../protocol/sse-frame.ts";
import type { ReaderRemovalReason, StreamTelemetry } from "../../protocol/telemetry.ts";
import { endFrame } from "./control-frames.ts";
import type { Departures } from "./departures.ts";
import type { Reader } from "./reader.ts";
import type { ReaderRegistry } from "./reader-registry.ts";
import type { RecoveryNotes } from "./recovery-notes.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

const textEncoder = new TextEncoder();

export interface LeaveTakingDeps {
  readonly record: StreamRecord;
  readonly buffer: StreamBuffer;
  readonly readers: ReaderRegistry;
  readonly departures: Departures;
  readonly recovery: RecoveryNotes;
  readonly emit: (event: StreamTelemetry) => void;
  /** Told when the last reader has gone. */
  readonly onEmpty: () => void;
}

export class LeaveTaking {
  /** A reconnection time the source asked for after its last event: told with the end. */
  trailingRetryMs: number | undefined;
  private readonly deps: LeaveTakingDeps;

  constructor(deps: LeaveTakingDeps) {
    this.deps = deps;
  }

  /** Tells a reader that has everything how the stream ended. */
  sendEnd(reader: Reader, nowMs: number): void {
    const { record, buffer } = this.deps;
    if (!record.hasControlEvents) return this.endWithoutWords(reader, nowMs);
    this.leave(reader, nowMs);
    const frame = endFrame(record, buffer.idOf(buffer.lastSeq), {
      diagnostics: this.diagnostics(),
      retryMs: this.trailingRetryMs,
    });
    reader.send(textEncoder.encode(frame), nowMs);
    this.deps.departures.close(reader);
  }

  /** The end of a stream without control events: how the connection closes is all there is to say it. */
  private endWithoutWords(reader: Reader, nowMs: number): void {
    this.leave(reader, nowMs);
    // A clean close would say that this was all; only a complete stream may.
    if (this.deps.record.state !== "completed") return this.deps.departures.breakOff(reader);
    if (this.trailingRetryMs !== undefined) reader.send(textEncoder.encode(retryFrame(this.trailingRetryMs)), nowMs);
    this.deps.departures.close(reader);
  }

  /** Ends a healthy reader's connection and tells it when to come back. */
  sendAway(reader: Reader, reason: ReaderRemovalReason, retryMs: number, nowMs: number): void {
    const farewell = textEncoder.encode(retryFrame(retryMs));
    // Also after a full queue: told nothing, it would come back too soon, and throw out the next.
    const isFitting = reader.port.queuedBytes() + farewell.byteLength <= this.deps.record.settings.readerBufferBytes;
    this.remove(reader, reason, nowMs);
    if (reader.isMidEvent || !isFitting) return reader.port.abort();
    reader.send(farewell, nowMs);
    // A clean close would say that this was all, to a replaying reader and without control events.
    if (reader.isFollowing && reader.hasControlEvents) this.deps.departures.close(reader);
    else this.deps.departures.breakOff(reader);
  }

  /** Breaks a reader's connection; what was queued for it is dropped, and it comes back at its id. */
  cut(reader: Reader, reason: ReaderRemovalReason, nowMs: number): void {
    this.remove(reader, reason, nowMs);
    reader.port.abort();
  }

  /** It goes before the stream has ended: that is told. */
  remove(reader: Reader, reason: ReaderRemovalReason, nowMs: number): void {
    if (reader.isGone) return;
    const { attachedAtMs, sentBytes: bytes } = reader;
    const left = { readers: this.deps.readers.size - 1, events: this.deps.buffer.lastSeq };
    this.deps.emit({ event: "SseReaderRemoved", reason, age_ms: nowMs - attachedAtMs, bytes, ...left });
    this.leave(reader, nowMs);
  }

  /** It is served no more. */
  leave(reader: Reader, nowMs: number): void {
    if (reader.isGone) return;
    reader.isGone = true;
    this.deps.readers.remove(reader);
    this.deps.recovery.noteLeft(reader);
    if (reader.liveSinceMs !== undefined) {
      const duration_ms = nowMs - reader.liveSinceMs;
      this.deps.emit({ event: "SseResumeLiveEnd", state: this.deps.record.state, duration_ms });
    }
    if (this.deps.readers.size === 0) this.deps.onEmpty();
  }

  private diagnostics(): Diagnostics {
    const { record, buffer } = this.deps;
    return {
      resumes: record.resumes,
      trims: buffer.trimmedEvents,
      recovered_events: record.recoveredEvents,
      folded_events: record.given.foldedEvents,
      trimmed_payloads: record.given.trimmedPayloads,
      compressed_segments: record.given.compressedSegments,
      sampled_events: record.given.sampledEvents,
    };
  }
}
