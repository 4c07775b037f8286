// @ts-check
/**
 * Lists of streams. Slowest and largest come with the overview; the others are asked for.
 */
import { button, find, setText } from "./elements.js";
import { count, duration, plural, size, text, time } from "./format.js";
import { LiveTable } from "./live-table.js";
import { describe } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */
/** @import { AdminStreamList, ListedStream, Overview } from "./contract.d.ts" */

/** The lists that are asked for, at most so often while the page is live. */
const ASK_EVERY_MS = 6000;

/** @type {Readonly<Record<string, { readonly means: string, readonly empty: string }>>} */
const LISTS = {
  recent: { means: "The last ones started or ended.", empty: "No stream has been heard of yet." },
  hot: { means: "Running, the most readers first, then the most events a second.", empty: "No stream is running." },
  stuck: {
    means:
      "Running, and the source silent for over a minute, a reader that takes nothing for over 30 s, or not heard of for over 10 min.",
    empty: "No stream is stuck.",
  },
  slowest: { means: "Of those that shards know, the longest to run.", empty: "No stream has been heard of yet." },
  largest: { means: "Of those that shards know, the most events.", empty: "No stream has been heard of yet." },
};

const STUCK_IN_WORDS = {
  source_silent: "source silent",
  reader_waiting: "a reader takes nothing",
  not_heard_of: "not heard of",
};

export class StreamLists {
  /** @type {Overview["streams"]} */
  #known = { slowest: [], largest: [] };
  #askedAtMs = -Infinity;
  #choice = "recent";

  /** @param {{ api: AdminApi, onOpen: (requestId: string) => void }} parts */
  constructor({ api, onOpen }) {
    this.api = api;
    this.table = streamTable(onOpen);
    find("#lists", HTMLElement).addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      this.#choice = target.value;
      this.#askedAtMs = -Infinity;
      this.#say();
      void this.#show();
    });
  }

  /** With each overview, so that the lists stand still when it does. */
  follow(/** @type {Overview} */ { streams }) {
    this.#known = streams;
    void this.#show();
  }

  refresh() {
    this.#askedAtMs = -Infinity;
  }

  async #show() {
    const choice = this.#choice;
    if (choice === "slowest" || choice === "largest") {
      this.#say();
      this.#fill(this.#known[choice]);
      return;
    }
    if (performance.now() - this.#askedAtMs < ASK_EVERY_MS) return;
    this.#askedAtMs = performance.now();
    try {
      /** @type {AdminStreamList} */
      const list = await this.api.get("streams", { query: { state: choice, limit: "50" } });
      if (choice !== this.#choice) return;
      const missing = list.missing_shards ?? [];
      this.#say(missing.length === 0 ? "" : ` Not reached: ${missing.join(", ")}; their streams are missing.`);
      this.#fill(list.streams);
    } catch (error) {
      if (choice === this.#choice) this.#say(` The list could not be had: ${describe(error)}`);
    }
  }

  #say(extra = "") {
    setText(find("#list-meaning", HTMLElement), `${LISTS[this.#choice]?.means ?? ""}${extra}`);
  }

  #fill(/** @type {readonly ListedStream[]} */ streams) {
    this.table.emptyText = LISTS[this.#choice]?.empty ?? "";
    this.table.show(streams);
  }
}

function streamTable(/** @type {(requestId: string) => void} */ onOpen) {
  /** @type {LiveTable<ListedStream>} */
  const table = new LiveTable(find("#stream-list", HTMLElement), {
    caption: "Streams",
    columns: [
      {
        title: "Request id",
        make: ({ request_id: id }) =>
          button(shortened(id), () => onOpen(id), { class: "link", "aria-label": id, title: id }),
        kind: "mono",
        isHeader: true,
      },
      { title: "Route", text: ({ route }) => route },
      { title: "Tenant", text: ({ tenant }) => text(tenant) },
      { title: "State", text: stateOf, tone: (stream) => toneOf(stream) },
      { title: "Started", text: ({ started_at: at }) => time(at) },
      { title: "Ran", text: ({ duration_ms: ms }) => duration(ms), kind: "number" },
      { title: "Events", text: ({ events }) => count(events), kind: "number" },
      { title: "Trimmed", text: ({ trimmed_events: events }) => count(events), kind: "number" },
      { title: "Folded", text: ({ folded_events: events }) => count(events), kind: "number" },
      { title: "Resumes", text: ({ resumes }) => count(resumes), kind: "number" },
      { title: "Readers", text: ({ readers }) => count(readers), kind: "number" },
      { title: "Retained", text: ({ retained_bytes: bytes }) => size(bytes), kind: "number" },
      { title: "Silent", text: ({ silent_ms: ms }) => duration(ms), kind: "number" },
      { title: "Known", text: ({ is_verified: isVerified }) => (isVerified ? "asked now" : "as told") },
    ],
    key: ({ request_id: id }) => id,
    empty: LISTS["recent"]?.empty ?? "",
  });
  return table;
}

function shortened(/** @type {string} */ id) {
  return id.length > 20 ? `${id.slice(0, 12)}…${id.slice(-6)}` : id;
}

/** @param {ListedStream} stream */
function stateOf({ state, reason, stuck }) {
  if (stuck !== undefined) return `${state}: ${STUCK_IN_WORDS[stuck]}`;
  return reason === null || reason === state ? state : `${state}: ${reason}`;
}

/** @param {{ readonly state: string, readonly stuck?: string | undefined }} stream */
export function toneOf({ state, stuck }) {
  if (stuck !== undefined || state === "interrupted" || state === "cancelled") return "warn";
  if (state === "failed") return "bad";
  return state === "streaming" || state === "open" ? "good" : "";
}

/** What a stream has, in a line. @param {Pick<ListedStream, "route" | "state" | "events" | "readers">} stream */
export function streamLine({ route, state, events, readers }) {
  return `${route}, ${state}, ${plural(events, "event")}, ${plural(readers, "reader")}`;
}
