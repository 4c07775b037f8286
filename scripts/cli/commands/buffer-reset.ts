/**
 * `reset`: empties a shard, once its events are in the bucket.
 */
import type { ResetReport } from "../../../protocol/buffer-call.ts";
import type { Command } from "../command.ts";
import { callConfirmed, CONFIRM_OPTIONS } from "../confirming.ts";
import { EXIT } from "../exit-codes.ts";
import { printableValue } from "../printable.ts";
import { SHARD_OPTION, shardOf } from "../shard-option.ts";
import { bytes, count } from "../units.ts";

export const RESET: Command = {
  name: "reset",
  summary: "write a shard's events to the bucket, and empty it",
  options: { shard: { ...SHARD_OPTION, help: "the shard, by its number" }, ...CONFIRM_OPTIONS },
  notes: [
    "Asks. Without a terminal it needs --confirm or --yes. The events are no longer on their way to",
    "the table; replay --export brings back exactly those.",
  ].join("\n"),
  examples: ["scripts/spillway reset --shard 0", 'scripts/spillway reset --shard 0 --confirm "0-ab12cd 512"'],
  async run({ api, values, terminal }) {
    values.needed("shard");
    const call = {
      path: "buffer/reset",
      query: { shard: shardOf(values) },
      body: {},
      warning: "The shard's events leave it. They are written to the bucket first, and come back by replay alone.",
    };
    const report = await callConfirmed<ResetReport>(await api(), call, { values, terminal });
    terminal.result(report, () => resetText(report));
    return EXIT.ok;
  },
};

function resetText(report: ResetReport): string {
  const { delivered_events: delivered, kept_events: kept } = report;
  const lines = [`${printableValue(report.shard)}: ${count(report.events)} events, ${bytes(report.bytes)}, taken out.`];
  if (report.exports.length > 0)
    lines.push(
      "They are in the bucket, and come back by replay --export:",
      ...report.exports.map((key) => `  ${printableValue(key)}`),
    );
  if (delivered > 0) lines.push(`${count(delivered)} events were on their way into the table, and are in it.`);
  if (kept > 0)
    lines.push(`${count(kept)} events are in the shard still: they came meanwhile, or a pipeline may have them.`);
  return lines.join("\n");
}
