/**
 * `dead-letters list|redrive|purge`: events that could not be encoded, set aside with a reason.
 */
import type { Command, CommandContext } from "../command.ts";
import { callConfirmed, CONFIRM_OPTIONS } from "../confirming.ts";
import { EXIT } from "../exit-codes.ts";
import { printableValue } from "../printable.ts";
import { SHARD_OPTION, shardOf } from "../shard-option.ts";
import { count, names, table, text } from "../units.ts";

interface DeadLetter {
  readonly shard_index: number;
  readonly shard: string;
  readonly letter_id: number | string;
  readonly reason: string;
  readonly attempts: number;
  readonly at: string;
  readonly event: unknown;
}

interface RedriveReport {
  readonly redriven: number;
  readonly remaining: number;
  /** Letters that no event can be made of. */
  readonly unreadable: number;
  /** Names of shards that had no room for all, and of those that could not do it. */
  readonly full: readonly string[];
  readonly failed: readonly string[];
}

interface LetterPage {
  readonly letters: readonly DeadLetter[];
  readonly next: string | null;
  readonly total: number;
}

/** As docs/admin-api.md bounds it. */
const PAGE_MAX = 200;

const ID_OPTION = {
  type: "string",
  value: "ID",
  help: "this letter alone; may be repeated",
  isRepeatable: true,
} as const;

const LIST: Command = {
  name: "dead-letters list",
  summary: "events that were set aside, and why",
  options: {
    shard: SHARD_OPTION,
    limit: { type: "string", value: "N", help: `at most so many, up to ${PAGE_MAX}; 50 where not given` },
    after: { type: "string", value: "PLACE", help: "go on after this place: a list's last line names it" },
  },
  examples: [
    "scripts/spillway dead-letters list",
    "scripts/spillway dead-letters list --json | jq -c '.letters[].event'",
  ],
  async run({ api, values, terminal }) {
    const limit = values.wholeNumber("limit", 1, PAGE_MAX) ?? 50;
    const query = { shard: shardOf(values), limit, after: values.text("after") };
    const page = await (await api()).json<LetterPage>("dead-letters", { query });
    terminal.result(page, () => lettersText(page));
    return EXIT.ok;
  },
};

function lettersText({ letters, next, total }: LetterPage): string {
  if (letters.length === 0) return "No dead letters.";
  const shown = table(letters, [
    { title: "shard", cell: ({ shard_index: index }) => String(index), isNumber: true },
    { title: "id", cell: ({ letter_id: id }) => String(id), isNumber: true },
    { title: "set aside", cell: ({ at }) => at },
    { title: "attempts", cell: ({ attempts }) => count(attempts), isNumber: true },
    { title: "type", cell: ({ event }) => text(memberOf(event, "type")) },
    { title: "event id", cell: ({ event }) => text(memberOf(event, "id")) },
    { title: "reason", cell: ({ reason }) => reason },
  ]);
  const rest = next === null ? "" : ` The next: --after ${printableValue(next)}`;
  return `${shown}\n\n${count(letters.length)} of ${count(total)}.${rest}`;
}

function memberOf(event: unknown, name: string): unknown {
  return typeof event === "object" && event !== null ? (event as Record<string, unknown>)[name] : undefined;
}

const REDRIVE: Command = {
  name: "dead-letters redrive",
  summary: "put them back into the buffer, to be written once more",
  options: { shard: SHARD_OPTION, id: ID_OPTION },
  notes: [
    "After the cause is mended: events that still cannot be encoded come back. Exit code 5: some shard had",
    "no room for all of its letters, or could not be asked.",
  ].join("\n"),
  examples: [
    "scripts/spillway dead-letters redrive",
    "scripts/spillway dead-letters redrive --shard 0 --id 12 --id 13",
  ],
  async run({ api, values, terminal }) {
    const json = { shard: shardOf(values), ...idsOf(values) };
    const service = await api();
    const report = await service.json<RedriveReport>("dead-letters/redrive", { method: "POST", json });
    terminal.result(report, () => redriveText(report));
    return report.full.length + report.failed.length === 0 ? EXIT.ok : EXIT.partial;
  },
};

function redriveText({ redriven, remaining, unreadable, full, failed }: RedriveReport): string {
  const lines = [`${count(redriven)} redriven, ${count(remaining)} left.`];
  if (unreadable > 0) lines.push(`${count(unreadable)} cannot be read as events, and stay.`);
  if (full.length > 0) lines.push(`No room for all: ${names(full)}. Flush, and run this again.`);
  if (failed.length > 0) lines.push(`Failed: ${names(failed)}; what they have is not counted.`);
  return lines.join("\n");
}

const PURGE: Command = {
  name: "dead-letters purge",
  summary: "write them to the bucket and drop them",
  options: { shard: { ...SHARD_OPTION, help: "the shard, by its number" }, id: ID_OPTION, ...CONFIRM_OPTIONS },
  notes: "Asks. Without a terminal it needs --confirm or --yes.",
  examples: ["scripts/spillway dead-letters purge --shard 0", "scripts/spillway dead-letters purge --shard 0 --yes"],
  async run({ api, values, terminal }) {
    values.needed("shard");
    const body = { shard: shardOf(values), ...idsOf(values) };
    const warning = "The letters are written to the bucket, and can then no longer be redriven.";
    const call = { path: "dead-letters/purge", body, warning };
    const report = await callConfirmed<{ purged: number; written_to: string[] }>(await api(), call, {
      values,
      terminal,
    });
    terminal.result(report, () =>
      [`${count(report.purged)} purged. Written to:`, ...report.written_to.map(printableValue)].join("\n  "),
    );
    return EXIT.ok;
  },
};

function idsOf(values: CommandContext["values"]): { ids?: (number | string)[] } {
  const ids = values.list("id").map((id) => (/^\d{1,15}$/.test(id) ? Number(id) : id));
  return ids.length === 0 ? {} : { ids };
}

export const DEAD_LETTERS: readonly Command[] = [LIST, REDRIVE, PURGE];
