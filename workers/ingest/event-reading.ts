/**
 * What the readers of single events share: what they are given, and what they say.
 */
import type { EventRejection } from "../../protocol/errors.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";

/** What an event gets that does not say it itself. */
export interface EventDefaults {
  readonly tenant: string;
  /** Microseconds since 1970. */
  readonly nowUs: number;
  /** A new id for each call, for instance a random UUID. */
  readonly randomId: () => string;
}

/** Why one event is not taken; its place in the request is added later. */
export type EventFault = Omit<EventRejection, "index">;

export type EventReading =
  | { readonly ok: true; readonly event: LakeEvent }
  | { readonly ok: false; readonly fault: EventFault };

export type JsonObject = Readonly<Record<string, unknown>>;

/** The reading of an event whose attribute `field` is at fault. */
export function invalidEvent(field: string, detail: string): { readonly ok: false; readonly fault: EventFault } {
  return { ok: false, fault: { code: "invalid_event", field, detail } };
}
