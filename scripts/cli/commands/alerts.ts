/**
 * `alerts` and `alerts test`: what fires, and whether anybody would hear of it.
 */
import type { TestAlertReport } from "../../../protocol/monitor-report.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { table, text, type Column } from "../units.ts";

interface Alert {
  readonly alert: string;
  readonly severity: string;
  readonly subject: string;
  readonly value: number | string | null;
  readonly threshold: number | string | null;
  readonly since: string;
  readonly resolved_at: string | null;
  readonly message: string;
  readonly runbook: string;
}

interface AlertLists {
  readonly firing: readonly Alert[];
  readonly recent: readonly Alert[];
}

const SHOW: Command = {
  name: "alerts",
  summary: "what fires, since when, and the section of RUNBOOK.md about it",
  options: {},
  notes: "Exit code 0 also where something fires.",
  examples: ["scripts/spillway alerts", "scripts/spillway alerts --json | jq -e '.firing == []'"],
  async run({ api, terminal }) {
    const alerts = await (await api()).json<AlertLists>("alerts");
    terminal.result(alerts, () => alertsText(alerts, (title) => terminal.bold(title)));
    return EXIT.ok;
  },
};

function alertsText({ firing, recent }: AlertLists, bold: (title: string) => string): string {
  const over = recent.filter(({ resolved_at: at }) => at !== null);
  return [
    `${bold("Firing")}\n${firing.length === 0 ? "Nothing." : table(firing, COLUMNS)}`,
    ...(over.length === 0 ? [] : [`${bold("Resolved")}\n${table(over, [...COLUMNS, UNTIL])}`]),
  ].join("\n\n");
}

const COLUMNS: readonly Column<Alert>[] = [
  { title: "alert", cell: ({ alert }) => alert },
  { title: "severity", cell: ({ severity }) => severity },
  { title: "subject", cell: ({ subject }) => text(subject) },
  { title: "value", cell: ({ value }) => measured(value), isNumber: true },
  { title: "threshold", cell: ({ threshold }) => measured(threshold), isNumber: true },
  { title: "since", cell: ({ since }) => since },
  { title: "runbook", cell: ({ runbook }) => runbook },
];
const UNTIL: Column<Alert> = { title: "until", cell: ({ resolved_at: at }) => text(at) };

/** Shares and seconds: what is behind the third decimal is no news. */
function measured(value: number | string | null): string {
  return typeof value === "number" ? value.toLocaleString("en-GB", { maximumFractionDigits: 3 }) : text(value);
}

const TEST: Command = {
  name: "alerts test",
  summary: "send a test alert through log and webhook",
  options: {},
  notes: "Exit code 1: a webhook is set and did not take it.",
  examples: ["scripts/spillway alerts test"],
  async run({ api, terminal }) {
    const sent = await (await api()).json<TestAlertReport>("alerts/test", { method: "POST", json: {} });
    terminal.result(sent, () => deliveryText(sent));
    return sent.delivered || !sent.has_webhook ? EXIT.ok : EXIT.failed;
  },
};

function deliveryText({ delivered, status, has_webhook: hasWebhook }: TestAlertReport): string {
  if (delivered) return `The webhook took it${status === null ? "" : `, with ${status}`}; it is in the log as well.`;
  if (!hasWebhook) return "It is in the log. No webhook is set: ALERT_WEBHOOK_URL.";
  if (status === null) return "It is in the log. The webhook could not be reached, or did not answer in time.";
  return `It is in the log. The webhook refused it with ${status}.`;
}

export const ALERTS: readonly Command[] = [SHOW, TEST];
