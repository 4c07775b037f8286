/**
 * Every expected failure, as one union of stable codes, and its one mapping to the wire.
 *
 * Variants carry facts. {@link describeProblem} is vague where a caller could learn a secret;
 * the `reason` of a variant is for our log alone.
 *
 * Source: RFC 9457 (problem details), RFC 9110 (status codes), RFC 6750 (bearer challenge).
 */

export type TokenFault = "malformed" | "bad_signature" | "unknown_key" | "wrong_audience" | "bad_claims";

export interface ConfigFault {
  readonly variable: string;
  /** What was found; for a secret only its length. */
  readonly found: string;
  readonly allowed: string;
}

/** What opens a door: its name in messages, and the variable it is checked against. */
type Credential = "client key" | "ingest key" | "admin token" | "read token";

type RejectionCode = "invalid_event" | "event_too_large" | "too_deep" | "too_many_days" | "unsupported_specversion";

/** Why one event of a request was not taken. */
export interface EventRejection {
  /** Its place in the request, from 0. */
  readonly index: number;
  readonly code: RejectionCode;
  /** The attribute at fault. */
  readonly field: string;
  readonly detail: string;
}

export interface IngestCounts {
  readonly accepted: number;
  /** Taken before, by `source` and `id`. */
  readonly duplicates: number;
  readonly rejected: readonly EventRejection[];
}

/**
 * What a rate limit is kept for. Whoever may start nothing more can still go on with what runs; `admin` counts
 * wrong credentials of operators.
 */
export type RateBudget = "start" | "resume" | "admin";

export type SpillwayError =
  | { readonly code: "invalid_request"; readonly field: string; readonly detail: string }
  | { readonly code: "token_missing" }
  | { readonly code: "unauthorized"; readonly credential: Credential }
  | { readonly code: "token_invalid"; readonly reason: TokenFault }
  | { readonly code: "token_wrong_route"; readonly route: string }
  /** A browser's credential on a call that another site may have made. */
  | { readonly code: "csrf" }
  | { readonly code: "not_found" }
  | { readonly code: "stream_not_found" }
  | { readonly code: "shard_not_found"; readonly shard: string }
  /** What would be done cannot be undone: `expected` says what it would be done to. */
  | { readonly code: "confirmation_needed"; readonly expected: string }
  | { readonly code: "method_not_allowed"; readonly allow: readonly string[] }
  | { readonly code: "idempotency_conflict" }
  | { readonly code: "token_expired" }
  | { readonly code: "stream_expired" }
  | { readonly code: "position_trimmed"; readonly earliestId: string }
  | { readonly code: "body_too_large"; readonly maxBytes: number }
  | { readonly code: "uri_too_long"; readonly maxChars: number }
  | { readonly code: "unsupported_media_type"; readonly detail: string }
  | ({ readonly code: "buffer_full"; readonly retryAfterSec: number } & IngestCounts)
  | { readonly code: "events_rejected"; readonly rejected: readonly EventRejection[] }
  | { readonly code: "reader_limit"; readonly maxReaders: number; readonly retryAfterSec: number }
  | { readonly code: "rate_limited"; readonly budget: RateBudget; readonly retryAfterSec: number }
  | { readonly code: "headers_too_large"; readonly maxChars: number }
  | { readonly code: "internal" }
  | { readonly code: "upstream_unreachable" }
  /** `reason` only where operators ask. */
  | { readonly code: "storage_unavailable"; readonly retryAfterSec: number; readonly reason?: string }
  | { readonly code: "identity_unavailable"; readonly retryAfterSec: number }
  | { readonly code: "draining"; readonly retryAfterSec: number }
  | { readonly code: "misconfigured"; readonly faults: readonly ConfigFault[] }
  | { readonly code: "upstream_timeout"; readonly timeoutMs: number };

export type ErrorCode = SpillwayError["code"];

/** What goes on the wire: status, RFC 9457 members, headers. */
export interface ProblemDescription {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Extension members (RFC 9457, 3.2). */
  readonly extensions: Readonly<Record<string, unknown>>;
}

interface Extras {
  readonly headers?: Readonly<Record<string, string>>;
  readonly extensions?: Readonly<Record<string, unknown>>;
}

function problem(status: number, title: string, detail: string, extras: Extras = {}): ProblemDescription {
  return { status, title, detail, headers: extras.headers ?? {}, extensions: extras.extensions ?? {} };
}

function retryAfter(seconds: number): Extras {
  return { headers: { "Retry-After": String(seconds) } };
}

function rejectionSummary([first]: readonly EventRejection[]): string {
  return first === undefined ? "There was none." : `Event ${first.index}, ${first.field}: ${first.detail}`;
}

function rateDetail(budget: RateBudget): string {
  return budget === "admin"
    ? "Too many wrong credentials came from this network."
    : `This client has made all the ${budget} calls it may for now.`;
}

