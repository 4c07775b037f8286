/**
 * Whether the event at a place that an export names is still in the shard's keeping. A place is a shard's life
 * and a seq there; an event has a new one each time a reset has dropped it and a replay brings it back, or its
 * dead letter is sent back. Decides; what must outlive the process is the store's.
 *
 * - P1 a place has one successor at most, written in the transaction that gives the event its new place. So all
 *   places that an event ever had lead to the same last one, whichever of them an export names.
 * - P2 an event is there while its last place is one of this life that no reset has dropped: buffered, in the
 *   table, or a dead letter.
 */
import type { EventPlace } from "../../protocol/lake-call.ts";
import { isNext, type DroppedStretch, type PlaceRun, type PlaceStore, type PlaceStretch } from "./place-store.ts";

type PlacesGiven = readonly (EventPlace | undefined)[];

/** One call's look at the places: what storage says must not change while it is in use. */
export class EventPlaces {
  /** The first seq that the shard has not given yet. */
  readonly nextSeq: number;
  readonly life: string;
  private readonly store: PlaceStore;
  private readonly given: PlacesGiven;
  private readonly isUsed: boolean;
  /** Looked at last, by life. */
  private readonly stretches = new Map<string, PlaceStretch>();
  private dropped: DroppedStretch | undefined;
  /** New seqs given in this call, by place. */
  private readonly moved = new Map<string, number>();
  private readonly runs: PlaceRun[] = [];
  /** Which of them goes on, by life. */
  private readonly lastRuns = new Map<string, number>();

  constructor(store: PlaceStore, shard: { readonly life: string; readonly nextSeq: number }, given: PlacesGiven = []) {
    this.store = store;
    this.life = shard.life;
    this.nextSeq = shard.nextSeq;
    this.given = given;
    this.isUsed = store.isUsed;
  }

  /**
   * Of the call's event at this index, the last place that an event had: it is there no more. P1, P2
   *
   * @returns `"there"` of an event that is; `undefined` where the place says nothing
   */
  vacated(at: number): EventPlace | "there" | undefined {
    const place = this.given[at];
    // Of this life, but not given yet: storage was set back, or the line was made by hand. Another event will be there.
    if (place === undefined || (place.life === this.life && place.seq >= this.nextSeq)) return undefined;
    let last = place;
    for (let next = this.successorOf(last); next !== undefined; next = this.successorOf(last)) {
      last = { life: this.life, seq: next };
    }
    if (last.life !== this.life) return last;
    return last.seq < this.nextSeq && this.isDropped(last.seq) ? last : "there";
  }

  /** A dead letter's event goes back into the buffer. */
  moveOwn(fromSeq: number, toSeq: number): void {
    const from = { life: this.life, seq: fromSeq };
    // A replay has brought it before where very old ranges have become one.
    if (this.successorOf(from) === undefined) this.move(from, toSeq);
  }

  /** @param from as {@link vacated} gave it: without a successor. P1 */
  move(from: EventPlace, toSeq: number): void {
    const key = keyOf(from);
    if (this.moved.has(key)) return;
    this.moved.set(key, toSeq);
    const runAt = this.lastRuns.get(from.life) ?? -1;
    const run = this.runs[runAt];
    if (run !== undefined && isNext(run, { fromSeq: from.seq, toSeq })) {
      this.runs[runAt] = { ...run, uptoSeq: from.seq };
      return;
    }
    this.lastRuns.set(from.life, this.runs.length);
    this.runs.push({ life: from.life, fromSeq: from.seq, uptoSeq: from.seq, toSeq });
  }

  /** What the call's transaction is to write. */
  get newRuns(): readonly PlaceRun[] {
    return this.runs;
  }

  private successorOf({ life, seq }: EventPlace): number | undefined {
    const movedTo = this.moved.get(keyOf({ life, seq }));
    if (movedTo !== undefined || !this.isUsed) return movedTo;
    let stretch = this.stretches.get(life);
    if (stretch === undefined || seq < stretch.fromSeq || seq > stretch.uptoSeq) {
      stretch = this.store.stretchOf(life, seq);
      this.stretches.set(life, stretch);
    }
    const { run } = stretch;
    return run === undefined ? undefined : run.toSeq + (seq - run.fromSeq);
  }

  private isDropped(seq: number): boolean {
    if (!this.isUsed) return false;
    if (this.dropped === undefined || seq < this.dropped.fromSeq || seq > this.dropped.uptoSeq) {
      this.dropped = this.store.droppedStretchOf(seq);
    }
    return this.dropped.isDropped;
  }
}

function keyOf({ life, seq }: EventPlace): string {
  return `${life} ${seq}`;
}
