/**
 * The in-band control events as frames, made from a stream's record. Pure.
 */
import type { Diagnostics, EndEvent, ReadMode, ResumeEvent, RewindEvent } from "../../protocol/control-events.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import type { IssuedToken } from "../../protocol/resume-token.ts";
import { controlFrame, OPENING_FRAME, primingFrame } from "../../protocol/sse-frame.ts";
import { endStatus, isFinished } from "./state-machine.ts";
import type { StreamRecord } from "./stream-store.ts";

export function resumeFrame(record: StreamRecord, token: IssuedToken, mode: ReadMode): string {
  const payload: ResumeEvent = {
    request_id: record.identity.requestId,
    token: token.token,
    expires_at: new Date(token.expiresAtMs).toISOString(),
    mode,
  };
  return controlFrame("resume", payload);
}

/** @param durable the last event the reader saw that survived */
function rewindFrame(record: StreamRecord, client: EventId, durable: EventId): string {
  const payload: RewindEvent = {
    client: formatEventId(client),
    durable: formatEventId(durable),
    epoch: record.epochs.at(-1)?.epoch ?? 1,
  };
  return controlFrame("rewind", payload);
}

export interface Opening {
  /** The reader's position; `undefined` where it is about to be rewound. */
  readonly position: EventId | undefined;
  readonly rewind: { readonly client: EventId; readonly durable: EventId } | undefined;
  readonly token: IssuedToken | undefined;
  readonly mode: ReadMode;
  readonly isDegraded: boolean;
}

/** What every reader is sent first: a comment, its position, and where control events are on, the rest. */
export function openingFrames(record: StreamRecord, opening: Opening): string {
  const { token, rewind } = opening;
  let frames = OPENING_FRAME + primingFrame(opening.position, record.settings.retryMs);
  if (!record.hasControlEvents) return frames;
  if (token !== undefined) frames += resumeFrame(record, token, opening.mode);
  if (rewind !== undefined) frames += rewindFrame(record, rewind.client, rewind.durable);
  return opening.isDegraded ? frames + degradedFrame() : frames;
}

export function degradedFrame(): string {
  return controlFrame("degraded", { kind: "storage" });
}

/** @throws for a stream that is not finished */
export function endFrame(
  record: StreamRecord,
  lastId: EventId,
  more: { diagnostics: Diagnostics; retryMs: number | undefined },
): string {
  if (!isFinished(record.state)) throw new Error("end told of a stream that runs");
  const payload: EndEvent = {
    status: endStatus(record.state),
    last_id: formatEventId(lastId),
    ...(record.endReason === undefined ? {} : { reason: record.endReason }),
    diagnostics: more.diagnostics,
  };
  return controlFrame("end", payload, {
    id: lastId,
    ...(more.retryMs === undefined ? {} : { retryMs: more.retryMs }),
  });
}
