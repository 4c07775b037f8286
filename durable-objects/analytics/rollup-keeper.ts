/**
 * Keeps a shard's sums exact over crashes without a write of their own for each append: saved when events
 * leave or much has come, and between two saves counted again from the rows that are still there.
 *
 * What one turn of an object writes is kept or lost as one: a save and the writes of the same turn are.
 *
 * - R1 what is saved covers every event up to its seq and none after it: nothing counts twice;
 * - R2 events leave storage only after sums with them in it are saved: no counter goes back;
 * - R3 what a start has to read again is bounded: {@link SAVE_AFTER}.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { decodePayload } from "./append-payload.ts";
import { isOwn } from "./rollup-record.ts";
import type { RollupStore } from "./rollup-store.ts";
import { Rollup } from "./rollup.ts";
import type { ShardStore } from "./shard-store.ts";

/** The next append saves what there was before it, once so much has come since the last save. R3 */
export const SAVE_AFTER = {
  ownEvents: 5_000,
  /** While there are any. */
  ms: 60_000,
  /** Of whatever kind: a start reads them to see whose they are. */
  events: 20_000,
  bytes: 8 * 1024 * 1024,
} as const;

interface Unsaved {
  readonly ownEvents: number;
  readonly events: number;
  readonly bytes: number;
}

const NOTHING: Unsaved = { ownEvents: 0, events: 0, bytes: 0 };

export class RollupKeeper {
  readonly rollup: Rollup;
  private readonly store: RollupStore;
  private unsaved = NOTHING;
  /** When the first append came after the last save. */
  private sinceMs: number | undefined;
  private counted = 0;

  /** Reads what is saved, and counts again what has come since. */
  static load(store: ShardStore, lastSeq: number): RollupKeeper {
    const stored = store.rollups.load();
    const keeper = new RollupKeeper(store.rollups, Rollup.read(stored?.state));
    let fromSeq = (stored?.uptoSeq ?? 0) + 1;
    while (fromSeq <= lastSeq) {
      const row = store.nextPayload(fromSeq, lastSeq);
      if (row === undefined) break;
      keeper.note(readEvents(row.payload), [{ byteSize: row.payload.byteLength }]);
      fromSeq = row.firstSeq + row.eventCount;
    }
    return keeper;
  }

  private constructor(store: RollupStore, rollup: Rollup) {
    this.store = store;
    this.rollup = rollup;
  }

  /** Own events counted since this object was made. */
  get ownEvents(): number {
    return this.counted;
  }

  /** Events that have just been taken, in these rows. */
  note(events: readonly LakeEvent[], rows: readonly { readonly byteSize: number }[]): void {
    let ownEvents = 0;
    for (const event of events) {
      if (!isOwn(event)) continue;
      ownEvents++;
      this.rollup.note(event);
    }
    this.counted += ownEvents;
    const { unsaved } = this;
    this.unsaved = {
      ownEvents: unsaved.ownEvents + ownEvents,
      events: unsaved.events + events.length,
      bytes: unsaved.bytes + rows.reduce((sum, { byteSize }) => sum + byteSize, 0),
    };
  }

  /**
   * In the transaction that takes events for a second time, which were counted the first time: a start must not
   * count them again. R1
   *
   * @param lastSeq the last of them
   * @throws where storage refuses: then they are not taken
   */
  skip(events: readonly LakeEvent[], lastSeq: number): void {
    if (events.some(isOwn)) this.save(lastSeq);
  }

  /** Before an append. @param lastSeq the newest event's there is */
  saveIfDue(lastSeq: number, nowMs: number): void {
    this.sinceMs ??= nowMs;
    const { ownEvents, events, bytes } = this.unsaved;
    // A clock that was set back must not put it off.
    const isOld = ownEvents > 0 && Math.abs(nowMs - this.sinceMs) >= SAVE_AFTER.ms;
    const isMuch = ownEvents >= SAVE_AFTER.ownEvents || events >= SAVE_AFTER.events || bytes >= SAVE_AFTER.bytes;
    if (!isOld && !isMuch) return;
    try {
      this.save(lastSeq);
    } catch {
      // Storage refuses just now: it is due with the next append, too.
    }
  }

  /** Before events leave. @throws where storage refuses: then they must stay R2 */
  saveIfChanged(lastSeq: number): void {
    if (this.unsaved.ownEvents > 0) this.save(lastSeq);
  }

  private save(uptoSeq: number): void {
    this.store.put({ uptoSeq, state: this.rollup.toText() });
    this.unsaved = NOTHING;
    this.sinceMs = undefined;
  }
}

function readEvents(payload: Uint8Array): readonly LakeEvent[] {
  try {
    return decodePayload(payload, { firstSeq: 0, ingestTimeUs: 0, shard: "" });
  } catch {
    // A damaged row: what it told is lost to the sums, as it is to the table.
    return [];
  }
}
