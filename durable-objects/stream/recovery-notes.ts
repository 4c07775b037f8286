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

  noteSnapshot(reader: Reader, { entries, missingEvents: missing_events, missingOfReplay }: SnapshotFeed): void {
    const { record, emit } = this.deps;
    const position = this.positionOf(reader);
    record.recoveredEvents -= missingOfReplay;
    emit({ event: "SseSnapshotCreated", position, entries, bytes: reader.sentBytes, missing_events });
  }

  noteGap(reader: Reader, missingEvents: number): void {
    const { record, emit } = this.deps;
    const { isResumed, nextSeq, replayThroughSeq } = reader;
    if (isResumed) record.recoveredEvents -= countThrough(replayThroughSeq, nextSeq - missingEvents, nextSeq - 1);
    const position = this.positionOf(reader);
    emit({ event: "SsePartialRecovery", kind: "gap", position, missing_events: missingEvents });
  }

  /** It has gone, perhaps before it had all that was counted when it came. */
  noteLeft({ isResumed, nextSeq, replayThroughSeq }: Reader): void {
    if (isResumed) this.deps.record.recoveredEvents -= countThrough(replayThroughSeq, nextSeq, replayThroughSeq);
  }

  private positionOf(reader: Reader): string {
    return formatEventId(this.deps.buffer.idOf(reader.nextSeq - 1));
  }
}

/** How many of the seqs from `firstSeq` to `lastSeq` are `throughSeq` or earlier. */
function countThrough(throughSeq: number, firstSeq: number, lastSeq: number): number {
  return Math.max(0, Math.min(lastSeq, throughSeq) - firstSeq + 1);
}
