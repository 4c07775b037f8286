/**
 * The in-band control events of a stream: their names and payloads, as readers see them.
 */

/** How a stream ended, as `end` says it. */
export type EndStatus = "complete" | "error" | "cancelled" | "interrupted" | "expired";

/** Why a stream ended other than complete; stable, for programs. */
export type EndReason =
  | "upstream_reset"
  | "upstream_stalled"
  | "upstream_refused"
  | "upstream_unreachable"
  | "upstream_timeout"
  | "event_too_large"
  | "internal"
  | "object_restarted"
  | "cancelled_by_caller"
  | "cancelled_by_operator"
  | "abandoned";

export interface ResumeEvent {
  readonly request_id: string;
  readonly token: string;
  /** ISO 8601. */
  readonly expires_at: string;
  readonly mode: ReadMode;
}

/** `live`: replay, then follow. `replay`: what there is, then close. `snapshot`: all so far as one event, then follow. */
export type ReadMode = "live" | "replay" | "snapshot";
export const READ_MODES: readonly ReadMode[] = ["live", "replay", "snapshot"];

export type GapReason = "buffer_trimmed" | "storage_lost";

export interface GapEvent {
  /** Id of the first missing event. */
  readonly from: string;
  /** Id of the last missing event; also the frame's own id. */
  readonly to: string;
  readonly dropped: number;
  readonly reason: GapReason;
}

/** The reader has seen events that died with the object before they were durable. */
export interface RewindEvent {
  /** The id the reader came with. */
  readonly client: string;
  /** The last id that survived: the reader drops what it has beyond it. */
  readonly durable: string;
  readonly epoch: number;
}

export type DegradedKind = "storage" | "object";

export interface Diagnostics {
  /** Times a reader came back to this stream. */
  readonly resumes: number;
  /** Events evicted from the buffer. */
  readonly trims: number;
  /** Events that resumed readers were sent from the buffer. */
  readonly recovered_events: number;
  /** Events that were folded into a later one: nothing of them is missing. */
  readonly folded_events: number;
  /** Events kept without their verbose fields. */
  readonly trimmed_payloads: number;
  readonly compressed_segments: number;
  /** Low-priority events that were sent live and not kept; also counted in `trims`. */
  readonly sampled_events: number;
}

export interface EndEvent {
  readonly status: EndStatus;
  readonly last_id: string;
  readonly reason?: EndReason;
  readonly diagnostics: Diagnostics;
}
