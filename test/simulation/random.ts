/**
 * The simulator's only source of chance: one seed, one sequence, on every machine.
 *
 * sfc32 (PractRand, public domain): small, fast, and good enough that schedules do not repeat.
 */
const UINT32_RANGE = 4_294_967_296;
const WARM_UP_ROUNDS = 15;

export class Random {
  private a: number;
  private b = 0x9e3779b9;
  private c = 0x243f6a88;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed >>> 0;
    this.b ^= Math.floor(seed / UINT32_RANGE) >>> 0;
    for (let round = 0; round < WARM_UP_ROUNDS; round++) this.nextUint32();
  }

  /** In [0, 1). */
  fraction(): number {
    return this.nextUint32() / UINT32_RANGE;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1));
  }

  /** Like {@link int}, small numbers being as likely as large ones on a scale of magnitudes. */
  magnitude(min: number, max: number): number {
    return Math.min(max, Math.floor(min * ((max + 1) / min) ** this.fraction()));
  }

  /** @throws for an empty list */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.fraction() * items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** One of the names, each as likely as its weight says. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const names = Object.keys(weights) as T[];
    let total = 0;
    for (const name of names) total += weights[name];
    let left = this.fraction() * total;
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    return this.pick(names);
  }

  private nextUint32(): number {
    const sum = (((this.a + this.b) >>> 0) + this.counter) >>> 0;
    this.counter = (this.counter + 1) >>> 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) >>> 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) >>> 0;
    this.c = (this.c + sum) >>> 0;
    return sum;
  }
}
