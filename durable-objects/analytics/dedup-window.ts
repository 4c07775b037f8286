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

/** Fingerprints of one append, oldest window entry out first. */
interface Entry {
  readonly firstSeq: number;
  readonly fingerprints: readonly Fingerprint[];
}

export class DedupWindow {
  private readonly lowByHigh = new Map<number, number>();
  private readonly entries: Entry[] = [];
  private size = 0;
  private readonly maxEvents: number;

  constructor(maxEvents: number) {
    this.maxEvents = maxEvents;
  }

  has({ high, low }: Fingerprint): boolean {
    return this.lowByHigh.get(high) === low;
  }

  /** @returns first seqs of the appends that have left the window */
  add(firstSeq: number, fingerprints: readonly Fingerprint[]): number[] {
    this.entries.push({ firstSeq, fingerprints });
    for (const { high, low } of fingerprints) this.lowByHigh.set(high, low);
    this.size += fingerprints.length;
    const left: number[] = [];
    while (this.size > this.maxEvents && this.entries.length > 1) {
      const oldest = this.entries.shift();
      if (oldest === undefined) break;
      for (const { high, low } of oldest.fingerprints) {
        if (this.lowByHigh.get(high) === low) this.lowByHigh.delete(high);
      }
      this.size -= oldest.fingerprints.length;
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

const BYTES_PER_FINGERPRINT = 16;

export function packFingerprints(fingerprints: readonly Fingerprint[]): Uint8Array {
  const packed = new Float64Array(fingerprints.length * 2);
  for (const [at, { high, low }] of fingerprints.entries()) {
    packed[2 * at] = high;
    packed[2 * at + 1] = low;
  }
  return new Uint8Array(packed.buffer);
}

export function unpackFingerprints(packed: ArrayBuffer): Fingerprint[] {
  const numbers = new Float64Array(packed);
  const count = packed.byteLength / BYTES_PER_FINGERPRINT;
  return Array.from({ length: count }, (_, at) => ({ high: numbers[2 * at] ?? 0, low: numbers[2 * at + 1] ?? 0 }));
}
