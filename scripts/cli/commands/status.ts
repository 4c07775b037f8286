/**
 * `status`: shards and table.
 */
import type { AdminStatus, ShardStatusEntry } from "../../../protocol/admin-report.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { printableValue } from "../printable.ts";
import { bytes, count, duration, list, share, table, text } from "../units.ts";

export const STATUS: Command = {
  name: "status",
  summary: "what the shards hold, and how the table is",
  options: {},
  examples: [
    "scripts/spillway status",
    "scripts/spillway status --json | jq '.shards[] | {name, buffer_fill_rate, last_error}'",
  ],
  async run({ api, terminal }) {
    const status = await (await api()).json<AdminStatus>("status");
    terminal.result(status, () => statusText(status, (title) => terminal.bold(title)));
    return EXIT.ok;
  },
};

function statusText(status: AdminStatus, bold: (title: string) => string): string {
  const { shards, table: lake, table_error: error } = status;
  const troubles = shards.flatMap((shard) =>
    troublesOf(shard).map((trouble) => printableValue(`${shard.name}: ${trouble}`)),
  );
  const parts = [`${bold(`Shards (${printableValue(status.sink)})`)}\n${shardTable(shards)}`];
  if (troubles.length > 0) parts.push(troubles.join("\n"));
  if (error !== null) parts.push(`${bold("Table")}\n${printableValue(error)}`);
  if (lake !== null) {
    const entries = [
      ["table", `${lake.table} (${lake.catalog})`],
      ["location", text(lake.location)],
      ["snapshot", `${text(lake.snapshot_id)}, ${count(lake.snapshots)} kept`],
      ["files, rows", `${count(lake.files)}, ${count(lake.rows)}`],
      ["staged files", count(lake.staged_files)],
      ["last commit", text(lake.last_commit_at)],
      ["last error", text(lake.last_error)],
      ["next attempt", text(lake.next_attempt_at)],
    ] as const;
    parts.push(`${bold("Table")}\n${list(entries)}`);
  }
  return parts.join("\n\n");
}

function shardTable(shards: readonly ShardStatusEntry[]): string {
  return table(shards, [
    { title: "shard", cell: ({ name }) => name },
    { title: "events", cell: ({ events }) => count(events), isNumber: true },
    { title: "size", cell: (shard) => bytes(shard.bytes), isNumber: true },
    { title: "fill", cell: ({ buffer_fill_rate: rate }) => share(rate), isNumber: true },
    { title: "oldest", cell: ({ oldest_age_ms: age }) => duration(age), isNumber: true },
    { title: "pending", cell: ({ pending_batches: batches }) => count(batches), isNumber: true },
    { title: "dead", cell: ({ dead_letters: letters }) => count(letters), isNumber: true },
    { title: "last flush", cell: ({ last_flush_at: at }) => text(at) },
  ]);
}

function troublesOf(shard: ShardStatusEntry): string[] {
  if (!shard.is_reachable) return ["cannot be reached"];
  if (shard.last_error === null) return [];
  const next = shard.next_attempt_at === null ? "" : `; next attempt ${shard.next_attempt_at}`;
  return [`${shard.last_error}${next}`];
}
