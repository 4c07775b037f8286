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
  for (const cell of report.surprising) lines.push(`  REACHED, AND SAID TO BE IMPOSSIBLE: ${cell}`);
  for (const cell of report.missing) lines.push(`  NEVER REACHED: ${cell}`);
  return lines.join("\n");
}

export function mutantText({ half, name, seeds, finding }: MutantResult): string {
  if (finding === undefined) return `SURVIVED  ${half}: ${name} (${seeds} seeds)`;
  const { seed, invariant, isClean } = finding;
  const flaw = isClean ? "" : "  BUT THE SEED FAILS WITHOUT IT AS WELL";
  return `caught    ${half}: ${name} → seed ${seed}, after ${seeds}, by ${invariant}${flaw}`;
}

export function failureText(failures: readonly Failure[]): string {
  const shown = failures
    .slice(0, FAILURES_SHOWN)
    .map(({ message, replay }) => `\n${message}\n  fewest steps: ${replay}`);
  const rest = failures.slice(FAILURES_SHOWN).map(({ half, seed, replay }) => `${half} seed ${seed}: ${replay}`);
  return [...shown, ...rest].join("\n");
}
