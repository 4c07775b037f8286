// @ts-check
/**
 * Alerts that fire, and those that did; the audit of what operators did.
 */
import { isConfirmed } from "./confirmation.js";
import { element, find } from "./elements.js";
import { duration, text, time } from "./format.js";
import { LiveTable } from "./live-table.js";
import { act } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */
/** @import { AdminActionEntry, Alert, Overview } from "./contract.d.ts" */

export class AlertsView {
  /** @param {AdminApi} api */
  constructor(api) {
    this.firing = find("#firing", HTMLElement);
    this.list = alertTable();
    this.audit = auditTable();
    this.shown = "";
    const control = find("#test-alert", HTMLButtonElement);
    control.addEventListener("click", () => void act({ control, name: "Test alert", work: () => sendTest(api) }));
  }

  show(/** @type {Overview} */ { alerts, admin_actions: actions }) {
    const recent = alerts.recent.filter((alert) => !alerts.firing.some((other) => keyOf(other) === keyOf(alert)));
    this.list.show([...alerts.firing, ...recent]);
    this.audit.show(actions);
    this.#showFiring(alerts.firing);
  }

  #showFiring(/** @type {readonly Alert[]} */ firing) {
    // Made anew only where it says something else: a link in it may have the focus.
    const said = JSON.stringify(firing);
    if (said === this.shown) return;
    this.shown = said;
    this.firing.hidden = firing.length === 0;
    this.firing.replaceChildren(
      ...firing.map((alert) =>
        element(
          "p",
          { class: `alert ${alert.severity}` },
          element("strong", {}, `${alert.severity}: ${alert.alert}`),
          ` ${alert.message} `,
          element("span", { class: "since" }, `${text(alert.subject)}, since ${time(alert.since)}. `),
          ...runbookLink(alert),
        ),
      ),
    );
  }
}

/** @param {Alert} alert */
function keyOf({ alert, subject, since }) {
  return `${alert} ${subject} ${since}`;
}

/** A link only where it is one: text otherwise. @param {Alert} alert */
function runbookLink({ runbook }) {
  if (!runbook.startsWith("https://")) return [element("span", { class: "since" }, `Runbook: ${runbook}`)];
  return [element("a", { href: runbook, rel: "noreferrer", target: "_blank" }, "Runbook")];
}

async function sendTest(/** @type {AdminApi} */ api) {
  const lines = [
    "An alert named Test goes to the log and, where one is set, to the webhook. Whoever is on call will see it.",
  ];
  if (!(await isConfirmed({ title: "Send a test alert?", lines, yes: "Send" }))) return undefined;
  const { delivered, status, has_webhook: hasWebhook } = await api.post("alerts/test");
  if (delivered) return `the webhook took it${status === null ? "" : ` (${status})`}.`;
  if (!hasWebhook) return "it is in the log; no webhook is set.";
  return status === null
    ? "it is in the log; the webhook could not be reached, or did not answer in time."
    : `it is in the log; the webhook answered ${status}.`;
}

function alertTable() {
  /** @type {LiveTable<Alert>} */
  const table = new LiveTable(find("#alert-list", HTMLElement), {
    caption: "Alerts, those that fire first",
    columns: [
      { title: "Alert", text: ({ alert }) => alert, isHeader: true },
      { title: "State", text: alertState, tone: ({ resolved_at: at }) => (at === null ? "bad" : "") },
      { title: "Severity", text: ({ severity }) => severity },
      { title: "Subject", text: ({ subject }) => text(subject), kind: "mono" },
      { title: "Since", text: ({ since }) => time(since) },
      { title: "Message", text: ({ message }) => message, kind: "wide" },
    ],
    key: keyOf,
    empty: "No alert has fired.",
  });
  return table;
}

/** @param {Alert} alert */
function alertState({ since, resolved_at: resolvedAt }) {
  return resolvedAt === null ? "Firing" : `Over after ${duration(Date.parse(resolvedAt) - Date.parse(since))}`;
}

function auditTable() {
  /** @type {LiveTable<AdminActionEntry>} */
  const table = new LiveTable(find("#audit-list", HTMLElement), {
    caption: "Audit, newest first",
    columns: [
      { title: "Time", text: ({ at }) => time(at), isHeader: true },
      { title: "Actor", text: ({ actor }) => actor },
      { title: "Action", text: ({ action }) => action, kind: "mono" },
      { title: "Target", text: ({ target }) => text(target), kind: "mono" },
      { title: "Result", text: ({ result }) => result, tone: ({ result }) => (result.startsWith("2") ? "" : "warn") },
    ],
    key: ({ at, action, actor, target }) => `${at} ${action} ${actor} ${target}`,
    empty: "Nothing has been done yet.",
  });
  return table;
}
