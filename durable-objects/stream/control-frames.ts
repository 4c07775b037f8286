/**
 * The in-band control events as frames, made from a stream's record. Pure.
 */
import type { Diagnostics, EndEvent, ReadMode, ResumeEvent, RewindEvent } from "../../protocol/control-events.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import type { IssuedToken } from "../../protocol/resume-token.ts";
import { controlFrame } from "../../protocol/sse-frame.ts";
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
export function rewindFrame(record: StreamRecord, client: EventId, durable: EventId): string {
  const payload: RewindEvent = {
    client: formatEventId(client),
    durable: formatEventId(durable),
    epoch: record.epochs.at(-1)?.epoch ?? 1,
  };
  return controlFrame("rewind", payload);
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
