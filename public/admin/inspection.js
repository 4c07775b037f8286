// @ts-check
/**
 * One stream: what its object says of itself, what its telemetry has told, and what may be done about it.
 */
import { ApiProblem } from "./api.js";
import { isConfirmed } from "./confirmation.js";
import { button, element, find, setText, showFacts } from "./elements.js";
import { count, duration, plural, size, text, time, value } from "./format.js";
import { flushResult } from "./lake-actions.js";
import { LiveTable } from "./live-table.js";
import { act, describe } from "./outcome.js";
import { streamLine, toneOf } from "./streams.js";

/** @import { AdminApi } from "./api.js" */
/** @import { AdminStreamReport, FlushedStream, InspectedReader, StreamInspection, StreamSummary, TimelineStep } from "./contract.d.ts" */

const LONG_MS = 60_000;
const RUNNING = ["open", "streaming"];

export class InspectionView {
  #requestId = "";
  /** Whether an answer is on its way: one at a time. */
  #isAsking = false;
  #isRunning = false;

  /** @param {{ api: AdminApi, onChange: () => void }} parts */
  constructor({ api, onChange }) {
    this.api = api;
    this.onChange = onChange;
    this.frame = find("#inspection", HTMLElement);
    this.problem = find("#search-problem", HTMLElement);
    this.#build();
    find("#search", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.open(find("#request-id", HTMLInputElement).value.trim());
    });
  }

  async open(/** @type {string} */ requestId) {
    find("#request-id", HTMLInputElement).value = requestId;
    this.#requestId = requestId;
    this.problem.textContent = "";
    try {
      const report = await this.#ask(requestId);
      if (requestId !== this.#requestId) return;
      this.frame.hidden = false;
      this.#show(report);
      this.frame.focus({ preventScroll: true });
      this.frame.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (requestId !== this.#requestId) return;
      this.close();
      const isUnknown = error instanceof ApiProblem && error.status === 404;
      this.problem.textContent = isUnknown ? `No stream ${requestId} is known: it may have expired.` : describe(error);
    }
  }

  close() {
    this.#requestId = "";
    this.frame.hidden = true;
  }

  /** With each overview: a stream that runs is looked at again. */
  async follow() {
    if (this.#requestId === "" || this.#isAsking || !this.#isRunning) return;
    const requestId = this.#requestId;
    this.#isAsking = true;
    try {
      const report = await this.#ask(requestId);
      if (requestId === this.#requestId) this.#show(report);
    } catch (error) {
      if (requestId === this.#requestId) this.problem.textContent = describe(error);
    } finally {
      this.#isAsking = false;
    }
  }

  /** @param {string} requestId @returns {Promise<AdminStreamReport>} */
  #ask(requestId) {
    return this.api.get(`streams/${encodeURIComponent(requestId)}`);
  }

  #build() {
    this.title = element("h3", { id: "inspection-title", class: "mono" });
    this.state = element("p", { class: "state" });
    this.flush = button("Flush this stream", () => void this.#flush());
    this.cancel = button("Cancel the stream", () => void this.#cancel(), { class: "danger" });
    const close = button("Close", () => {
      this.close();
      find("#request-id", HTMLInputElement).focus();
    });
    this.facts = element("dl", { class: "facts" });
    this.storage = element("dl", { class: "facts" });
    this.rest = element("dl", { class: "facts" });
    const readers = element("div");
    const timeline = element("div");
    this.live = element(
      "div",
      {},
      element("h4", {}, "Readers"),
      readers,
      element("h4", {}, "Source and storage"),
      this.storage,
    );
    this.more = element("details", {}, element("summary", {}, "Deadlines and settings"), this.rest);
    this.timelineNote = element("p", { class: "soft" });
    this.frame.replaceChildren(
      element(
        "div",
        { class: "head" },
        this.title,
        element("div", { class: "buttons" }, this.flush, this.cancel, close),
      ),
      this.state,
      this.facts,
      this.live,
      element("h4", {}, "Timeline"),
      this.timelineNote,
      timeline,
      this.more,
    );
    this.readers = readerTable(readers);
    this.timeline = timelineTable(timeline);
  }

  #show(/** @type {AdminStreamReport} */ report) {
    const { title, state, facts, live, more, cancel, flush } = this;
    if (title === undefined || state === undefined || facts === undefined || live === undefined) return;
    setText(title, this.#requestId);
    const known = report.status ?? report.summary;
    this.#isRunning = known !== null && RUNNING.includes(known.state) && report.status !== null;
    setText(state, stateLine(report));
    state.className = `state ${known === null ? "" : toneOf(known)}`;
    showFacts(facts, report.status === null ? summaryFacts(report.summary) : statusFacts(report));
    live.hidden = report.status === null;
    if (more !== undefined) more.hidden = report.status === null;
    if (cancel !== undefined) cancel.hidden = !this.#isRunning;
    if (flush !== undefined) flush.hidden = report.status === null;
    if (report.status !== null) this.#showLive(report);
    this.#showTimeline(report);
  }

  #showLive(/** @type {StreamInspection} */ { readers, source, storage, deadlines, settings }) {
    this.readers?.show(readers);
    if (this.storage !== undefined) {
      showFacts(this.storage, [
        ["Source", source.is_open ? "open" : "closed"],
        ["Last activity", time(source.last_activity_at)],
        ["Silent for", duration(source.silent_ms)],
        ["Storage", storage.is_degraded ? "degraded: not written" : "well"],
        ["Not yet stored", size(storage.unstored_bytes)],
        ["Oldest of it", duration(storage.oldest_unstored_ms)],
        ["Segments", count(storage.segments)],
      ]);
    }
    if (this.rest !== undefined) {
      const due = Object.entries(deadlines).map(([name, at]) => pair(`due: ${name}`, time(at)));
      showFacts(this.rest, [...due, ...Object.entries(settings).map(([name, given]) => pair(name, value(given)))]);
    }
  }

  #showTimeline(/** @type {AdminStreamReport} */ { timeline, timeline_error: problem }) {
    if (this.timelineNote !== undefined) {
      const note =
        "As its telemetry has told it: what the stream holds back comes with the next hand-over, or with a flush.";
      setText(this.timelineNote, problem === null || problem === undefined ? note : `There may be more: ${problem}`);
    }
    this.timeline?.show(timeline);
  }

  async #flush() {
    const requestId = this.#requestId;
    const work = async () => {
      const lines = [
        `Stream ${requestId} writes what it has not stored yet and hands over its telemetry; then the shard that has it is flushed and committed.`,
      ];
      if (!(await isConfirmed({ title: "Flush this stream?", lines, yes: "Flush" }))) return undefined;
      const report = await this.api.post("flush", { query: { request_id: requestId }, timeoutMs: LONG_MS });
      this.onChange();
      await this.open(requestId);
      return `${flushResult(report)} ${streamResult(report.stream)}`;
    };
    if (this.flush !== undefined) await act({ control: this.flush, name: "Flush", work });
  }

  async #cancel() {
    const requestId = this.#requestId;
    const work = async () => {
      const lines = [
        `Stream ${requestId}: ${this.state?.textContent ?? ""}`,
        "Its source is aborted, and its readers get the end with status “cancelled”. It cannot be started again.",
      ];
      const question = { title: "Cancel this stream?", lines, yes: "Cancel the stream", isDangerous: true };
      if (!(await isConfirmed(question))) return undefined;
      const status = await this.api.delete(`streams/${encodeURIComponent(requestId)}`);
      this.onChange();
      await this.open(requestId);
      return `the stream is ${status.state} after ${plural(status.events, "event")}.`;
    };
    if (this.cancel !== undefined) await act({ control: this.cancel, name: "Cancellation", work });
  }
}

