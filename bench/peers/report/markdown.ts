/**
 * The comparison as Markdown. Pure.
 */
import { table } from "../../lib/markdown.ts";
import { sectionsOf, type Section } from "./sections.ts";
import type { PeersReport } from "./shape.ts";

export function toMarkdown(report: PeersReport): string {
  const parts = [`# Spillway beside its peers, ${report.date}`, headline(report), ...sectionsOf(report).map(written)];
  return `${parts.join("\n\n")}\n`;
}

/** On which machine, by what, how busy it was. */
export function headline({ command, machine, rounds, isQuick, durationSec }: PeersReport): string {
  const where = `${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, ${machine.platform}`;
  const load = `load average ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after`;
  const quick = isQuick ? " **A quick run: shows that all works, its figures say little.**" : "";
  const took = `${rounds} ${rounds === 1 ? "round" : "rounds"}, ${Math.round(durationSec / 60)} min`;
  return `\`${command}\` on ${where}; Node ${machine.node}, workerd ${machine.workerd}; ${load}; ${took}.${quick}`;
}

function written({ heading, lines, tables }: Section): string {
  const rows = tables.map(({ head, rows }) =>
    table(
      head,
      rows.map((cells) => cells.map(escaped)),
    ),
  );
  return [`## ${heading}`, ...lines, ...rows].join("\n\n");
}

function escaped(cell: string): string {
  return cell.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}
