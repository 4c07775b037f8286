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

/** One call's look at the places: what storage says must not change while it is in use. */
export class EventPlaces {
  private readonly store: PlaceStore;
  private readonly life: string;
  private readonly nextSeq: number;
  private readonly isUsed: boolean;
  /** Looked at last, by life. */
  private readonly stretches = new Map<string, PlaceStretch>();
  private dropped: DroppedStretch | undefined;
  /** New seqs given in this call, by place. */
  private readonly moved = new Map<string, number>();
  private readonly movedRuns: PlaceRun[] = [];
  private readonly lastRuns = new Map<string, PlaceRun>();

  /** @param nextSeq the first seq that the shard has not given yet */
  constructor(store: PlaceStore, { life, nextSeq }: { readonly life: string; readonly nextSeq: number }) {
    this.store = store;
    this.life = life;
    this.nextSeq = nextSeq;
    this.isUsed = store.isUsed;
  }

  /**
   * The last place that an event had: it is there no more. P1, P2
   *
   * @returns `"there"` of an event that is; `undefined` where the place says nothing
   */
  vacated(place: EventPlace): EventPlace | "there" | undefined {
    // Of this life, but not given yet: storage was set back, or the line was made by hand. Another event will be there.
    if (place.life === this.life && place.seq >= this.nextSeq) return undefined;
    let last = place;
    for (let next = this.successorOf(last); next !== undefined; next = this.successorOf(last)) {
      last = { life: this.life, seq: next };
    }
    if (last.life !== this.life) return last;
    return last.seq < this.nextSeq && this.isDropped(last.seq) ? last : "there";
  }

  /** @param from has no successor: {@link vacated} gave it, or {@link hasMoved} said so. P1 */
  move(from: EventPlace, toSeq: number): void {
    const key = keyOf(from);
    if (this.moved.has(key)) return;
    this.moved.set(key, toSeq);
    const step = { fromSeq: from.seq, toSeq };
    const run = this.lastRuns.get(from.life);
    const isNew = run === undefined || !isNext(run, step);
    const longer = isNew ? { life: from.life, ...step, uptoSeq: from.seq } : { ...run, uptoSeq: from.seq };
    if (isNew) this.movedRuns.push(longer);
    else this.movedRuns[this.movedRuns.indexOf(run)] = longer;
    this.lastRuns.set(from.life, longer);
  }

  hasMoved(place: EventPlace): boolean {
    return this.successorOf(place) !== undefined;
  }

  /** What the call's transaction is to write. */
  get newRuns(): readonly PlaceRun[] {
    return this.movedRuns;
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
