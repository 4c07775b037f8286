/**
 * `flush`, `compact`, `expire-snapshots`: what is done to the lake as a whole.
 */
import type { AdminFlushReport } from "../../../protocol/admin-report.ts";
import type { CompactionReport, ExpiryReport } from "../../../protocol/lake-call.ts";
import type { Command } from "../command.ts";
import { EXIT, usageFailure } from "../exit-codes.ts";
import { printableValue } from "../printable.ts";
import { SHARD_OPTION, shardOf } from "../shard-option.ts";
import { bytes, count, names, table, text } from "../units.ts";

/** What became of one stream's telemetry, where one was named. */
interface FlushedStream {
  readonly request_id: string;
  readonly stored: boolean;
  readonly telemetry_events: number;
  readonly error: string | null;
}

type FlushReport = AdminFlushReport & { readonly stream?: FlushedStream | null };

export const FLUSH: Command = {
  name: "flush",
  summary: "write what the shards hold to the table, now",
  options: {
    shard: SHARD_OPTION,
    "request-id": { type: "string", value: "ID", help: "first let this stream write and hand over what it has" },
  },
  notes: "May be repeated at any time: nothing is counted twice. Exit code 5: some shard, or the commit, failed.",
  examples: [
    "scripts/spillway flush",
    "scripts/spillway flush --shard 0",
    "scripts/spillway flush --request-id 3uSfSvttIfO6Pb-nGa3sX4mOVgU",
  ],
  async run({ api, values, terminal }) {
    const [shard, request_id] = [shardOf(values), values.text("request-id")];
    if (shard !== undefined && request_id !== undefined) throw usageFailure("Give --shard or --request-id, not both.");
    const service = await api();
    terminal.progress("flushing …");
    const report = await service.json<FlushReport>("flush", { method: "POST", query: { shard, request_id } });
    terminal.endProgress();
    terminal.result(report, () => flushText(report));
    return report.ok ? EXIT.ok : EXIT.partial;
  },
};

function flushText(report: FlushReport): string {
  const lines = [
    table(report.shards, [
      { title: "shard", cell: ({ name }) => name },
      { title: "events", cell: ({ events }) => count(events), isNumber: true },
      { title: "files", cell: ({ files }) => count(files), isNumber: true },
      { title: "size", cell: (shard) => bytes(shard.bytes), isNumber: true },
      { title: "remaining", cell: ({ remaining }) => count(remaining), isNumber: true },
      { title: "error", cell: ({ error }) => text(error) },
    ]),
    "",
  ];
  if (report.stream === null) lines.push("The stream is not known: nothing of it to write.");
  if (report.stream) {
    const { request_id: id, stored, telemetry_events: events, error } = report.stream;
    const written = stored ? "written" : "NOT written";
    const why = error === null ? "" : ` ${printableValue(error)}`;
    lines.push(`Stream ${printableValue(id)}: ${written}, ${count(events)} telemetry events handed over.${why}`);
  }
  const { committed_records: records, committed_files: files, snapshot_id: snapshot } = report;
  lines.push(
    `Committed ${count(records)} records in ${count(files)} files; snapshot ${printableValue(text(snapshot))}.`,
  );
  if (report.commit_error !== null) lines.push(`The commit failed: ${printableValue(report.commit_error)}`);
  if (report.failed.length > 0) lines.push(`Failed: ${names(report.failed)}.`);
  if (!report.ok)
    lines.push(`Left: ${count(report.remaining_events)} events, ${count(report.staged_files)} staged files.`);
  return lines.join("\n");
}

export const COMPACT: Command = {
  name: "compact",
  summary: "rewrite the table's small files into larger ones",
  options: { all: { type: "boolean", help: "repeat until no small file is left" } },
  notes: "Happens daily by itself.",
  examples: ["scripts/spillway compact", "scripts/spillway compact --all"],
  async run({ api, values, terminal, signal }) {
    const service = await api();
    let report: CompactionReport;
    let rounds = 0;
    do {
      terminal.progress(`compacting, round ${++rounds} …`);
      report = await service.json<CompactionReport>("compact", { method: "POST", answers: [409] });
      const { rewritten_files: from, added_files: to, records, remaining_files: left } = report;
      const done = `Rewrote ${count(from)} files into ${count(to)}, ${count(records)} records; ${count(left)} small files left.`;
      terminal.endProgress();
      terminal.result(report, () => (report.ok ? done : `Not compacted: ${printableValue(text(report.reason))}`));
    } while (
      values.flag("all") &&
      report.ok &&
      report.rewritten_files > 0 &&
      report.remaining_files > 0 &&
      !signal.aborted
    );
    return report.ok ? EXIT.ok : EXIT.failed;
  },
};

export const EXPIRE_SNAPSHOTS: Command = {
  name: "expire-snapshots",
  summary: "drop old snapshots, and objects that nothing refers to",
  options: { keep: { type: "string", value: "N", help: "snapshots to keep, 1 to 1000; else ICEBERG_SNAPSHOTS_KEPT" } },
  notes: "Objects younger than ICEBERG_ORPHAN_MIN_AGE_SEC stay.",
  examples: ["scripts/spillway expire-snapshots", "scripts/spillway expire-snapshots --keep 20"],
  async run({ api, values, terminal }) {
    const keep = values.wholeNumber("keep", 1, 1000);
    const report = await (
      await api()
    ).json<ExpiryReport>("expire-snapshots", { method: "POST", query: { keep }, answers: [409] });
    const { expired_snapshots: expired, deleted_objects: deleted, kept_young_objects: young } = report;
    const done = `Expired ${count(expired)} snapshots, deleted ${count(deleted)} objects; ${count(young)} are still too young.`;
    terminal.result(report, () => (report.ok ? done : `Not done: ${printableValue(text(report.reason))}`));
    return report.ok ? EXIT.ok : EXIT.failed;
  },
};
