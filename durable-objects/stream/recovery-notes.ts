/**
 * What readers who came back were given, counted and told.
 */
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import type { StreamTelemetry } from "../../protocol/telemetry.ts";
import type { Reader } from "./reader.ts";
import type { SnapshotFeed } from "./snapshot-feed.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

interface RecoveryDeps {
  readonly record: StreamRecord;
  readonly buffer: StreamBuffer;
  readonly emit: (event: StreamTelemetry) => void;
}

export class RecoveryNotes {
  private readonly deps: RecoveryDeps;

  constructor(deps: RecoveryDeps) {
    this.deps = deps;
  }

  /** @param reader where the stream had anything left for it */
  noteResume(position: EventId, reader: Reader | undefined, isRewound: boolean): void {
    const { record, buffer, emit } = this.deps;
    const at = formatEventId(position);
    const replayed = reader === undefined ? 0 : buffer.lastSeq - reader.nextSeq + 1;
    record.resumes++;
    record.recoveredEvents += replayed;
    emit({ event: "SseResumeSuccess", position: at, replayed_events: replayed });
    if (reader === undefined || !isRewound) return;
    const missing_events = position.seq - (reader.nextSeq - 1);
    emit({ event: "SsePartialRecovery", kind: "rewind", position: at, missing_events });
  }

  noteSnapshot(reader: Reader, { entries, missingEvents: missing_events }: SnapshotFeed): void {
    const { record, emit } = this.deps;
    const position = this.positionOf(reader);
    record.recoveredEvents -= missing_events;
    emit({ event: "SseSnapshotCreated", position, entries, bytes: reader.sentBytes, missing_events });
  }

  noteGap(reader: Reader, missingEvents: number): void {
    const { record, emit } = this.deps;
    if (reader.isResumed && reader.nextSeq - 1 <= reader.replayThroughSeq) record.recoveredEvents -= missingEvents;
    const position = this.positionOf(reader);
    emit({ event: "SsePartialRecovery", kind: "gap", position, missing_events: missingEvents });
  }

  private positionOf(reader: Reader): string {
    return formatEventId(this.deps.buffer.idOf(reader.nextSeq - 1));
  }
}
