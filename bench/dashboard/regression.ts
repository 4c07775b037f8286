/**
 * Whether a figure has become worse, and not just fallen out differently. Pure.
 *
 * It is compared with the median of the runs before it, of the same class; a few odd ones among them move
 * neither that nor their spread (the median of the distances from it). It is a regression where it is worse by
 * more than all three: a share of what it was, an amount in its own unit, and {@link SPREADS} times the spread.
 * A lasting change for the worse is marked until it has itself become the median.
 */
import type { MeasureSpec } from "./measures.ts";

/** Runs that are looked back on. */
export const WINDOW_RUNS = 10;
/** Fewer before it: there is nothing to compare with yet. */
export const LEAST_RUNS = 4;
/**
 * Times the spread. Of so few runs that is itself known roughly: a figure whose runs differ by a tenth (one standard
 * deviation) is marked by chance once in a thousand runs, one by a twentieth never (test/unit/dashboard-regression.test.ts).
 */
export const SPREADS = 4;
/** Makes the median distance a standard deviation, were the distribution normal. */
const MAD_TO_DEVIATION = 1.4826;

export interface Judgement {
  readonly verdict: "regression" | "better" | "steady" | "too few";
  /** Median of the runs before. */
  readonly usual: number | undefined;
  /** From where on it is a regression. */
  readonly limit: number | undefined;
}

/** @param before earlier values of the same class, the oldest first */
export function judge(
  before: readonly number[],
  value: number,
  { better, floor, share }: Pick<MeasureSpec, "better" | "floor" | "share">,
): Judgement {
  const recent = before.slice(-WINDOW_RUNS);
  if (recent.length < LEAST_RUNS) return { verdict: "too few", usual: undefined, limit: undefined };
  const usual = medianOf(recent);
  const spread = MAD_TO_DEVIATION * medianOf(recent.map((earlier) => Math.abs(earlier - usual)));
  const allowed = Math.max(share * Math.abs(usual), floor, SPREADS * spread);
  const worseBy = better === "less" ? value - usual : usual - value;
  const limit = better === "less" ? usual + allowed : usual - allowed;
  if (worseBy > allowed) return { verdict: "regression", usual, limit };
  return { verdict: -worseBy > allowed ? "better" : "steady", usual, limit };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}
