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

  /** @returns first seqs of the appends that have left the window */
  add(firstSeq: number, fingerprints: readonly Fingerprint[]): number[] {
    this.entries.push({ firstSeq, packed: toPairs(fingerprints) });
    for (const { high, low } of fingerprints) this.lowByHigh.set(high, low);
    this.size += fingerprints.length;
    const left: number[] = [];
    while ((this.size > this.maxEvents || this.entries.length > this.maxAppends) && this.entries.length > 1) {
      const oldest = this.entries.shift();
      if (oldest === undefined) break;
      for (const { high, low } of fromPairs(oldest.packed)) {
        if (this.lowByHigh.get(high) === low) this.lowByHigh.delete(high);
      }
      this.size -= oldest.packed.length / 2;
      left.push(oldest.firstSeq);
    }
    return left;
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
