/**
 * Sums of counters over all shards and all their lives, out of what each shard says of its own. Pure but for
 * what it holds.
 *
 * - T1 a sum never falls: a shard out of reach keeps its last values, a shard that begins a new life adds to
 *   those of the old one.
 */
import { COUNTERS, HISTOGRAMS, type CounterName, type Histogram, type HistogramName } from "../../protocol/rollup.ts";

/** Counts by label values joined with `|`. */
type Series = Readonly<Record<string, number>>;

export interface Sums {
  readonly counters: Readonly<Partial<Record<CounterName, Series>>>;
  readonly histograms: Readonly<Partial<Record<HistogramName, Histogram>>>;
}

/** The highest that one life of a shard has said. */
export interface ShardTally extends Sums {
  readonly shard: string;
}

export const NO_SUMS: Sums = { counters: {}, histograms: {} };

export const COUNTER_NAMES = Object.keys(COUNTERS) as CounterName[];
export const HISTOGRAM_NAMES = Object.keys(HISTOGRAMS) as HistogramName[];

/** What has been taken in since the last time. */
export interface TallyChange {
  /** What came since, of this shard alone. */
  readonly grown: Sums;
  readonly tally: ShardTally;
  /** Whether nothing was known of the shard. */
  readonly isFirst: boolean;
  /** Lives that have ended, where this call ended one. */
  readonly ended: Sums | undefined;
}

export class Tallies {
  private ended: Sums;
  private readonly tallies: Map<number, ShardTally>;

  /** @param ended sums of the lives that are over */
  constructor(ended: Sums = NO_SUMS, tallies: Iterable<readonly [number, ShardTally]> = []) {
    this.ended = ended;
    this.tallies = new Map(tallies);
  }

  /** @returns `undefined` where the shard has counted nothing new */
  take(index: number, { shard, counters, histograms }: ShardTally): TallyChange | undefined {
    const known = this.tallies.get(index);
    const isNewLife = known !== undefined && known.shard !== shard;
    const before = known === undefined || isNewLife ? NO_SUMS : known;
    const grown = difference({ counters, histograms }, before);
    if (!isNewLife && known !== undefined && isNothing(grown)) return undefined;
    if (isNewLife) this.ended = sum(this.ended, known);
    const tally = { shard, ...sum(before, grown) };
    this.tallies.set(index, tally);
    return { grown, tally, isFirst: known === undefined, ended: isNewLife ? this.ended : undefined };
  }

  /** Of everything that was ever said. */
  total(): Sums {
    let total = this.ended;
    for (const tally of this.tallies.values()) total = sum(total, tally);
    return total;
  }
}

export function isNothing({ counters, histograms }: Sums): boolean {
  return Object.keys(counters).length === 0 && Object.keys(histograms).length === 0;
}

/** One counter over all its labels. */
export function countOf({ counters }: Sums, name: CounterName): number {
  return Object.values(counters[name] ?? {}).reduce((total, count) => total + count, 0);
}

function sum(left: Sums, right: Sums): Sums {
  const counters: Partial<Record<CounterName, Series>> = {};
  for (const name of COUNTER_NAMES) {
    const series = addSeries(left.counters[name], right.counters[name]);
    if (series !== undefined) counters[name] = series;
  }
  const histograms: Partial<Record<HistogramName, Histogram>> = {};
  for (const name of HISTOGRAM_NAMES) {
    const histogram = addHistograms(left.histograms[name], right.histograms[name]);
    if (histogram !== undefined) histograms[name] = histogram;
  }
  return { counters, histograms };
}

/** What `later` has beyond `earlier`; what it has less of counts for nothing. */
function difference(later: Sums, earlier: Sums): Sums {
  const counters: Partial<Record<CounterName, Series>> = {};
  for (const name of COUNTER_NAMES) {
    const before = earlier.counters[name] ?? {};
    const grown = Object.entries(later.counters[name] ?? {})
      .map(([labels, count]) => [labels, count - (before[labels] ?? 0)] as const)
      .filter(([, more]) => more > 0);
    if (grown.length > 0) counters[name] = Object.fromEntries(grown);
  }
  const histograms: Partial<Record<HistogramName, Histogram>> = {};
  for (const name of HISTOGRAM_NAMES) {
    const grown = histogramGrowth(later.histograms[name], earlier.histograms[name]);
    if (grown !== undefined) histograms[name] = grown;
  }
  return { counters, histograms };
}

function addSeries(left: Series | undefined, right: Series | undefined): Series | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const both = { ...left };
  for (const [labels, count] of Object.entries(right)) both[labels] = (both[labels] ?? 0) + count;
  return both;
}

function addHistograms(left: Histogram | undefined, right: Histogram | undefined): Histogram | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const length = Math.max(left.counts.length, right.counts.length);
  const counts = Array.from({ length }, (_, at) => (left.counts[at] ?? 0) + (right.counts[at] ?? 0));
  return { counts, sum: left.sum + right.sum };
}

function histogramGrowth(later: Histogram | undefined, earlier: Histogram | undefined): Histogram | undefined {
  if (later === undefined) return undefined;
  const counts = later.counts.map((count, at) => Math.max(0, count - (earlier?.counts[at] ?? 0)));
  if (counts.every((count) => count === 0)) return undefined;
  return { counts, sum: Math.max(0, later.sum - (earlier?.sum ?? 0)) };
}
