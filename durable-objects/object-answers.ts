/**
 * What a stream object answers over `fetch`: streams, receipts, and errors as values for the Worker.
 */
import type { SpillwayError } from "../protocol/errors.ts";
import type { IssuedToken } from "../protocol/resume-token.ts";
import { EVENT_STREAM_HEADERS } from "../protocol/sse-frame.ts";
import { DEGRADED_HEADER, ERROR_HEADER } from "../protocol/stream-call.ts";
import type { StreamSession } from "./stream/stream-session.ts";

/** The Worker makes a problem response of it. */
export function errorAnswer(error: SpillwayError): Response {
  return Response.json(error, { headers: { [ERROR_HEADER]: "1" } });
}

export function streamAnswer(session: StreamSession, body: ReadableStream, token: IssuedToken | undefined): Response {
  const headers = {
    ...EVENT_STREAM_HEADERS,
    ...(token === undefined ? {} : { "X-Resume-Token": token.token }),
    ...(session.isDegraded ? { [DEGRADED_HEADER]: "storage" } : {}),
  };
  return new Response(body, { headers });
}

/** 204 tells EventSource to stop; how the stream ended is for those who can read headers. */
export function nothingLeftAnswer(session: StreamSession): Response {
  return new Response(null, { status: 204, headers: { "X-Spillway-End": session.state } });
}

/** What `Prefer: respond-async` answers: how to come and read. The Worker adds the URL. */
export function receiptAnswer(session: StreamSession, token: IssuedToken): Response {
  const receipt = {
    request_id: session.identity.requestId,
    resume_token: token.token,
    expires_at: new Date(token.expiresAtMs).toISOString(),
  };
  return Response.json(receipt, { status: 202 });
}
