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

export function findEntry(request: AttachRequest, record: StreamRecord, buffer: StreamBuffer): Entry {
  const located = buffer.locate(request.position);
  if (located.kind === "unknown") {
    return refuse({ code: "invalid_request", field: "last_event_id", detail: "no event of this stream has this id" });
  }
  const isRewound = located.kind === "rewound";
  const hasAll = !isRewound && located.seq === buffer.lastSeq;
  // Without control events only a complete stream may close without a word.
  const mayCloseSilently = record.hasControlEvents || record.state === "completed";
  if (isFinished(record.state) && hasAll && request.isPositionExplicit && mayCloseSilently) {
    return { kind: "nothing_left" };
  }
  const wanted = located.seq + 1;
  const rewoundTo = isRewound ? buffer.idOf(located.seq) : undefined;
  if (record.hasControlEvents) return { kind: "enter", nextSeq: wanted, rewoundTo };
  const earliest = buffer.firstRetainedFrom(wanted) ?? buffer.lastSeq + 1;
  const isWhole = earliest === wanted && !isRewound;
  if (isWhole || request.acceptGap) return { kind: "enter", nextSeq: earliest, rewoundTo };
  const earliestId = formatEventId(buffer.idOf(Math.min(earliest, buffer.lastSeq)));
  return refuse({ code: "position_trimmed", earliestId });
}

function refuse(error: SpillwayError): Entry {
  return { kind: "refused", error };
}
