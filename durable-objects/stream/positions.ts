/**
 * Ids and seqs of one stream: which epoch an event belongs to, and where a reader's id stands. Pure.
 */
import { START_POSITION, type EventId } from "../../protocol/event-id.ts";
import type { Epoch } from "./stream-store.ts";

/** Where a reader's id stands in a stream. */
export type Located =
  | { readonly kind: "here"; readonly seq: number }
  /** The reader saw events that died with an earlier incarnation of the object. */
  | { readonly kind: "rewound"; readonly seq: number }
  /** No event of this stream ever had this id. */
  | { readonly kind: "unknown" };

/** The id an event was sent under. */
export function idInEpochs(epochs: readonly Epoch[], seq: number): EventId {
  if (seq === 0) return START_POSITION;
  for (let at = epochs.length - 1; at >= 0; at--) {
    const epoch = epochs[at];
    if (epoch !== undefined && epoch.firstSeq <= seq) return { epoch: epoch.epoch, seq };
  }
  throw new Error(`no epoch holds seq ${seq}`);
}

/** @param lastSeq the newest event's */
export function locateInEpochs(epochs: readonly Epoch[], lastSeq: number, position: EventId): Located {
  if (position.seq === 0) return { kind: "here", seq: 0 };
  const at = epochs.findIndex((candidate) => candidate.epoch === position.epoch);
  const epoch: Epoch | undefined = epochs[at];
  if (epoch === undefined || position.seq < epoch.firstSeq) return { kind: "unknown" };
  const next = epochs[at + 1];
  const lastOfEpoch = next === undefined ? lastSeq : next.firstSeq - 1;
  if (position.seq <= lastOfEpoch) return { kind: "here", seq: position.seq };
  return next === undefined ? { kind: "unknown" } : { kind: "rewound", seq: lastOfEpoch };
}
