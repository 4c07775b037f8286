/**
 * Events of one append as the rows that hold them. Pure.
 */
import { dayOf, type LakeEvent } from "../../protocol/lake-event.ts";
import { encodePayload, splitIntoRows } from "./append-payload.ts";
import { packFingerprints, type Fingerprint } from "./dedup-window.ts";
import type { NewAppend } from "./shard-store.ts";

export interface TakenNow {
  readonly events: readonly LakeEvent[];
  /** Of each event. */
  readonly fingerprints: readonly Fingerprint[];
  readonly isRiding: boolean;
}

export function toAppends(taken: TakenNow, fromSeq: number, nowMs: number): NewAppend[] {
  const appends: NewAppend[] = [];
  let firstSeq = fromSeq;
  let at = 0;
  for (const events of splitIntoRows(taken.events)) {
    const payload = encodePayload(events);
    const days = new Set(events.map((event) => dayOf(event.timeUs)));
    appends.push({
      firstSeq,
      eventCount: events.length,
      byteSize: payload.byteLength,
      dayCount: days.size,
      firstDay: Math.min(...days),
      appendedAtMs: nowMs,
      isRiding: taken.isRiding,
      fingerprints: packFingerprints(taken.fingerprints.slice(at, at + events.length)),
      payload,
    });
    firstSeq += events.length;
    at += events.length;
  }
  return appends;
}