/** @param {string} name @param {string} shown @returns {[string, string]} */
function pair(name, shown) {
  return [name.replaceAll("_", " "), shown];
}

/** @param {AdminStreamReport} report */
function stateLine(report) {
  if (report.status !== null) {
    const { state, reason, route, events, readers } = report.status;
    return `${streamLine({ route, state, events, readers })}${reason === undefined ? "" : `, ${reason}`}`;
  }
  return report.summary === null
    ? "Nothing is left but its timeline."
    : `Its object holds nothing any more. Last heard of: ${report.summary.state}.`;
}

/** @param {StreamInspection} inspection @returns {[string, string][]} */
function statusFacts({ status, tenant }) {
  return [
    ["Route", status.route],
    ["Tenant", text(tenant)],
    ["State", status.reason === undefined ? status.state : `${status.state}: ${status.reason}`],
    ["Started", time(status.started_at)],
    ["Ended", time(status.ended_at)],
    ["Expires", time(status.expires_at)],
    ["Events", count(status.events)],
    ["Retained", `${count(status.retained_events)} (${size(status.retained_bytes)})`],
    ["Ids retained", status.first_id === null ? "none" : `${status.first_id} to ${status.last_id}`],
    ["Trimmed", count(status.trimmed_events)],
    ["Folded", count(status.folded_events)],
    ["Resumes", count(status.resumes)],
    ["Correlation id", text(status.correlation_id)],
  ];
}

