/**
 * Operators' lists of streams: which to ask about, and what of their answers belongs in which list. Pure.
 *
 * Telemetry knows all streams, but late; a stream's object knows how it stands. So telemetry proposes, and
 * the object decides.
 */
import type { ListedStream, StreamInspection, StreamList, StuckReason } from "../protocol/admin-streams.ts";
import type { KnownStream } from "../protocol/rollup.ts";
import { summaryOf, type StreamSummary } from "../protocol/stream-summary.ts";

/** A source that has sent nothing for longer, not even a comment. */
const SILENT_MAX_MS = 60_000;
/** A reader that has taken nothing for longer. */
const WAITING_MAX_MS = 30_000;
/** A running stream that nothing was heard of for longer. */
const UNHEARD_MAX_MS = 600_000;

/** A stream, and what its object said. */
export interface SeenStream {
  readonly known: KnownStream;
  readonly answer: ObjectAnswer;
}

export type ObjectAnswer =
  | { readonly kind: "holds"; readonly inspection: StreamInspection }
  /** It holds nothing of the stream any more. */
  | { readonly kind: "holds_nothing" }
  /** It was not asked, or did not answer. */
  | { readonly kind: "none" };

/** The streams a list may be made of, the likeliest first. */
export function candidatesFor(list: StreamList, streams: readonly KnownStream[], nowMs: number): KnownStream[] {
  if (list === "recent") return streams.toSorted((left, right) => right.startedAtMs - left.startedAtMs);
  const running = streams.filter(({ endedAtMs }) => endedAtMs === undefined);
  // What has not been heard of for long is the likeliest to hang; a healthy stream tells something now and then.
  if (list === "stuck") return running.toSorted((left, right) => left.lastHeardAtMs - right.lastHeardAtMs);
  return running
    .map((stream) => ({ stream, heat: heatOf(summaryOf(stream, nowMs)) }))
    .toSorted((left, right) => byHeat(left.heat, right.heat))
    .map(({ stream }) => stream);
}

/** Whether its object has anything to add: one that has ended is told of by telemetry as it is. */
export function isWorthAsking({ endedAtMs }: KnownStream): boolean {
  return endedAtMs === undefined;
}

export function listOf(list: StreamList, seen: readonly SeenStream[], nowMs: number): ListedStream[] {
  if (list === "recent") {
    return seen
      .map((stream) => summaryOfSeen(stream, nowMs))
      .toSorted((left, right) => Date.parse(right.started_at) - Date.parse(left.started_at));
  }
  if (list === "hot") {
    return seen
      .map((stream) => summaryOfSeen(stream, nowMs))
      .filter(isRunning)
      .toSorted((left, right) => byHeat(heatOf(left), heatOf(right)));
  }
  return seen
    .flatMap((stream) => stuckOf(stream, nowMs) ?? [])
    .toSorted((left, right) => right.forMs - left.forMs)
    .map(({ listed }) => listed);
}

/** A stream in a line, by its object where that has answered. */
export function summaryOfSeen({ known, answer }: SeenStream, nowMs: number): StreamSummary {
  const told = summaryOf(known, nowMs);
  if (answer.kind === "none") return told;
  if (answer.kind === "holds_nothing") {
    // Its end was not told, but it is over: everything of it is deleted.
    return { ...told, state: isRunning(told) ? "expired" : told.state, readers: 0, is_verified: true };
  }
  const { status, tenant, source } = answer.inspection;
  const endedAtMs = status.ended_at === null ? nowMs : Date.parse(status.ended_at);
  return {
    request_id: status.request_id,
    route: status.route,
    tenant,
    state: status.state,
    started_at: status.started_at,
    ended_at: status.ended_at,
    last_event_at: source.last_activity_at ?? status.ended_at ?? told.last_event_at,
    events: status.events,
    trimmed_events: status.trimmed_events,
    folded_events: status.folded_events,
    resumes: status.resumes,
    readers: status.readers,
    duration_ms: Math.max(0, endedAtMs - Date.parse(status.started_at)),
    retained_bytes: status.retained_bytes,
    silent_ms: source.silent_ms,
    reason: status.reason ?? null,
    is_verified: true,
  };
}

interface StuckStream {
  readonly listed: ListedStream;
  readonly forMs: number;
}

function stuckOf(seen: SeenStream, nowMs: number): StuckStream | undefined {
  const summary = summaryOfSeen(seen, nowMs);
  if (!isRunning(summary)) return undefined;
  const found = stuckReason(seen, summary, nowMs);
  return found && { listed: { ...summary, stuck: found.reason }, forMs: found.forMs };
}

function stuckReason(
  { known, answer }: SeenStream,
  summary: StreamSummary,
  nowMs: number,
): { reason: StuckReason; forMs: number } | undefined {
  const silentMs = summary.silent_ms ?? 0;
  if (silentMs > SILENT_MAX_MS) return { reason: "source_silent", forMs: silentMs };
  const readers = answer.kind === "holds" ? answer.inspection.readers : [];
  const waitingMs = Math.max(0, ...readers.map((reader) => reader.waiting_ms));
  if (waitingMs > WAITING_MAX_MS) return { reason: "reader_waiting", forMs: waitingMs };
  // By its telemetry or by its source, whichever was later.
  const unheardMs = nowMs - Math.max(known.lastHeardAtMs, Date.parse(summary.last_event_at));
  return unheardMs > UNHEARD_MAX_MS ? { reason: "not_heard_of", forMs: unheardMs } : undefined;
}

function isRunning({ state }: StreamSummary): boolean {
  return state === "open" || state === "streaming";
}

/** Readers, then events a second since it began. */
type Heat = readonly [number, number];

function heatOf({ readers, events, duration_ms }: StreamSummary): Heat {
  return [readers, events / Math.max(1, duration_ms / 1000)];
}

/** The hottest first. */
function byHeat(left: Heat, right: Heat): number {
  return right[0] - left[0] || right[1] - left[1];
}
