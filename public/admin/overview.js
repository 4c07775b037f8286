// @ts-check
/**
 * The figures of now.
 */
import { find, setText, element } from "./elements.js";
import { count, duration, percent, rate, time } from "./format.js";

/** @import { Now, Overview } from "./contract.d.ts" */

/** @typedef {"" | "warn" | "bad"} Tone */
/** @typedef {{ name: string, text: (now: Now) => string, note?: (now: Now) => string, tone?: (now: Now) => Tone }} Figure */

/** @type {readonly Figure[]} */
const FIGURES = [
  { name: "Active streams", text: (now) => count(now.active_streams) },
  { name: "Active readers", text: (now) => count(now.active_readers) },
  { name: "Stream starts", text: (now) => rate(now.streams_per_min), note: () => "a minute" },
  {
    name: "Resume success",
    text: (now) => percent(now.resume_success_rate),
    note: (now) => (now.resume_attempts === 0 ? "no attempts" : ""),
    tone: ({ resume_success_rate: share }) => (share === null ? "" : below(share, 0.98, 0.95)),
  },
  { name: "Resume attempts", text: (now) => count(now.resume_attempts) },
  {
    name: "Trim rate",
    text: (now) => percent(now.trim_rate),
    tone: ({ trim_rate: share }) => above(share, 0.005, 0.01),
  },
  { name: "Folded", text: (now) => count(now.folded_events), note: () => "events" },
  { name: "Gaps told", text: (now) => count(now.gaps), tone: (now) => above(now.gaps, 1, Infinity) },
  { name: "Buffered", text: (now) => count(now.buffered_events), note: () => "events" },
  {
    name: "Buffer fill",
    text: (now) => percent(now.buffer_fill_rate),
    note: () => "fullest shard",
    tone: (now) => above(now.buffer_fill_rate, 0.7, 0.9),
  },
  { name: "Dead letters", text: (now) => count(now.dead_letters), tone: (now) => above(now.dead_letters, 1, Infinity) },
  {
    name: "Degraded",
    note: () => "streams",
    text: (now) => count(now.degraded_streams),
    tone: (now) => above(now.degraded_streams, Infinity, 1),
  },
];

/** @param {number | null} value @param {number} warn @param {number} bad @returns {Tone} */
function above(value, warn, bad) {
  if (value === null) return "";
  return value >= bad ? "bad" : value >= warn ? "warn" : "";
}

/** @param {number} value @param {number} warn @param {number} bad @returns {Tone} */
function below(value, warn, bad) {
  return value < bad ? "bad" : value < warn ? "warn" : "";
}

export class Figures {
  constructor() {
    const cells = FIGURES.map(({ name }) => {
      const value = element("span", { class: "value" }, "–");
      const note = element("span", { class: "soft" });
      return { row: element("div", {}, element("dt", {}, name), element("dd", {}, value, note)), value, note };
    });
    find("#figures", HTMLElement).replaceChildren(...cells.map(({ row }) => row));
    this.cells = cells;
  }

  show(/** @type {Overview} */ { now, window_sec: windowSec, started_at: startedAt }) {
    for (const [index, { text, note, tone }] of FIGURES.entries()) {
      const cell = this.cells[index];
      if (cell === undefined) continue;
      setText(cell.value, text(now));
      setText(cell.note, note?.(now) ?? "");
      cell.row.className = tone?.(now) ?? "";
    }
    const window = `Rates and counts: the last ${duration(windowSec * 1000).replace(" 0 s", "")}.`;
    setText(find("#window", HTMLElement), `${window} Watched since ${time(startedAt)}.`);
  }
}
