/**
 * What a figure is: its unit, which way is better, and from when on a change of it matters at all. Pure.
 */

export interface MeasureSpec {
  /** Unique over all kinds of results. */
  readonly id: string;
  /** Figures of one chart have the same group; each is a line of it. */
  readonly group: string;
  readonly label: string;
  readonly unit: string;
  readonly better: "more" | "less";
  /** A change of less than this, in the figure's unit, is none. */
  readonly floor: number;
  /** … or of less than this share of what it was. */
  readonly share: number;
}

export interface Measure extends MeasureSpec {
  readonly value: number;
}

/** What one kind of result says. */
export interface KindReading {
  readonly measures: readonly Measure[];
  /** How the load was: runs with another one are another class. Empty where there is but one. */
  readonly conditions: string;
  readonly verdict: string | undefined;
}

/** @returns nothing where there is no value */
export function measure(spec: MeasureSpec, value: number | undefined): Measure[] {
  return value === undefined ? [] : [{ ...spec, value }];
}
