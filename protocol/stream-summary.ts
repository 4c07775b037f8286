/**
 * A stream in a line, as operators' lists show it: from what its telemetry has told, or from its object.
 */
import type { KnownStream } from "./rollup.ts";
import type { StreamState } from "./stream-call.ts";

/** Part of the admin API: members are added, never changed. */
export interface StreamSummary {
  readonly request_id: string;
  readonly route: string;
  readonly tenant: string;
  readonly state: StreamState;
  readonly started_at: string;
  readonly ended_at: string | null;
  /** When it was last heard of. */
  readonly last_event_at: string;
  readonly events: number;
  readonly trimmed_events: number;
  readonly folded_events: number;
  readonly resumes: number;
  readonly readers: number;
  /** Until its end, or until now. */
  readonly duration_ms: number;
  readonly retained_bytes: number | null;
  readonly silent_ms: number | null;
  readonly reason: string | null;
  /** Whether its object was asked just now; else it is what telemetry has told. */
  readonly is_verified: boolean;
}

/** What is known without asking the stream's object. */
export function summaryOf(stream: KnownStream, nowMs: number): StreamSummary {
  const { endedAtMs } = stream;
  return {
    request_id: stream.requestId,
    route: stream.route,
    tenant: stream.tenant,
    state: stream.state,
    started_at: new Date(stream.startedAtMs).toISOString(),
    ended_at: endedAtMs === undefined ? null : new Date(endedAtMs).toISOString(),
    last_event_at: new Date(stream.lastHeardAtMs).toISOString(),
    events: stream.events,
    trimmed_events: stream.trimmedEvents,
    folded_events: stream.foldedEvents,
    resumes: stream.resumes,
    readers: stream.readers,
    duration_ms: Math.max(0, (endedAtMs ?? nowMs) - stream.startedAtMs),
    retained_bytes: null,
    silent_ms: null,
    reason: stream.reason,
    is_verified: false,
  };
}
