/**
 * Tables and figures as the report writes them. Pure.
 */
import type { Spread } from "./statistics.ts";

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function spread({ median, min, max }: Spread): string {
  return `${figure(median)} (${figure(min)} to ${figure(max)})`;
}

/** Three digits that count. */
export function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (Math.abs(value) >= 1000) return Number(value.toPrecision(3)).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}
