// @ts-check
/**
 * Dead letters: looked at, put back into the buffer, or written to R2 and gone.
 */
import { isConfirmed } from "./confirmation.js";
import { element, find, setText } from "./elements.js";
import { count, plural, time } from "./format.js";
import { withNamedValue } from "./lake-actions.js";
import { LiveTable } from "./live-table.js";
import { act, describe, tell } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */
/** @import { DeadLetter, DeadLetterPage, Overview, RedriveReport } from "./contract.d.ts" */

const PAGE_SIZE = "50";

export class DeadLetters {
  /** @type {readonly DeadLetter[]} */
  #letters = [];
  /** @type {string | null} */
  #next = null;
  #total = 0;
  /** As the overview counted them when they were asked for last. */
  #counted = -1;
  /** @type {Set<string>} */
  #chosen = new Set();

  /** @param {{ api: AdminApi, onChange: () => void }} parts */
  constructor({ api, onChange }) {
    this.api = api;
    this.onChange = onChange;
    this.table = this.#makeTable();
    for (const [selector, work] of /** @type {const} */ ([
      ["#redrive-chosen", () => this.#redriveChosen()],
      ["#redrive-all", () => this.#redriveAll()],
      ["#purge-chosen", () => this.#purgeChosen()],
    ])) {
      const control = find(selector, HTMLButtonElement);
      const name = selector.startsWith("#purge") ? "Purge" : "Redrive";
      control.addEventListener("click", () => void act({ control, name, work }));
    }
    find("#more-letters", HTMLButtonElement).addEventListener("click", () => void this.#load(this.#next));
  }

  /** They are asked for where their number has changed. */
  follow(/** @type {Overview} */ { shards }) {
    const counted = shards.reduce((sum, shard) => sum + shard.dead_letters, 0);
    if (counted === this.#counted) return;
    this.#counted = counted;
    void this.#load(null);
  }

  /** Asks for them again with the next overview: something has been done. */
  refresh() {
    this.#counted = -1;
  }

  async #load(/** @type {string | null} */ after) {
    try {
      /** @type {DeadLetterPage} */
      const page = await this.api.get("dead-letters", { query: { limit: PAGE_SIZE, after: after ?? undefined } });
      this.#letters = after === null ? page.letters : [...this.#letters, ...page.letters];
      this.#next = page.next;
      this.#total = page.total;
      this.#show();
    } catch (error) {
      setText(find("#letters-count", HTMLElement), `They could not be had: ${describe(error)}`);
      // Asked for again with the next overview.
      this.#counted = -1;
    }
  }

  #show() {
    const keys = new Set(this.#letters.map(keyOf));
    for (const key of this.#chosen) if (!keys.has(key)) this.#chosen.delete(key);
    this.table.show(this.#letters);
    const shown = this.#letters.length;
    const text =
      this.#total === 0
        ? ""
        : `${plural(this.#total, "letter")}, ${count(shown)} shown. Redriven, they go back into the buffer and are tried again.`;
    setText(find("#letters-count", HTMLElement), text);
    find("#more-letters", HTMLElement).hidden = this.#next === null;
    for (const selector of ["#redrive-chosen", "#redrive-all", "#purge-chosen"]) {
      find(selector, HTMLElement).hidden = this.#total === 0;
    }
  }

  /** What is chosen, by shard. @returns {Map<number, DeadLetter[]>} */
  #chosenByShard() {
    return Map.groupBy(
      this.#letters.filter((letter) => this.#chosen.has(keyOf(letter))),
      (letter) => letter.shard_index,
    );
  }

  async #redriveAll() {
    const lines = [`All ${plural(this.#total, "dead letter")} go back into the buffer and are tried again.`];
    if (!(await isConfirmed({ title: "Redrive all?", lines, yes: "Redrive" }))) return undefined;
    return this.#redriven([await this.api.post("dead-letters/redrive", { json: {} })]);
  }

  async #redriveChosen() {
    const byShard = this.#chosenByShard();
    if (byShard.size === 0) return sayNoneChosen();
    const lines = [`${plural(this.#chosen.size, "dead letter")} go back into the buffer and are tried again.`];
    if (!(await isConfirmed({ title: "Redrive the chosen?", lines, yes: "Redrive" }))) return undefined;
    /** @type {RedriveReport[]} */
    const reports = [];
    const failure = await shardByShard(byShard, async (shard, ids) => {
      reports.push(await this.api.post("dead-letters/redrive", { json: { shard, ids } }));
      return true;
    });
    return this.#redriven(reports, failure);
  }

  /** @param {readonly RedriveReport[]} reports @param {string} [failure] */
  #redriven(reports, failure) {
    this.onChange();
    const redriven = reports.reduce((sum, report) => sum + report.redriven, 0);
    const unreadable = reports.reduce((sum, report) => sum + report.unreadable, 0);
    const done = `${plural(redriven, "event")} back in the buffer.${unreadable === 0 ? "" : ` ${plural(unreadable, "letter")} cannot be made an event, and stay.`}`;
    const full = reports.flatMap((report) => report.full).map((name) => `${name} has no room for more`);
    const failed = reports.flatMap((report) => report.failed).map((name) => `${name} could not do it`);
    const faults = [...full, ...failed].map((fault) => `${fault}.`);
    if (failure !== undefined) faults.push(failure);
    if (faults.length > 0) throw new Error([done, ...faults].join(" "));
    return done;
  }

  async #purgeChosen() {
    const byShard = this.#chosenByShard();
    if (byShard.size === 0) return sayNoneChosen();
    /** @type {string[]} */
    const results = [];
    const failure = await shardByShard(byShard, async (shard, ids) => {
      const report = await withNamedValue({
        send: (confirm) => this.api.post("dead-letters/purge", { json: { shard, ids, confirm } }),
        question: (expected) => ({
          title: `Purge dead letters of shard-${shard}?`,
          lines: [
            `${plural(ids.length, "dead letter")} are written to R2, under dead-letters/, and leave the shard for good.`,
          ],
          yes: "Purge",
          expected,
        }),
      });
      if (report === undefined) return false;
      results.push(`${count(report.purged)} purged, written to ${report.written_to.join(", ") || "nothing"}`);
      return true;
    });
    const done = results.length === 0 ? "" : `${results.join("; ")}.`;
    if (done !== "") this.onChange();
    if (failure !== undefined) throw new Error(`${done} ${failure}`.trim());
    return done === "" ? undefined : done;
  }

  #makeTable() {
    /** @type {LiveTable<DeadLetter>} */
    const table = new LiveTable(find("#letter-list", HTMLElement), {
      caption: "Dead letters",
      columns: [
        { title: "Chosen", make: (letter) => this.#makeChoice(letter) },
        {
          title: "Letter",
          text: ({ shard_index: shard, letter_id: id }) => `${shard}.${id}`,
          kind: "mono",
          isHeader: true,
        },
        { title: "Since", text: ({ at }) => time(at) },
        { title: "Attempts", text: ({ attempts }) => count(attempts), kind: "number" },
        { title: "Reason", text: ({ reason }) => reason, kind: "wide" },
        { title: "Event", make: eventDetails, kind: "wide" },
      ],
      key: keyOf,
      empty: "No dead letters: every event that was taken could be written.",
    });
    return table;
  }

  #makeChoice(/** @type {DeadLetter} */ letter) {
    const key = keyOf(letter);
    const box = element("input", { type: "checkbox", "aria-label": `Choose letter ${key}` });
    box.addEventListener("change", () => {
      if (box.checked) this.#chosen.add(key);
      else this.#chosen.delete(key);
    });
    return box;
  }
}

/** @param {DeadLetter} letter */
function keyOf({ shard_index: shard, letter_id: id }) {
  return `${shard}.${id}`;
}

/**
 * Until one is declined or fails. What went wrong is given back, not thrown: what was done before is to be told with it.
 * @param {Map<number, DeadLetter[]>} byShard
 * @param {(shard: number, ids: number[]) => Promise<boolean>} work
 */
async function shardByShard(byShard, work) {
  for (const [shard, letters] of byShard) {
    const ids = letters.map((letter) => letter.letter_id);
    try {
      if (!(await work(shard, ids))) return undefined;
    } catch (error) {
      return `shard-${shard}: ${describe(error)}`;
    }
  }
  return undefined;
}

/** @returns {undefined} */
function sayNoneChosen() {
  tell("Nothing is chosen: tick letters in the table first.", { isFailure: true });
  return undefined;
}

/** @param {DeadLetter} letter */
function eventDetails({ event, text }) {
  const json = event === null ? (text ?? "") : JSON.stringify(event, null, 2);
  return element("details", {}, element("summary", {}, "Show"), element("pre", { tabindex: "0" }, json));
}
