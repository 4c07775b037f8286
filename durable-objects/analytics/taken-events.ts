/**
 * Which events a shard has taken lately, and which emptied rows nobody needs any more: a row stays for its
 * fingerprints after its events are in the table. Decides; the rows themselves are the store's.
 *
 * - T1 what a buffered event is known by lies in its own row: whoever drops the row forgets the event.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { DedupWindow, fingerprintOf, unpackFingerprints, type Fingerprint } from "./dedup-window.ts";
import { WINDOW_MAX_ROWS, type RowFingerprints, type RowsGone } from "./shard-store.ts";

/** Events whose fingerprints a shard remembers. About 80 bytes of memory each. */
export const DEDUP_WINDOW_EVENTS = 50_000;

/** Events of a call that are new, each with its fingerprint, and the places of those that are not. */
export interface Sifted {
  readonly fresh: readonly LakeEvent[];
  readonly fingerprints: readonly Fingerprint[];
  readonly duplicates: readonly number[];
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

  /** Which of the events have not been taken before, in the window or earlier in the call. */
  sift(events: readonly LakeEvent[]): Sifted {
    const fresh: LakeEvent[] = [];
    const fingerprints: Fingerprint[] = [];
    const duplicates: number[] = [];
    const inCall = new Map<number, number>();
    for (const [at, event] of events.entries()) {
      const fingerprint = fingerprintOf(event, this.seed);
      if (this.window.has(fingerprint) || inCall.get(fingerprint.high) === fingerprint.low) {
        duplicates.push(at);
        continue;
      }
      inCall.set(fingerprint.high, fingerprint.low);
      fresh.push(event);
      fingerprints.push(fingerprint);
    }
    return { fresh, fingerprints, duplicates };
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
