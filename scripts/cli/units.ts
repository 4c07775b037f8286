/**
 * Numbers as people read them, and tables of them. No I/O.
 */
import { printableField, printableJson, printableValue } from "./printable.ts";

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
const NONE = "–";

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${BYTE_UNITS[unit] ?? ""}`;
}

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : value.toLocaleString("en-GB");
}

export function share(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : `${(value * 100).toFixed(1)} %`;
}

export function text(value: unknown): string {
  if (value === null || value === undefined || value === "") return NONE;
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function names(list: readonly string[]): string {
  return list.map(printableField).join(", ");
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Numbers stand at the right. */
  readonly isNumber?: boolean;
}

/** Columns as wide as what they hold; the last one of text is not padded. No value leaves its cell. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => printableValue(cell(row))));
  const all = [columns.map(({ title }) => title), ...cells];
  const widths = columns.map((_, at) => Math.max(...all.map((line) => line[at]?.length ?? 0)));
  return all
    .map((line) =>
      line
        .map((cell, at) =>
          columns[at]?.isNumber === true ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Names and values below each other, each on one line. */
export function list(entries: readonly (readonly [string, string])[]): string {
  const shown = entries.map(([name, value]) => [printableValue(name), printableValue(value)] as const);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

/** `name=value` of each that is something; what stands in one cannot pass for another. */
export function fields(members: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(members)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${printableField(name)}=${fieldValue(value)}`);
}

function fieldValue(value: unknown): string {
  return typeof value === "string" ? printableField(value) : printableJson(value);
}
