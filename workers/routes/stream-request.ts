/**
 * What callers of the stream calls may say besides their body, read and checked. No I/O.
 */
import type { Context } from "hono";

import { READ_MODES, type ReadMode } from "../../protocol/control-events.ts";
import type { SpillwayError } from "../../protocol/errors.ts";
import type { EventId } from "../../protocol/event-id.ts";
import {
  CORRELATION_ID_MAX_CHARS,
  IDEMPOTENCY_KEY_MAX_CHARS,
  IDEMPOTENCY_KEY_MIN_CHARS,
} from "../../protocol/limits.ts";
import { readPosition } from "../../protocol/sse-frame.ts";
import type { Result } from "../../protocol/stream-call.ts";
import type { HonoEnv } from "../http/hono-env.ts";

type StreamContext = Context<HonoEnv>;

export function invalid(field: string, detail: string): SpillwayError {
  return { code: "invalid_request", field, detail };
}

export function readIdempotencyKey(context: StreamContext): Result<string | undefined> {
  const key = context.req.header("idempotency-key") ?? context.req.query("idempotency_key");
  if (key === undefined) return { ok: true, value: undefined };
  if (key.length >= IDEMPOTENCY_KEY_MIN_CHARS && key.length <= IDEMPOTENCY_KEY_MAX_CHARS)
    return { ok: true, value: key };
  // A short key could be guessed, and a stranger would then read along.
  const detail = `found ${key.length} characters, allowed are ${IDEMPOTENCY_KEY_MIN_CHARS} to ${IDEMPOTENCY_KEY_MAX_CHARS}, chosen at random`;
  return { ok: false, error: invalid("idempotency_key", detail) };
}

export function readGivenPosition(context: StreamContext): Result<EventId | undefined> {
  const position = readPosition(context.req.header("last-event-id") || context.req.query("last_event_id"));
  if (position === "absent") return { ok: true, value: undefined };
  if (position === "malformed")
    return { ok: false, error: invalid("last_event_id", "not an event id of this service") };
  return { ok: true, value: position };
}

export function readCorrelationId(context: StreamContext): Result<string | undefined> {
  const given = context.req.header("x-correlation-id") ?? context.req.header("x-request-id");
  if (given === undefined) return { ok: true, value: undefined };
  const isGood = given.length <= CORRELATION_ID_MAX_CHARS && /^[\x21-\x7e]+$/.test(given);
  if (isGood) return { ok: true, value: given };
  const detail = `allowed are 1 to ${CORRELATION_ID_MAX_CHARS} printable ASCII characters without spaces`;
  return { ok: false, error: invalid("x-correlation-id", detail) };
}

export function readMode(context: StreamContext): Result<ReadMode> {
  const given = context.req.query("mode") ?? context.req.header("x-resume-mode") ?? "live";
  const mode = READ_MODES.find((known) => known === given);
  if (mode !== undefined) return { ok: true, value: mode };
  return { ok: false, error: invalid("mode", `allowed are ${READ_MODES.join(" and ")}`) };
}

export function acceptsGap(context: StreamContext): boolean {
  return context.req.query("accept_gap") === "1";
}

/** RFC 7240: preferences are separated by commas, may have parameters, and do not depend on case. */
export function prefersAsync(prefer: string | undefined): boolean {
  const names = (prefer ?? "").split(",").map((preference) => preference.split(";")[0]?.trim().toLowerCase());
  return names.includes("respond-async");
}
