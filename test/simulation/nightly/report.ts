/**
 * What a nightly run comes to, as text: coverage of states by faults, deliberate faults, failures.
 */
import type { CellReport, Matrix } from "./matrices.ts";
import type { Failure, MutantResult } from "./tasks.ts";

const COUNT_CHARS = 8;
const IMPOSSIBLE = "–";
const FAILURES_SHOWN = 5;

export function matrixText({ title, states, faults }: Matrix, report: CellReport): string {
  const wide = Math.max(...states.map((state) => state.length));
  const lines = [title, ...faults.map((fault, at) => `  ${String(at + 1).padStart(2)} ${fault}`)];
  lines.push(`${" ".repeat(wide)}${faults.map((_, at) => String(at + 1).padStart(COUNT_CHARS)).join("")}`);
  for (const state of states) {
    const cells = faults.map((fault) => {
      const { times, isImpossible } = report.cell(state, fault);
      return (times === 0 && isImpossible ? IMPOSSIBLE : String(times)).padStart(COUNT_CHARS);
    });
    lines.push(`${state.padEnd(wide)}${cells.join("")}`);
  }
  lines.push(`${IMPOSSIBLE}: cannot occur`, "");
  for (const { cell, reason } of report.unreachable) lines.push(`  cannot occur: ${cell}: ${reason}`);
  for (const cell of report.rare) lines.push(`  never reached, and need not be by so few seeds: ${cell}`);
  return lines.join("\n");
}

export function mutantText({ half, name, seeds, finding }: MutantResult): string {
  if (finding === undefined) return `SURVIVED  ${half}: ${name} (${seeds} seeds)`;
  const { seed, invariant, message, isClean } = finding;
  if (invariant === undefined) return `SURVIVED  ${half}: ${name}: seed ${seed} fails by no broken promise: ${message}`;
  if (!isClean) return `SURVIVED  ${half}: ${name}: seed ${seed} fails without it as well, by ${invariant}`;
  return `caught    ${half}: ${name} → seed ${seed}, after ${seeds}, by ${invariant}`;
}

/** Of the first failures all there is to say: the others are named with the complaints. */
export function failureText(failures: readonly Failure[]): string {
  return failures
    .slice(0, FAILURES_SHOWN)
    .map(({ message, replay }) => `\n${message}\n  fewest steps: ${replay}`)
    .join("\n");
}
