/**
 * How fast something grows, and how sure that is. Pure.
 *
 * Least squares with a 95 % confidence interval, and Theil–Sen beside it, which a few outliers cannot move.
 * Samples of memory follow each other closely (a heap grows until it is collected), so that there are fewer
 * independent ones than there are: the interval is widened by the residuals' correlation with their predecessors.
 */

export type Point = readonly [x: number, y: number];

export interface Slope {
  /** Of y for one x. */
  readonly perX: number;
  /** 95 % confidence interval of it. */
  readonly low: number;
  readonly high: number;
  /** Of perX, widened for correlation. */
  readonly standardError: number;
  /** Median of the slopes of all pairs. */
  readonly robustPerX: number;
  /** Of a residual with the one before. */
  readonly correlation: number;
  readonly points: number;
}

/** Beyond it, pairs are sampled evenly: a hundred thousand say as much as millions. */
const PAIRS_MAX = 100_000;
/** Of the normal distribution, for 95 % between both tails. */
const Z = 1.959963984540054;
/** Of the normal distribution, for 80 % on one side. */
const POWER_Z = 0.8416212335729143;
const CORRELATION_MAX = 0.99;

/** @returns `undefined` where there are fewer than four points, or all at one x */
export function slopeOf(points: readonly Point[]): Slope | undefined {
  const count = points.length;
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  let squares = 0;
  let products = 0;
  for (const [x, y] of points) {
    squares += (x - meanX) ** 2;
    products += (x - meanX) * (y - meanY);
  }
  if (count < 4 || squares === 0) return undefined;
  const perX = products / squares;
  const residuals = points.map(([x, y]) => y - meanY - perX * (x - meanX));
  const variance = residuals.reduce((sum, residual) => sum + residual ** 2, 0) / (count - 2);
  const correlation = lagOne(residuals);
  const widening = Math.sqrt((1 + correlation) / (1 - correlation));
  // As many independent points as make up for the correlation.
  const independent = Math.max(3, (count * (1 - correlation)) / (1 + correlation));
  const standardError = Math.sqrt(variance / squares) * widening;
  const half = studentT(independent - 2) * standardError;
  const robustPerX = theilSen(points);
  return { perX, low: perX - half, high: perX + half, standardError, robustPerX, correlation, points: count };
}

/** The least slope that such a run calls growing in eight of ten cases: by its interval's lower end, beyond the limit. */
export function detectableSlope({ perX, high, standardError }: Slope, limit: number): number {
  return limit + (high - perX) + POWER_Z * standardError;
}

function theilSen(points: readonly Point[]): number {
  const count = points.length;
  const step = Math.max(1, Math.ceil((count * (count - 1)) / 2 / PAIRS_MAX));
  const slopes: number[] = [];
  let pair = 0;
  for (const [at, [x, y]] of points.entries()) {
    for (let other = at + 1; other < count; other++) {
      const [otherX, otherY] = points[other] ?? [x, y];
      if (pair++ % step === 0 && otherX !== x) slopes.push((otherY - y) / (otherX - x));
    }
  }
  // Numbers in a typed array are sorted as such, and fast.
  const sorted = new Float64Array(slopes).sort();
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2;
}

/**
 * Never below 0: an alternating series must not make an interval narrower. Residuals of a fit show less of it than
 * there is, by (2 + 4r) / n for a line (Kendall's correction); chance alone shows up to 2 / √n.
 */
function lagOne(residuals: readonly number[]): number {
  const count = residuals.length;
  let products = 0;
  let squares = 0;
  for (const [at, residual] of residuals.entries()) {
    squares += residual ** 2;
    products += residual * (residuals[at - 1] ?? 0);
  }
  const shown = squares === 0 ? 0 : Math.max(0, products / squares);
  const corrected = shown > 2 / Math.sqrt(count) ? shown + (2 + 4 * shown) / count : shown;
  return Math.min(CORRELATION_MAX, corrected);
}

/** Student's t for 95 % between both tails, by the Cornish–Fisher expansion; exact for one and two degrees. */
export function studentT(degrees: number): number {
  if (degrees <= 1) return 12.706204736;
  if (degrees <= 2) return 12.706204736 + (degrees - 1) * (4.30265273 - 12.706204736);
  const terms = [
    (Z ** 3 + Z) / 4,
    (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / 96,
    (3 * Z ** 7 + 19 * Z ** 5 + 17 * Z ** 3 - 15 * Z) / 384,
    (79 * Z ** 9 + 776 * Z ** 7 + 1482 * Z ** 5 - 1920 * Z ** 3 - 945 * Z) / 92_160,
  ];
  return terms.reduce((sum, term, at) => sum + term / degrees ** (at + 1), Z);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
