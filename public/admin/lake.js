// @ts-check
/**
 * Buffer and table: the shards with their actions, the table's facts, what flushes and commits did.
 */
import { button, element, find, setText, showFacts } from "./elements.js";
import { count, duration, percent, plural, size, text, time, UNKNOWN } from "./format.js";
import { LiveTable } from "./live-table.js";

/** @import { CommitEntry, FlushEntry, Overview, ShardStatusEntry, TableStatus } from "./contract.d.ts" */
/** @import { LakeActions } from "./lake-actions.js" */

function shardIndex(/** @type {string} */ name) {
  return name.slice(name.lastIndexOf("-") + 1);
}

export class LakeView {
  /** @param {LakeActions} actions */
  constructor(actions) {
    this.shards = shardTable(actions);
    this.flushes = flushTable();
    this.commits = commitTable();
    showFacts(find("#table", HTMLElement), [["Table", UNKNOWN]]);
  }

  show(/** @type {Overview} */ { shards, table, table_error: tableError, flushes, commits }) {
    this.shards.show(shards);
    this.flushes.show(flushes);
    this.commits.show(commits);
    showFacts(find("#table", HTMLElement), tableFacts(table, tableError));
  }
}

function shardTable(/** @type {LakeActions} */ actions) {
  /** @type {LiveTable<ShardStatusEntry>} */
  const table = new LiveTable(find("#shard-list", HTMLElement), {
    caption: "Shards",
    columns: [
      { title: "Shard", text: ({ name }) => name, isHeader: true },
      { title: "Fill", make: meter, follow: followMeter, kind: "wide" },
      { title: "Events", text: ({ events }) => count(events), kind: "number" },
      { title: "Size", text: ({ bytes }) => size(bytes), kind: "number" },
      { title: "Oldest", text: ({ oldest_age_ms: age }) => duration(age), kind: "number" },
      { title: "Batches", text: ({ pending_batches: batches }) => count(batches), kind: "number" },
      {
        title: "Dead letters",
        text: ({ dead_letters: letters }) => count(letters),
        kind: "number",
        tone: ({ dead_letters: letters }) => (letters > 0 ? "warn" : ""),
      },
      { title: "Last flush", text: ({ last_flush_at: at }) => time(at) },
      { title: "State", text: shardState, tone: (shard) => (isWell(shard) ? "" : "bad"), kind: "wide" },
      { title: "", make: (shard) => shardButtons(shard, actions), kind: "actions" },
    ],
    key: ({ name }) => name,
    empty: "No shard is known yet.",
  });
  return table;
}

/** @param {ShardStatusEntry} shard */
function isWell({ is_reachable: isReachable, last_error: error }) {
  return isReachable && error === null;
}

/** @param {ShardStatusEntry} shard */
function shardState({ is_reachable: isReachable, last_error: error, next_attempt_at: next }) {
  if (!isReachable) return "Not reachable";
  if (error === null) return "Well";
  return next === null ? error : `${error}; next attempt ${time(next)}`;
}

/** @param {ShardStatusEntry} shard @param {LakeActions} actions */
function shardButtons({ name }, actions) {
  const shard = shardIndex(name);
  /** @type {HTMLButtonElement[]} */
  const buttons = [
    button("Flush", () => actions.flushShard(shard, buttons[0] ?? document.body), { "aria-label": `Flush ${name}` }),
    button("Export", () => void actions.exportShard(shard, buttons[1] ?? document.body), {
      "aria-label": `Export ${name}`,
    }),
    button("Reset", () => actions.resetShard(shard, buttons[2] ?? document.body), {
      "aria-label": `Reset ${name}`,
      class: "danger",
    }),
  ];
  return element("div", { class: "buttons" }, ...buttons);
}

function meter(/** @type {ShardStatusEntry} */ { name }) {
  const track = element("span", { class: "track" }, element("span", { class: "level" }));
  return element(
    "div",
    { class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": `Fill of ${name}` },
    track,
    element("span", { class: "value" }),
  );
}

/** @param {Node} node @param {ShardStatusEntry} shard */
function followMeter(node, { buffer_fill_rate: share }) {
  if (!(node instanceof HTMLElement)) return;
  const shown = percent(share);
  node.setAttribute("aria-valuenow", String(Math.round(share * 1000) / 10));
  node.setAttribute("aria-valuetext", shown);
  node.dataset["level"] = share >= 0.9 ? "bad" : share >= 0.7 ? "warn" : share >= 0.5 ? "info" : "good";
  find(".level", HTMLElement, node).style.inlineSize = `${Math.min(share, 1) * 100}%`;
  setText(find(".value", HTMLElement, node), shown);
}

/** @param {TableStatus | null} table @param {string | null} error @returns {[string, string][]} */
function tableFacts(table, error) {
  if (table === null) return [["Table", error ?? "No table: events go to a pipeline, or nothing is committed yet."]];
  return [
    ["Table", table.table],
    ["Catalog", table.catalog],
    ["Rows", count(table.rows)],
    ["Files", count(table.files)],
    ["Snapshots", count(table.snapshots)],
    ["Staged files", count(table.staged_files)],
    ["Last commit", time(table.last_commit_at)],
    ["Snapshot", text(table.snapshot_id)],
    ["Location", text(table.location)],
    ["Last error", text(error ?? table.last_error)],
    ...(table.next_attempt_at === null
      ? []
      : [/** @type {[string, string]} */ (["Next attempt", time(table.next_attempt_at)])]),
  ];
}

function flushTable() {
  /** @type {LiveTable<FlushEntry>} */
  const table = new LiveTable(find("#flush-list", HTMLElement), {
    caption: "Flushes, newest first",
    columns: [
      { title: "Time", text: ({ at }) => time(at), isHeader: true },
      { title: "Shard", text: ({ shard }) => shard, kind: "mono" },
      { title: "Events", text: ({ events }) => count(events), kind: "number" },
      { title: "Size", text: ({ bytes }) => size(bytes), kind: "number" },
      { title: "Took", text: ({ duration_ms: ms }) => duration(ms), kind: "number" },
      {
        title: "Result",
        text: ({ error, files }) => error ?? plural(files, "file"),
        tone: ({ error }) => failureTone(error),
      },
    ],
    key: ({ at, shard }) => `${at} ${shard}`,
    empty: "No flush yet.",
  });
  return table;
}

function commitTable() {
  /** @type {LiveTable<CommitEntry>} */
  const table = new LiveTable(find("#commit-list", HTMLElement), {
    caption: "Commits, newest first",
    columns: [
      { title: "Time", text: ({ at }) => time(at), isHeader: true },
      { title: "Operation", text: ({ operation }) => operation },
      { title: "Files", text: ({ files }) => count(files), kind: "number" },
      { title: "Rows", text: ({ records }) => count(records), kind: "number" },
      { title: "Attempts", text: ({ attempts }) => count(attempts), kind: "number" },
      { title: "Took", text: ({ duration_ms: ms }) => duration(ms), kind: "number" },
      {
        title: "Result",
        text: ({ error, snapshot_id: id }) => error ?? text(id),
        kind: "mono",
        tone: ({ error }) => failureTone(error),
      },
    ],
    key: ({ at, operation, snapshot_id: id }) => `${at} ${operation} ${id}`,
    empty: "No commit yet.",
  });
  return table;
}

function failureTone(/** @type {string | null} */ error) {
  return error === null ? "" : "bad";
}
