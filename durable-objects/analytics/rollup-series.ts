/**
 * Counters by their labels, and histograms. Bounded: of more label values than there is room for, the rest
 * count together. Pure.
 */
import {
  COUNTERS,
  HISTOGRAMS,
  ROLLUP_LIMITS,
  type CounterName,
  type Histogram,
  type HistogramName,
  type ShardRollup,
} from "../../protocol/rollup.ts";

/** Stands for every label value there is no room for, and for what is not told. */
const OTHER = "other";
const LABEL_MAX_CHARS = 64;
const UNFIT_FOR_LABEL = /[^\x20-\x7e]|[|"\\]/g;

type Counts = Pick<ShardRollup, "counters" | "histograms">;

export class RollupSeries {
  private readonly counters = new Map<string, Map<string, number>>();
  private readonly histograms = new Map<string, { counts: number[]; sum: number }>();

  constructor(stored: Counts = { counters: {}, histograms: {} }) {
    for (const [name, values] of Object.entries(stored.counters)) {
      this.counters.set(name, new Map(Object.entries(values)));
    }
    for (const [name, { counts, sum }] of Object.entries(stored.histograms)) {
      this.histograms.set(name, { counts: [...counts], sum });
    }
  }

  /** @param labels in the order of {@link COUNTERS}; `undefined` counts as `other` in each */
  add(name: CounterName, labels: readonly string[] | undefined, by: number): void {
    if (by === 0) return;
    const values = this.counters.get(name) ?? new Map<string, number>();
    this.counters.set(name, values);
    const others = COUNTERS[name].map(() => OTHER).join("|");
    const wanted = labels?.map(toLabel).join("|") ?? others;
    const key = values.has(wanted) || values.size < ROLLUP_LIMITS.series ? wanted : others;
    values.set(key, (values.get(key) ?? 0) + by);
  }

  observe(name: HistogramName, value: number): void {
    const bounds: readonly number[] = HISTOGRAMS[name];
    const histogram = this.histograms.get(name) ?? {
      counts: Array.from({ length: bounds.length + 1 }, () => 0),
      sum: 0,
    };
    this.histograms.set(name, histogram);
    const at = bounds.findIndex((bound) => value <= bound);
    const bucket = at === -1 ? bounds.length : at;
    histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
    histogram.sum += value;
  }

  report(): Counts {
    const counters = [...this.counters].map(([name, values]) => [name, Object.fromEntries(values)] as const);
    const histograms = [...this.histograms].map(([name, { counts, sum }]): [string, Histogram] => [
      name,
      { counts: [...counts], sum },
    ]);
    return { counters: Object.fromEntries(counters), histograms: Object.fromEntries(histograms) };
  }
}

function toLabel(value: string): string {
  return value.slice(0, LABEL_MAX_CHARS).replaceAll(UNFIT_FOR_LABEL, "_");
}
