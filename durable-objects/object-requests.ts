/**
 * What a stream object is asked, in its session's words. Pure but for reading the body.
 */
import type { StartCall, StreamIdentity, StreamTicket } from "../protocol/stream-call.ts";
import type { AttachRequest } from "./stream/admission.ts";

const MS_PER_SEC = 1000;

/** A stream as it is held here, or lies in the archive. */
interface HeldStream {
  readonly identity: StreamIdentity;
  readonly startedAtMs: number;
}

/** Whether the ticket was issued for another stream under the same id: an earlier one, or one after what is archived. */
export function isOfAnotherLife({ startedAtMs }: HeldStream, ticket: StreamTicket): boolean {
  if (ticket.startedAtMs !== undefined) return ticket.startedAtMs !== startedAtMs;
  return ticket.issuedAtSec < Math.floor(startedAtMs / MS_PER_SEC);
}

export function isForTicket({ identity }: HeldStream, ticket: StreamTicket): boolean {
  return identity.tenant === ticket.tenant && identity.route === ticket.route;
}

export function startRequest(call: StartCall, isResumed: boolean): Omit<AttachRequest, "token"> {
  const { position, isPositionExplicit, acceptGap } = call;
  return { position, isPositionExplicit, mode: "live", acceptGap, isResumed };
}

export async function bodyOf(request: Request): Promise<Uint8Array | undefined> {
  return request.body === null ? undefined : request.bytes();
}