/** @param {StreamSummary | null} summary @returns {[string, string][]} */
function summaryFacts(summary) {
  if (summary === null) return [];
  return [
    ["Route", summary.route],
    ["Tenant", text(summary.tenant)],
    ["State", summary.reason === null ? summary.state : `${summary.state}: ${summary.reason}`],
    ["Started", time(summary.started_at)],
    ["Ended", time(summary.ended_at)],
    ["Ran", duration(summary.duration_ms)],
    ["Events", count(summary.events)],
    ["Trimmed", count(summary.trimmed_events)],
    ["Folded", count(summary.folded_events)],
    ["Resumes", count(summary.resumes)],
  ];
}

/** @param {FlushedStream | null | undefined} stream */
function streamResult(stream) {
  if (stream === null || stream === undefined) return "The stream itself is no longer there.";
  if (stream.error !== null) return `What the stream did is not known: ${stream.error}.`;
  const stored = stream.stored ? "The stream has stored everything" : "The stream could not store everything";
  return `${stored} and handed over ${plural(stream.telemetry_events, "telemetry record")}.`;
}

function readerTable(/** @type {HTMLElement} */ host) {
  /** @type {LiveTable<InspectedReader>} */
  const table = new LiveTable(host, {
    caption: "Readers of this stream",
    columns: [
      { title: "Attached", text: ({ attached_at: at }) => time(at), isHeader: true },
      { title: "Mode", text: ({ mode }) => mode },
      { title: "Position", text: ({ position }) => position, kind: "mono" },
      { title: "Age", text: ({ age_ms: ms }) => duration(ms), kind: "number" },
      { title: "Sent", text: ({ sent_bytes: bytes }) => size(bytes), kind: "number" },
      {
        title: "Takes nothing for",
        text: ({ waiting_ms: ms }) => duration(ms),
        kind: "number",
        tone: ({ waiting_ms: ms }) => (ms > 30_000 ? "bad" : ""),
      },
    ],
    key: ({ attached_at: at }) => at,
    empty: "Nobody reads it now.",
  });
  return table;
}

function timelineTable(/** @type {HTMLElement} */ host) {
  /** @type {LiveTable<TimelineStep>} */
  const table = new LiveTable(host, {
    caption: "Timeline of this stream, oldest first",
    columns: [
      { title: "Time", text: (step) => time(value(step["at"])), isHeader: true },
      { title: "Event", text: (step) => value(step["event"]), kind: "mono" },
      { title: "Fields", text: fieldsOf, kind: "wide" },
    ],
    key: (step) => `${step["at"]} ${step["event"]}`,
    empty: "Its telemetry has told nothing yet.",
  });
  return table;
}

/** @param {TimelineStep} step */
function fieldsOf(step) {
  return Object.entries(step)
    .filter(([name, given]) => name !== "at" && name !== "event" && given !== null)
    .map(([name, given]) => `${name}: ${value(given)}`)
    .join(", ");
}
