/**
 * The cost model's answer, as a table and as JSON. Pure.
 */
import { costOf, type StreamCost } from "./bill.ts";
import type { Options } from "./options.ts";
import { PRICES } from "./prices.ts";

const HEAD = [
  "length, s",
  "events/s",
  "events",
  "rows written",
  "duration, $",
  "rows, $",
  "requests, $",
  "storage and R2, $",
  "telemetry, $",
  "**total, $**",
  "a row per event: rows",
  "total, $",
];

export function costsOf({ lengthsSec, rates, shape }: Options): StreamCost[] {
  return lengthsSec.flatMap((durationSec) =>
    rates.map((eventsPerSec) => costOf({ ...shape, durationSec, eventsPerSec })),
  );
}

/** Dollars per million streams. */
export function toTable(costs: readonly StreamCost[]): string {
  return [HEAD, HEAD.map(() => "---:"), ...costs.map(cellsOf)].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function toJson(costs: readonly StreamCost[]): string {
  const streams = costs.map(({ shape, usage, bill, rowPerEvent }) => ({
    inputs: shape,
    usage_per_stream: usage,
    dollars_per_million_streams: bill,
    row_per_event: rowPerEvent,
  }));
  return JSON.stringify({ prices: PRICES, streams }, null, 2);
}

function cellsOf({ shape, usage, bill, rowPerEvent }: StreamCost): string[] {
  return [
    String(shape.durationSec),
    String(shape.eventsPerSec),
    grouped(usage.events),
    grouped(usage.rowsWritten),
    dollars(bill.duration),
    dollars(bill.rows),
    dollars(bill.requests),
    dollars(bill.storage),
    dollars(bill.telemetry),
    `**${dollars(bill.total)}**`,
    grouped(rowPerEvent.rowsWritten),
    dollars(rowPerEvent.total),
  ];
}

function grouped(count: number): string {
  return count.toLocaleString("en");
}

function dollars(amount: number): string {
  const digits = amount < 10 ? 2 : 0;
  return amount.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
