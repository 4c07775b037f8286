/**
 * States by faults: which cells a run has reached, which it has to reach by how many seeds, and which cannot
 * occur, with the reason.
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
  /** By how many seeds the cell has to be reached; `undefined` where that is left to chance. */
  readonly askedFrom: (state: string, fault: string) => number | undefined;
}

export interface CellReport {
  cell(state: string, fault: string): { readonly times: number; readonly isImpossible: boolean };
  readonly reached: number;
  readonly possible: number;
  readonly unreachable: readonly { readonly cell: string; readonly reason: string }[];
  /** Empty, and had to be reached by so many seeds. */
  readonly missing: readonly string[];
  /** Empty, and need not be reached by so few. */
  readonly rare: readonly string[];
  /** Reached, against what is said of it. */
  readonly surprising: readonly string[];
}

export function judge(matrix: Matrix, strikes: ReadonlyMap<string, number>, seeds: number): CellReport {
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
      else if (!isReached) {
        const from = matrix.askedFrom(state, fault);
        (from !== undefined && seeds >= from ? missing : rare).push(cell);
      }
    }
  }
  const cell = (state: string, fault: string) => ({
    times: strikes.get(cellName(state, fault)) ?? 0,
    isImpossible: matrix.impossible(state, fault) !== undefined,
  });
  return { cell, reached, possible, unreachable, missing, rare, surprising };
}

/** Struck cells that no matrix has: a state or a fault that its list lacks. */
export function strayCells(matrices: readonly Matrix[], strikes: ReadonlyMap<string, number>): readonly string[] {
  const known = new Set(
    matrices.flatMap(({ states, faults }) =>
      states.flatMap((state) => faults.map((oneFault) => cellName(state, oneFault))),
    ),
  );
  return [...strikes.keys()].filter((cell) => !known.has(cell));
}
