/**
 * What the Worker and a stream object say to each other. Both ends are ours and deployed together:
 * these shapes are no public contract.
 *
 * Streams travel over `stub.fetch` (an RPC call has no abort signal), with the call's description
 * as JSON in one header; everything else is RPC with plain results.
 */
import type { ReadMode } from "./control-events.ts";
import type { EventId } from "./event-id.ts";
import type { SpillwayError } from "./errors.ts";
import type { PriorityRule } from "./priority.ts";
import type { ReliefPolicy } from "./relief.ts";
import type { StreamSettings } from "./stream-settings.ts";

/** The upstream call, complete but for its body. Secrets are in `headers`: never stored or logged. */
export interface UpstreamCall {
  /** `builtin:demo?…` or an absolute http(s) URL, from configuration alone plus the caller's query. */
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  /** Longest silence of the source, comments included; then the stream fails. */
  readonly idleTimeoutMs: number;
}

/** Who a stream belongs to and how it was asked for. Stored with the stream. */
export interface StreamIdentity {
  readonly requestId: string;
  readonly route: string;
  readonly tenant: string;
  readonly correlationId: string | undefined;
  /** SHA-256 of query and body, where the start carried an Idempotency-Key. */
  readonly fingerprint: string | undefined;
}

export interface StartCall {
  readonly kind: "start";
  readonly identity: StreamIdentity;
  readonly upstream: UpstreamCall;
  readonly settings: StreamSettings;
  readonly hasControlEvents: boolean;
  readonly priorityRules: readonly PriorityRule[];
  readonly relief: ReliefPolicy;
  readonly respondAsync: boolean;
  /** Where a retried start goes on. */
  readonly position: EventId;
  readonly isPositionExplicit: boolean;
  readonly acceptGap: boolean;
}

/** What a verified token says about the stream it is for. */
export interface StreamTicket {
  readonly requestId: string;
  readonly tenant: string;
  readonly route: string;
  /**
   * When the token was issued. A start repeated with its Idempotency-Key after the stream was deleted
   * begins a new stream under the same id: a token older than that is the old stream's.
   */
  readonly issuedAtSec: number;
  /** When the stream itself began, which tells them apart exactly; tokens of earlier versions do not say it. */
  readonly startedAtMs?: number | undefined;
  /** Whether to look for the stream in the archive too. */
  readonly readsArchive: boolean;
}

export interface ResumeCall {
  readonly kind: "resume";
  readonly ticket: StreamTicket;
  readonly position: EventId;
  /** Whether the reader named the position; otherwise it is its token's. */
  readonly isPositionExplicit: boolean;
  readonly mode: ReadMode;
  readonly acceptGap: boolean;
}

export type StreamCall = StartCall | ResumeCall;

export const CALL_HEADER = "x-spillway-call";
/** Set by the object on an answer whose body is a {@link SpillwayError} as JSON. */
export const ERROR_HEADER = "x-spillway-error";
/** Set by the object on an upstream's own answer that is not an event stream. */
export const PASS_THROUGH_HEADER = "x-spillway-pass-through";
export const DEGRADED_HEADER = "X-Spillway-Degraded";

/** Header values are byte strings: everything beyond ASCII is escaped. */
export function encodeCall(call: StreamCall): string {
  return JSON.stringify(call).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Trusts its input: only our Worker can reach an object. */
export function decodeCall(header: string): StreamCall {
  return JSON.parse(header) as StreamCall;
}

export type StreamState = "open" | "streaming" | "completed" | "failed" | "cancelled" | "interrupted" | "expired";

/** What `GET /{route}/status` answers. Times are ISO 8601. */
export interface StreamStatus {
  readonly request_id: string;
  readonly route: string;
  readonly correlation_id?: string;
  readonly state: StreamState;
  readonly reason?: string;
  readonly epoch: number;
  /** First retained id, or null where nothing is retained. */
  readonly first_id: string | null;
  readonly last_id: string;
  readonly events: number;
  readonly retained_events: number;
  readonly retained_bytes: number;
  readonly trimmed_events: number;
  readonly folded_events: number;
  readonly trimmed_payloads: number;
  readonly compressed_segments: number;
  readonly sampled_events: number;
  readonly resumes: number;
  readonly readers: number;
  readonly degraded: boolean;
  readonly started_at: string;
  readonly ended_at: string | null;
  /** When everything about the stream is deleted; null while it runs. */
  readonly expires_at: string | null;
}

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: SpillwayError };
