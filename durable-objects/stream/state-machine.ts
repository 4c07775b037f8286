/**
 * States of a stream and the moves between them. Pure.
 *
 *   open → streaming → completed | failed | cancelled | interrupted → expired
 *
 * `expired` is also reached from `open` and `streaming`, by a stream nobody feeds and nobody reads.
 */
import type { EndStatus } from "../../protocol/control-events.ts";
import type { StreamState } from "../../protocol/stream-call.ts";

type FinishedState = Exclude<StreamState, "open" | "streaming">;

/** What happens to a stream. */
export type StreamMove = "source_opened" | FinishedState;

const NEXT: Readonly<Record<StreamState, Readonly<Partial<Record<StreamMove, StreamState>>>>> = {
  open: {
    source_opened: "streaming",
    failed: "failed",
    cancelled: "cancelled",
    interrupted: "interrupted",
    expired: "expired",
  },
  streaming: {
    completed: "completed",
    failed: "failed",
    cancelled: "cancelled",
    interrupted: "interrupted",
    expired: "expired",
  },
  completed: { expired: "expired" },
  failed: { expired: "expired" },
  cancelled: { expired: "expired" },
  interrupted: { expired: "expired" },
  expired: {},
};

/** The state after a move, or `undefined` where the move does not exist. */
export function nextState(state: StreamState, move: StreamMove): StreamState | undefined {
  return NEXT[state][move];
}

export function isFinished(state: StreamState): state is FinishedState {
  return state !== "open" && state !== "streaming";
}

/** How a finished stream is told to its readers. */
export function endStatus(state: FinishedState): EndStatus {
  switch (state) {
    case "completed":
      return "complete";
    case "failed":
      return "error";
    case "cancelled":
      return "cancelled";
    case "interrupted":
      return "interrupted";
    case "expired":
      return "expired";
  }
}
