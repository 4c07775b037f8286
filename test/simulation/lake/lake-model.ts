/**
 * What the lake has promised, in plain terms: every event a shard has taken, under the number it got, and
 * which of them must be recognised when they come again.
 */
import type { EventPlace } from "../../../protocol/lake-call.ts";
import type { LakeEvent, LakeRow } from "../../../protocol/lake-event.ts";
import { OWN_SOURCE_PREFIX } from "../../../protocol/telemetry-event.ts";
import type { Drop, Take } from "./sim-shard.ts";
import { breach } from "./lake-violation.ts";

const MICROS_PER_MS = 1000;

export interface Taken {
  readonly event: LakeEvent;
  readonly shard: string;
  readonly seq: number;
  readonly takenAtMs: number;
  readonly isRiding: boolean;
  /** Its row was damaged on disk: it cannot come to the table any more. */
  isDamaged: boolean;
  /** An operator had it dropped: it lies in the bucket, and nowhere else any more. */
  isDropped: boolean;
  /** Of the last count: where it was found. */
  place: string | undefined;
  countedIn: number;
  /** Itself, or what it was when it came first, before replays brought it back. */
  readonly first: Taken | undefined;
  /** Of what came first: what it is now. */
  latest: Taken | undefined;
}

export class LakeModel {
  /** By shard; the place is the seq less one. */
  readonly taken = new Map<string, Taken[]>();
  /** By the text a damaged row holds now. */
  readonly damaged = new Map<string, readonly Taken[]>();
  /** By identity: how many the shard had taken when it took it last, and how many with it. */
  private readonly lastTaken = new Map<string, { readonly order: number; readonly appended: number }>();
  /** Identities that a reset has made a shard forget. */
  private readonly forgotten = new Set<string>();
  /** Identities of dropped events that are replayed: each has to be taken again. */
  readonly replayed = new Set<string>();
  private readonly lastOfIdentity = new Map<string, Taken>();
  private readonly ownTaken = new Map<string, number>();
  private readonly takenByShard = new Map<number, number>();
  /** Events that a shard's window holds. */
  private readonly windowEvents: number;

  constructor(windowEvents: number) {
    this.windowEvents = windowEvents;
  }

  take({ index, shard, firstSeq, events, isRiding, isReplayed, places, takenAtMs }: Take): void {
    const all = this.taken.get(shard) ?? [];
    this.taken.set(shard, all);
    for (const [at, event] of events.entries()) {
      const seq = firstSeq + at;
      if (all.length !== seq - 1) {
        breach("L2 numbers are never used twice", `${shard} gives seq ${seq} after ${all.length} events`);
      }
      const first = this.firstOf(places[at]);
      const taken: Taken = {
        event,
        shard,
        seq,
        takenAtMs,
        isRiding,
        isDamaged: false,
        isDropped: false,
        place: undefined,
        countedIn: 0,
        first,
        latest: undefined,
      };
      all.push(taken);
      if (first !== undefined) first.latest = taken;
      this.lastOfIdentity.set(identityOf(index, event), taken);
      if (event.source.startsWith(OWN_SOURCE_PREFIX) && !isReplayed)
        this.ownTaken.set(shard, this.ownEventsOf(shard) + 1);
      this.noteIdentity(index, event, events.length);
    }
  }

  /** What a replay takes has left every place it ever had. */
  private firstOf(place: EventPlace | undefined): Taken | undefined {
    const known = place === undefined ? undefined : this.at(place.life, place.seq);
    const first = known?.first ?? known;
    const last = first?.latest ?? first;
    if (last !== undefined && !last.isDropped) {
      breach("L1 nothing counts twice", `${place?.life}/${place?.seq} is replayed, and is there: ${last.seq}`);
    }
    return first;
  }

  /** A shard has acknowledged a replay of these: each is there, whether it was taken now or earlier. */
  checkReplayed(index: number, events: readonly LakeEvent[]): void {
    for (const event of events) {
      const taken = this.lastOfIdentity.get(identityOf(index, event));
      if (taken === undefined || taken.isDropped) {
        breach("L1 nothing acknowledged is lost", `${event.id} is replayed, and still dropped`);
      }
    }
  }

