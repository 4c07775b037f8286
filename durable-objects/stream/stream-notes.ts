/**
 * What is told of a stream: its status, and its buffer's doings as telemetry. Pure.
 */
import { formatEventId } from "../../protocol/event-id.ts";
import { PRIORITIES } from "../../protocol/priority.ts";
import type { StreamIdentity, StreamStatus } from "../../protocol/stream-call.ts";
import type { GatheredTelemetry, TelemetrySubject } from "../../protocol/telemetry.ts";
import type { ReliefChange } from "./relief-change.ts";
import type { StreamBuffer, Trim } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

/** @param handedThroughSeq the last event that any reader has been handed */
export function trimTelemetry(trim: Trim, handedThroughSeq: number): GatheredTelemetry {
  const { seq, priority, reason, events, bytes } = trim;
  return {
    event: "SseBufferTrimmed",
    seq,
    priority: PRIORITIES[priority],
    reason,
    events,
    unread_events: Math.max(0, Math.min(events, seq - handedThroughSeq)),
    bytes,
    message: "buffer_trimmed",
  };
}

export function reliefTelemetry({
  kind,
  seq,
  events,
  count,
  savedBytes: saved_bytes,
}: ReliefChange): GatheredTelemetry {
  switch (kind) {
    case "folded":
      return { event: "SseBufferFolded", seq, events, folded: count, saved_bytes, message: "Applied event folding" };
    case "trimmed":
      return { event: "SsePayloadTrimmed", seq, events: count, saved_bytes, message: "Applied payload trimming" };
    case "compressed":
      return { event: "SseBufferCompressed", seq, segments: count, saved_bytes, message: "Applied event compression" };
  }
}

export function subjectOf({ requestId, route, tenant, correlationId }: StreamIdentity): TelemetrySubject {
  const correlation = correlationId === undefined ? {} : { correlation_id: correlationId };
  return { request_id: requestId, route, tenant, ...correlation };
}

export function statusOf(
  record: StreamRecord,
  buffer: StreamBuffer,
  more: { readers: number; expiresAtMs: number | undefined },
): StreamStatus {
  const { identity, given } = record;
  const { firstSeq } = buffer;
  return {
    request_id: identity.requestId,
    route: identity.route,
    ...(identity.correlationId === undefined ? {} : { correlation_id: identity.correlationId }),
    state: record.state,
    ...(record.endReason === undefined ? {} : { reason: record.endReason }),
    epoch: record.epochs.at(-1)?.epoch ?? 1,
    first_id: firstSeq === undefined ? null : formatEventId(buffer.idOf(firstSeq)),
    last_id: formatEventId(buffer.idOf(buffer.lastSeq)),
    events: buffer.lastSeq,
    retained_events: buffer.retainedEvents,
    retained_bytes: buffer.retainedBytes,
    trimmed_events: buffer.trimmedEvents,
    folded_events: given.foldedEvents,
    trimmed_payloads: given.trimmedPayloads,
    compressed_segments: given.compressedSegments,
    sampled_events: given.sampledEvents,
    resumes: record.resumes,
    readers: more.readers,
    degraded: buffer.isDegraded,
    started_at: new Date(record.startedAtMs).toISOString(),
    ended_at: isoOrNull(record.endedAtMs),
    expires_at: isoOrNull(more.expiresAtMs),
  };
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