/** Pure and exhaustive: one arm for each code. */
export function describeProblem(error: SpillwayError): ProblemDescription {
  switch (error.code) {
    case "invalid_request":
      return problem(400, "Invalid request", `${error.field}: ${error.detail}`, { extensions: { field: error.field } });
    case "token_missing":
      return problem(
        400,
        "Resume token missing",
        "Send the resume token in X-Resume-Token, in Authorization: Bearer, or in ?token=.",
      );
    case "unauthorized":
      return problem(401, "Not authorized", `Send a valid ${error.credential} in Authorization: Bearer.`, {
        headers: { "WWW-Authenticate": 'Bearer realm="spillway"' },
      });
    case "token_invalid":
      return problem(401, "Resume token invalid", "The resume token was not accepted.", {
        headers: { "WWW-Authenticate": 'Bearer realm="spillway", error="invalid_token"' },
      });
    case "token_wrong_route":
      return problem(403, "Resume token is for another route", `This token does not resume ${error.route}.`);
    case "csrf":
      return problem(403, "Not from our own page", "Send X-Spillway-Action: 1, and from this service's own pages.");
    case "not_found":
      return problem(404, "No such resource", "Nothing is served at this path.");
    case "stream_not_found":
      return problem(404, "No such stream", "There is no such stream for this caller.");
    case "shard_not_found":
      return problem(404, "No such shard", `${error.shard} is not configured and has never taken an event.`);
    case "confirmation_needed":
      return problem(409, "Confirmation needed", "Send what is expected as confirm, if that is what you mean.", {
        extensions: { expected: error.expected },
      });
    case "method_not_allowed":
      return problem(405, "Method not allowed", `Allowed here: ${error.allow.join(", ")}.`, {
        headers: { Allow: error.allow.join(", ") },
      });
    case "idempotency_conflict":
      return problem(
        409,
        "Idempotency key used for another request",
        "This Idempotency-Key has started a stream with another query or body. Use a new key.",
      );
    case "token_expired":
      return problem(410, "Resume token expired", "The resume token's life is over. Start a new stream.");
    case "stream_expired":
      return problem(410, "Stream expired", "The stream's events are no longer kept. Start a new stream.");
    case "position_trimmed":
      return problem(
        410,
        "Position no longer available",
        "Events after this position are gone. Resume with ?accept_gap=1 to go on from earliest_id.",
        { extensions: { earliest_id: error.earliestId } },
      );
    case "body_too_large":
      return problem(413, "Request body too large", `The body may hold at most ${error.maxBytes} bytes.`, {
        extensions: { max_bytes: error.maxBytes },
      });
    case "uri_too_long":
      return problem(414, "Request URL too long", `The URL may hold at most ${error.maxChars} characters.`);
    case "unsupported_media_type":
      return problem(415, "Unsupported media type", error.detail);
    case "buffer_full":
      return problem(
        429,
        "Event buffer full",
        "Not every event was taken. Send the request again later: what was taken counts as a duplicate then.",
        {
          ...retryAfter(error.retryAfterSec),
          extensions: { accepted: error.accepted, duplicates: error.duplicates, rejected: error.rejected },
        },
      );
    case "events_rejected":
      return problem(400, "No event was taken", rejectionSummary(error.rejected), {
        extensions: { accepted: 0, duplicates: 0, rejected: error.rejected },
      });
    case "reader_limit":
      return problem(429, "Too many readers", `This stream serves at most ${error.maxReaders} readers at once.`, {
        ...retryAfter(error.retryAfterSec),
      });
    case "rate_limited":
      return problem(429, "Too many requests", rateDetail(error.budget), {
        ...retryAfter(error.retryAfterSec),
        extensions: { budget: error.budget },
      });
    case "headers_too_large":
      return problem(431, "Request headers too large", `Headers may hold at most ${error.maxChars} characters.`);
    case "internal":
      return problem(500, "Internal error", "Something broke on our side. The request id finds it in the log.");
    case "upstream_unreachable":
      return problem(502, "Upstream unreachable", "The upstream could not be reached.");
    case "storage_unavailable":
      return problem(
        503,
        "Storage unavailable",
        error.reason ?? "What this request needs cannot be reached just now.",
        retryAfter(error.retryAfterSec),
      );
    case "identity_unavailable":
      return problem(503, "Identity cannot be checked", "The identity provider's keys cannot be fetched just now.", {
        ...retryAfter(error.retryAfterSec),
      });
    case "draining":
      return problem(503, "Draining", "The stream is moving to a new version of the service.", {
        ...retryAfter(error.retryAfterSec),
      });
    case "misconfigured":
      return problem(503, "Service misconfigured", "Configuration faults keep the service from starting; see /ready.");
    case "upstream_timeout":
      return problem(504, "Upstream timeout", `The upstream sent no response head within ${error.timeoutMs} ms.`);
  }
}

/** Stable identifier of a problem type (RFC 9457, 3.1.1). */
export function problemType(code: ErrorCode): string {
  return `urn:spillway:problem:${code}`;
}
