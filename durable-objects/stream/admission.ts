/**
 * Where a reader may enter a stream, by the position it holds. Pure.
 *
 * B2: a position is answered with the events after it, with a word about what is missing, or with a
 * refusal, never with a silent gap.
 */
import type { ReadMode } from "../../protocol/control-events.ts";
import type { SpillwayError } from "../../protocol/errors.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import type { IssuedToken } from "../../protocol/resume-token.ts";
import { isFinished } from "./state-machine.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

export interface AttachRequest {
  readonly position: EventId;
  /** Whether the reader named the position itself; otherwise it is its token's. */
  readonly isPositionExplicit: boolean;
  readonly mode: ReadMode;
  /** Without control events: go on from the earliest retained event where some are missing. */
  readonly acceptGap: boolean;
  /** Whether the reader comes back, as against starting the stream. */
  readonly isResumed: boolean;
  readonly token: IssuedToken | undefined;
}

export interface Entrance {
  readonly kind: "enter";
  readonly nextSeq: number;
  /** The last event that survived, where the reader saw some that did not. */
  readonly rewoundTo: EventId | undefined;
}

export type Entry =
  | Entrance
  /** The stream is finished and the reader has all of it. */
  | { readonly kind: "nothing_left" }
  | { readonly kind: "refused"; readonly error: SpillwayError };

const NO_SNAPSHOT =
  "snapshot needs control events, and this route has none; replay from 0-0 gives the same events, folded";

export function findEntry(request: AttachRequest, record: StreamRecord, buffer: StreamBuffer): Entry {
  const isSnapshot = request.mode === "snapshot";
  if (isSnapshot && !record.hasControlEvents)
    return refuse({ code: "invalid_request", field: "mode", detail: NO_SNAPSHOT });
  const located = buffer.locate(request.position);
  if (located.kind === "unknown" && !isSnapshot) {
    return refuse({ code: "invalid_request", field: "last_event_id", detail: "no event of this stream has this id" });
  }
  const hasAll = located.kind === "here" && located.seq === buffer.lastSeq;
  // Without control events only a complete stream may close without a word.
  const mayCloseSilently = record.hasControlEvents || record.state === "completed";
  if (isFinished(record.state) && hasAll && request.isPositionExplicit && mayCloseSilently) {
    return { kind: "nothing_left" };
  }
  // A snapshot begins at the beginning, whatever its reader has.
  if (isSnapshot || located.kind === "unknown") return { kind: "enter", nextSeq: 1, rewoundTo: undefined };
  const isRewound = located.kind === "rewound";
  const wanted = located.seq + 1;
  const rewoundTo = isRewound ? buffer.idOf(located.seq) : undefined;
  if (record.hasControlEvents) return { kind: "enter", nextSeq: wanted, rewoundTo };
  const first = buffer.firstRetainedFrom(wanted) ?? buffer.lastSeq + 1;
  if (request.acceptGap) return { kind: "enter", nextSeq: first, rewoundTo };
  // Also a hole further on: it could not be told of when the reader gets there.
  const afterHole = buffer.firstAfterHole(wanted);
  if (afterHole === undefined && !isRewound) return { kind: "enter", nextSeq: wanted, rewoundTo };
  const earliestId = formatEventId(buffer.idOf(Math.min(afterHole ?? first, buffer.lastSeq)));
  return refuse({ code: "position_trimmed", earliestId });
}

function refuse(error: SpillwayError): Entry {
  return { kind: "refused", error };
}
