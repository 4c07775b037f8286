/**
 * Which events a shard has taken lately, and which emptied rows nobody needs any more: a row stays for its
 * fingerprints after its events are in the table. Decides; the rows themselves are the store's.
 *
 * - T1 what a buffered event is known by lies in its own row: whoever drops the row forgets the event.
 */
import type { EventPlace } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { DedupWindow, fingerprintOf, unpackFingerprints, type Fingerprint } from "./dedup-window.ts";
import type { EventPlaces } from "./event-places.ts";
import { WINDOW_MAX_ROWS, type RowFingerprints, type RowsGone } from "./shard-store.ts";

/** Events whose fingerprints a shard remembers. About 80 bytes of memory each. */
export const DEDUP_WINDOW_EVENTS = 50_000;

/** Events of a call that are new, each with its fingerprint, and the places of those that are not. */
export interface Sifted {
  readonly fresh: readonly LakeEvent[];
  readonly fingerprints: readonly Fingerprint[];
  readonly duplicates: readonly number[];
}

/** What one call has given so far. */
class Sieve implements Sifted {
  readonly fresh: LakeEvent[] = [];
  readonly fingerprints: Fingerprint[] = [];
  readonly duplicates: number[] = [];
  private readonly window: DedupWindow;
  private readonly inCall = new Map<number, number>();

  constructor(window: DedupWindow) {
    this.window = window;
  }

  /** @returns its place among the fresh ones, also of the one that it repeats; `undefined` where the window has it */
  take(at: number, event: LakeEvent, fingerprint: Fingerprint): number | undefined {
    const earlier = this.inCall.get(fingerprint.high);
    const isRepeated = earlier !== undefined && this.fingerprints[earlier]?.low === fingerprint.low;
    const isKnown = this.window.has(fingerprint);
    if (isRepeated || isKnown) {
      this.duplicates.push(at);
      return isKnown ? undefined : earlier;
    }
    this.inCall.set(fingerprint.high, this.fresh.length);
    this.fresh.push(event);
    this.fingerprints.push(fingerprint);
    return this.fresh.length - 1;
  }
}

export class TakenEvents {
  private readonly seed: number;
  private readonly window = new DedupWindow(DEDUP_WINDOW_EVENTS, WINDOW_MAX_ROWS);
  /** Emptied rows that have left the window: they go with the next append. */
  private dueForRemoval: number[] = [];
  /** Emptied rows before this one go with the next append, too: where a restart has forgotten which. */
  private forgottenBelow: number | undefined;

  constructor(
    seed: number,
    stored: { readonly window: readonly { firstSeq: number; fingerprints: ArrayBuffer }[]; readonly nextSeq: number },
  ) {
    this.seed = seed;
    for (const { firstSeq, fingerprints } of stored.window) this.window.add(firstSeq, unpackFingerprints(fingerprints));
    // Rows that an earlier process has left behind go with the next append.
    this.forgottenBelow = this.firstRowOr(stored.nextSeq);
  }

  /**
   * Which of the events have not been taken before, in the window or earlier in the call.
   *
   * @param places of events that a replay brings: they decide first, however long ago an event was there. What they
   *   have to remember of this call is noted in them
   */
  sift(events: readonly LakeEvent[], places?: EventPlaces): Sifted {
    const sieve = new Sieve(this.window);
    const known: { readonly last: EventPlace; readonly fingerprint: Fingerprint }[] = [];
    for (const [at, event] of events.entries()) {
      const last = places?.vacated(at);
      if (last === "there") {
        sieve.duplicates.push(at);
        continue;
      }
      const fingerprint = fingerprintOf(event, this.seed);
      const freshAt = sieve.take(at, event, fingerprint);
      if (last === undefined) continue;
      if (freshAt === undefined) known.push({ last, fingerprint });
      else places?.move(last, places.nextSeq + freshAt);
    }
    // There by its id alone, because its producer has sent it again: where it was before leads there now.
    const seqs = this.window.seqsOf(known.map(({ fingerprint }) => fingerprint));
    for (const { last, fingerprint } of known) {
      const seq = seqs.get(fingerprint.high);
      if (seq !== undefined) places?.move(last, seq);
    }
    return sieve;
  }

  fingerprintsOf(events: readonly LakeEvent[]): Fingerprint[] {
    return events.map((event) => fingerprintOf(event, this.seed));
  }

  /** What the next append removes with its own write. */
  rowsGone(): RowsGone {
    return { firstSeqs: this.dueForRemoval, forgottenBelow: this.forgottenBelow };
  }

  /** That append is written. */
  noteRowsGone(): void {
    this.dueForRemoval = [];
    this.forgottenBelow = undefined;
  }

  /** @param isBuffered whether the row that begins there still holds events */
  remember(firstSeq: number, fingerprints: readonly Fingerprint[], isBuffered: (firstSeq: number) => boolean): void {
    const left = this.window.add(firstSeq, fingerprints);
    this.dueForRemoval.push(...left.filter((row) => !isBuffered(row)));
  }

  /** First seq of the oldest row whose fingerprints are needed. */
  firstRowOr(nextSeq: number): number {
    return this.window.firstSeq ?? nextSeq;
  }

  /** The newest row has been emptied: it stays for its seq, and goes with the next append unless it is needed. */
  noteNewestEmptied(newestRow: number): void {
    if (!this.window.holds(newestRow)) this.dueForRemoval.push(newestRow);
  }

  /** Rows of the range, and with them what they were known by, are there no more. T1 */
  forgetRows(fromSeq: number, uptoSeq: number): void {
    this.window.forgetRows(fromSeq, uptoSeq);
  }

  /**
   * What rows are to hold instead, where events of theirs move to a row of their own. T1
   *
   * @returns the rows to be written; pass them to {@link noteMoved} once they are
   */
  rowsWithout(moved: readonly Fingerprint[]): RowFingerprints[] {
    return this.window.rowsWithout(moved);
  }

  noteMoved(rows: readonly RowFingerprints[], moved: readonly Fingerprint[]): void {
    this.window.replace(rows, moved);
  }
}
