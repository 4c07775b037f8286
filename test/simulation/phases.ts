/**
 * What a simulated stream is in when something strikes it: one word of a list, for the coverage of states
 * by faults.
 */
import type { SimObject } from "./sim-object.ts";

export const STREAM_PHASES = [
  "beginning",
  "open",
  "streaming",
  "streaming, three quarters full",
  "degraded",
  "end not told yet",
  "completed",
  "failed",
  "cancelled",
  "interrupted",
  "expired",
  "asleep",
] as const;
export type StreamPhase = (typeof STREAM_PHASES)[number];

export const STREAM_FAULTS = [
  "crash between turns",
  "crash in the middle of a turn",
  "crash in the middle of a transaction",
  "refused write",
  "refused read",
  "clock set back",
  "clock jump over deadlines",
  "reader disconnects",
  "reader disconnects within an event",
  "reader stalls",
  "stalled reader removed",
  "reader comes back",
  "eviction",
  "fold",
  "trimmed payload",
  "compression",
  "snapshot overtaken",
  "restart",
] as const;
export type StreamFault = (typeof STREAM_FAULTS)[number];

export function phaseOf(object: SimObject): StreamPhase {
  const { session, model, hasPendingEnd } = object;
  if (session === undefined) return model.durable === undefined ? "beginning" : "asleep";
  if (session.isDegraded) return "degraded";
  if (hasPendingEnd) return "end not told yet";
  if (model.state === "streaming" && model.retained.isPressed) return "streaming, three quarters full";
  return model.state;
}