  /** The service's own events that a shard has taken. */
  ownEventsOf(shard: string): number {
    return this.ownTaken.get(shard) ?? 0;
  }

  /** Those of them that a restart may not be able to read again. */
  damagedOwnEventsOf(shard: string): number {
    return (this.taken.get(shard) ?? []).filter(
      ({ event, isDamaged }) => isDamaged && event.source.startsWith(OWN_SOURCE_PREFIX),
    ).length;
  }

  private noteIdentity(index: number, event: LakeEvent, appended: number): void {
    const order = (this.takenByShard.get(index) ?? 0) + 1;
    this.takenByShard.set(index, order);
    const identity = identityOf(index, event);
    const before = this.lastTaken.get(identity);
    // Whole appends leave the window: with the oldest event of one, its newest.
    const isForgotten = this.forgotten.delete(identity);
    this.replayed.delete(identity);
    if (before !== undefined && !isForgotten && order - before.order < this.windowEvents - before.appended) {
      breach("duplicates are recognised", `${identity} is taken again after ${order - before.order} events`);
    }
    this.lastTaken.set(identity, { order, appended });
  }

  /** A shard has let go of these, and forgotten them. @returns them */
  drop({ index, shard, fromSeq, uptoSeq }: Drop): readonly Taken[] {
    const dropped = this.taken.get(shard)?.slice(fromSeq - 1, uptoSeq) ?? [];
    for (const taken of dropped) {
      taken.isDropped = true;
      taken.place = "exports";
      this.forgotten.add(identityOf(index, taken.event));
    }
    return dropped;
  }

  /** What a reset has dropped is sent again. */
  expectAgain(index: number, events: readonly LakeEvent[]): void {
    for (const event of events) this.replayed.add(identityOf(index, event));
  }

  /** A producer was told that all of these are safe. */
  acknowledge(index: number, events: readonly LakeEvent[]): void {
    const missing = events.find((event) => !this.lastTaken.has(identityOf(index, event)));
    if (missing !== undefined) breach("L1 nothing acknowledged is lost", `${missing.id} is acknowledged, not taken`);
  }

  /** A row of these events holds `text` now, and nothing else. */
  damage(text: string, row: { readonly shard: string; readonly firstSeq: number; readonly count: number }): void {
    const first = row.firstSeq - 1;
    const events = this.taken.get(row.shard)?.slice(first, first + row.count) ?? [];
    for (const taken of events) taken.isDamaged = true;
    // Damaged before: what counts is what it was damaged to last.
    for (const [earlier, known] of this.damaged) if (known[0] === events[0]) this.damaged.delete(earlier);
    this.damaged.set(text, events);
  }

  at(shard: string, seq: number): Taken | undefined {
    return this.taken.get(shard)?.[seq - 1];
  }

  /** @returns what the row of the table stands for */
  match(row: LakeRow): Taken {
    const found = this.at(row.shard, row.seq);
    if (found === undefined) {
      breach("L1 nothing counts twice", `the table has ${row.shard}/${row.seq}, which no shard has taken`);
    }
    const { event } = found;
    const expected: LakeRow = {
      ...event,
      shard: found.shard,
      seq: found.seq,
      ingestTimeUs: found.takenAtMs * MICROS_PER_MS,
    };
    for (const [name, value] of Object.entries(expected)) {
      if (Reflect.get(row, name) !== value) {
        const got = String(Reflect.get(row, name));
        breach("L1 rows are what was taken", `${row.shard}/${row.seq}: ${name} is ${got}, taken was ${String(value)}`);
      }
    }
    return found;
  }

  /** Must become a dead letter, and never a row. */
  isPoison({ event, isDamaged }: Taken): boolean {
    return isDamaged || !Number.isSafeInteger(event.timeUs);
  }

  *all(): IterableIterator<Taken> {
    for (const list of this.taken.values()) yield* list;
  }
}

function identityOf(index: number, { tenant, source, id }: LakeEvent): string {
  return JSON.stringify([index, tenant, source, id]);
}
