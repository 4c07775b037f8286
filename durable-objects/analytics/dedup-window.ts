/**
 * Which events a shard has taken lately, by tenant, source and id: a bounded window of fingerprints.
 *
 * A fingerprint has 106 bits under the shard's own random seed: two events that only look the same would
 * cost the second one, and must not be something a tenant can bring about for another.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { hash53 } from "../hash53.ts";

/** Two halves of 53 bits each, exact in doubles. */
export interface Fingerprint {
  readonly high: number;
  readonly low: number;
}

/** Fingerprints of one append, packed: as objects they would cost five times the memory. */
interface Entry {
  readonly firstSeq: number;
  readonly packed: Float64Array;
}

/** No event's. */
const MOVED: Fingerprint = { high: -1, low: -1 };

export class DedupWindow {
  private readonly lowByHigh = new Map<number, number>();
  private readonly entries: Entry[] = [];
  private size = 0;
  private readonly maxEvents: number;
  private readonly maxAppends: number;

  constructor(maxEvents: number, maxAppends = Number.POSITIVE_INFINITY) {
    this.maxEvents = maxEvents;
    this.maxAppends = maxAppends;
  }

  /** First seq of the oldest append that is remembered. */
  get firstSeq(): number | undefined {
    return this.entries[0]?.firstSeq;
  }

  /** Whether the append that begins at this seq, the newest there is, is remembered. */
  holds(firstSeq: number): boolean {
    return this.entries.at(-1)?.firstSeq === firstSeq;
  }

  has({ high, low }: Fingerprint): boolean {
    return this.lowByHigh.get(high) === low;
  }

  /** Where events that the window {@link has} lie, by the high half. */
  seqsOf(fingerprints: readonly Fingerprint[]): ReadonlyMap<number, number> {
    const lowByHigh = new Map(fingerprints.map(({ high, low }) => [high, low]));
    const seqs = new Map<number, number>();
    if (lowByHigh.size === 0) return seqs;
    for (const { firstSeq, packed } of this.entries) {
      for (let at = 0; at < packed.length; at += 2) {
        const high = packed[at] ?? 0;
        const low = lowByHigh.get(high);
        if (low !== undefined && low === packed[at + 1]) seqs.set(high, firstSeq + at / 2);
      }
    }
    return seqs;
  }

  /** @returns first seqs of the appends that have left the window */
  add(firstSeq: number, fingerprints: readonly Fingerprint[]): number[] {
    this.entries.push({ firstSeq, packed: toPairs(fingerprints) });
    for (const { high, low } of fingerprints) this.lowByHigh.set(high, low);
    this.size += fingerprints.length;
    const left: number[] = [];
    while ((this.size > this.maxEvents || this.entries.length > this.maxAppends) && this.entries.length > 1) {
      const oldest = this.entries.shift();
      if (oldest === undefined) break;
      for (const fingerprint of fromPairs(oldest.packed)) this.forget(fingerprint);
      this.size -= oldest.packed.length / 2;
      left.push(oldest.firstSeq);
    }
    return left;
  }

  /** Appends of the range are forgotten, as if they had never come. */
  forgetRows(fromSeq: number, uptoSeq: number): void {
    for (let at = this.entries.length - 1; at >= 0; at--) {
      const entry = this.entries[at];
      if (entry === undefined || entry.firstSeq < fromSeq || entry.firstSeq > uptoSeq) continue;
      for (const fingerprint of fromPairs(entry.packed)) this.forget(fingerprint);
      this.size -= entry.packed.length / 2;
      this.entries.splice(at, 1);
    }
  }

  /**
   * Appends that hold any of the fingerprints, with nothing in their stead: the others keep their places. Changes
   * nothing yet.
   */
  rowsWithout(moved: readonly Fingerprint[]): { readonly firstSeq: number; readonly fingerprints: Uint8Array }[] {
    const lowByHigh = new Map(moved.map(({ high, low }) => [high, low]));
    const isMoved = ({ high, low }: Fingerprint) => lowByHigh.get(high) === low;
    return this.entries.flatMap(({ firstSeq, packed }) => {
      const fingerprints = fromPairs(packed);
      const left = fingerprints.map((fingerprint) => (isMoved(fingerprint) ? MOVED : fingerprint));
      return left.includes(MOVED) ? [{ firstSeq, fingerprints: packFingerprints(left) }] : [];
    });
  }

  /** What {@link rowsWithout} gave takes the place of what was there. */
  replace(
    rows: readonly { readonly firstSeq: number; readonly fingerprints: Uint8Array }[],
    moved: readonly Fingerprint[],
  ): void {
    const packedByRow = new Map(
      rows.map(({ firstSeq, fingerprints }) => [firstSeq, new Float64Array(fingerprints.slice().buffer)]),
    );
    for (const [at, { firstSeq, packed }] of this.entries.entries()) {
      const replaced = packedByRow.get(firstSeq);
      if (replaced === undefined) continue;
      this.size -= (packed.length - replaced.length) / 2;
      this.entries[at] = { firstSeq, packed: replaced };
    }
    for (const fingerprint of moved) this.forget(fingerprint);
  }

  private forget({ high, low }: Fingerprint): void {
    if (this.lowByHigh.get(high) === low) this.lowByHigh.delete(high);
  }
}

/** @param seed random, the shard's own, 32 bits */
export function fingerprintOf({ tenant, source, id }: LakeEvent, seed: number): Fingerprint {
  // Lengths keep the three parts apart: no other split of the same text gives the same input.
  const text = `${tenant.length}:${source.length}:${tenant}${source}${id}`;
  return { high: hash53(text, seed), low: hash53(text, Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) >>> 0) };
}

export function packFingerprints(fingerprints: readonly Fingerprint[]): Uint8Array {
  return new Uint8Array(toPairs(fingerprints).buffer);
}

export function unpackFingerprints(packed: ArrayBuffer): Fingerprint[] {
  return fromPairs(new Float64Array(packed));
}

function toPairs(fingerprints: readonly Fingerprint[]): Float64Array<ArrayBuffer> {
  const pairs = new Float64Array(fingerprints.length * 2);
  for (const [at, { high, low }] of fingerprints.entries()) {
    pairs[2 * at] = high;
    pairs[2 * at + 1] = low;
  }
  return pairs;
}

function fromPairs(pairs: Float64Array): Fingerprint[] {
  return Array.from({ length: pairs.length / 2 }, (_, at) => ({
    high: pairs[2 * at] ?? 0,
    low: pairs[2 * at + 1] ?? 0,
  }));
}
