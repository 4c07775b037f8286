/**
 * States by faults: which cells a run has reached, which it has to reach, and which cannot occur, with the
 * reason. A cell that is none of these two is rare: it is told where it is empty, and fails nothing.
 */
import { cellName } from "../coverage.ts";
import type { Half } from "./tasks.ts";

export interface Matrix {
  readonly half: Half;
  readonly title: string;
  readonly states: readonly string[];
  readonly faults: readonly string[];
  /** Why a cell is empty for ever; `undefined` where it is not. */
  readonly impossible: (state: string, fault: string) => string | undefined;
  /** Whether so many seeds leave it empty only where something is wrong. */
  readonly isRare: (state: string, fault: string) => boolean;
}

export interface CellReport {
  cell(state: string, fault: string): { readonly times: number; readonly isImpossible: boolean };
  readonly reached: number;
  readonly possible: number;
  readonly unreachable: readonly { readonly cell: string; readonly reason: string }[];
  /** Empty, and had to be reached. */
  readonly missing: readonly string[];
  /** Empty, and seldom reached anyway. */
  readonly rare: readonly string[];
  /** Reached, against what is said of it. */
  readonly surprising: readonly string[];
}

export function judge(matrix: Matrix, strikes: ReadonlyMap<string, number>): CellReport {
  const unreachable: { cell: string; reason: string }[] = [];
  const [missing, rare, surprising]: [string[], string[], string[]] = [[], [], []];
  let reached = 0;
  let possible = 0;
  for (const state of matrix.states) {
    for (const fault of matrix.faults) {
      const cell = cellName(state, fault);
      const isReached = (strikes.get(cell) ?? 0) > 0;
      const reason = matrix.impossible(state, fault);
      if (reason === undefined) possible++;
      if (isReached && reason === undefined) reached++;
      if (isReached && reason !== undefined) surprising.push(cell);
      if (reason !== undefined) unreachable.push({ cell, reason });
      else if (!isReached) (matrix.isRare(state, fault) ? rare : missing).push(cell);
    }
  }
  const cell = (state: string, fault: string) => ({
    times: strikes.get(cellName(state, fault)) ?? 0,
    isImpossible: matrix.impossible(state, fault) !== undefined,
  });
  return { cell, reached, possible, unreachable, missing, rare, surprising };
}
