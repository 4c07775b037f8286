// @ts-check
/**
 * Exports out of the service and back into it: what passes is counted and held against its checksum.
 */
import { ApiProblem } from "./api.js";
import { isConfirmed } from "./confirmation.js";
import { element, find, setText } from "./elements.js";
import { ExportCheck, kindOf, linesOf } from "./export-lines.js";
import { count, plural, size } from "./format.js";
import { LiveTable } from "./live-table.js";
import { act } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */

/** Below the 10 MiB that the service takes at once. */
const PART_MAX_BYTES = 8 * 1024 * 1024;
const SEND_TIMEOUT_MS = 120_000;
const FULL_WAIT_SEC = 5;
const REFUSED_SHOWN = 100;
const TELL_EVERY_EVENTS = 500;

/** @typedef {{ line: number, detail: string }} Refused */

export class Transfer {
  /** @type {AbortController | undefined} */
  #running;

  /** @param {{ api: AdminApi, onChange: () => void }} parts */
  constructor({ api, onChange }) {
    this.api = api;
    this.onChange = onChange;
    this.refused = refusedTable();
    find("#transfer-stop", HTMLButtonElement).addEventListener("click", () => this.#running?.abort());
    const form = find("#replay", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void act({ control: find("button", HTMLButtonElement, form), name: "Replay", work: () => this.#replay() });
    });
  }

  /** @param {string | undefined} shard @returns {Promise<string | undefined>} */
  async exportShard(shard) {
    return this.#run("Export", async (signal, progress) => {
      const response = await this.api.open("buffer/export", { query: { shard }, signal });
      const check = new ExportCheck();
      /** @type {Uint8Array<ArrayBuffer>[]} */
      const parts = [];
      for await (const line of linesOf(pieces(response.body))) {
        const kind = kindOf(line);
        check.take(line, kind);
        parts.push(new Uint8Array(line));
        if (check.events % TELL_EVERY_EVENTS === 0) progress(check.events, check.announced);
      }
      const verdict = check.verdict();
      if (verdict.kind === "cut")
        throw new Error(`The export broke off after ${plural(check.events, "event")}. Nothing was saved.`);
      if (verdict.kind === "different")
        throw new Error(`The export is not whole: ${verdict.detail}. Nothing was saved.`);
      const blob = new Blob(parts, { type: "application/x-ndjson" });
      const name = `spillway-${shard === undefined ? "all" : `shard-${shard}`}-${new Date().toISOString().replaceAll(":", "")}.ndjson`;
      save(blob, name);
      return `${plural(check.events, "event")} (${size(blob.size)}) in ${name}, checksum verified.${check.unreadableRows === 0 ? "" : ` ${plural(check.unreadableRows, "damaged row")} in it.`}`;
    });
  }

  async #replay() {
    const [file] = find("#replay-file", HTMLInputElement).files ?? [];
    if (file === undefined) return undefined;
    this.refused.show([]);
    return this.#run("Replay", async (signal, progress) => {
      const check = new ExportCheck();
      let readBytes = 0;
      for await (const line of linesOf(await unpacked(file))) {
        signal.throwIfAborted();
        check.take(line, kindOf(line));
        readBytes += line.length;
        if (check.events % TELL_EVERY_EVENTS === 0) progress(readBytes, file.size, size);
      }
      const verdict = check.verdict();
      if (verdict.kind === "different") {
        throw new Error(
          `The export is damaged or was edited: ${verdict.detail}. Nothing was sent. To replay it as it is, remove its last line.`,
        );
      }
      if (check.events === 0) throw new Error("There is no event in it.");
      const damaged =
        check.unreadableRows === 0
          ? []
          : [`${plural(check.unreadableRows, "row")} in it cannot be read, and stay out.`];
      const lines = [
        ...damaged,
        `${plural(check.events, "event")} of ${file.name} go into the buffer, in parts. Those that are there already, by shard and seq, are not taken twice.`,
        verdict.kind === "whole"
          ? "The export is whole: its checksum holds."
          : "The export has no end line: it broke off, or was put together by hand. Its last event may be cut.",
      ];
      if (!(await isConfirmed({ title: "Replay this export?", lines, yes: "Replay" }))) return undefined;
      const done = await this.#send({ file, events: check.events, signal, progress });
      this.onChange();
      return `${plural(done.events, "event")} sent: ${count(done.accepted)} taken, ${count(done.duplicates)} there already, ${count(done.refused)} refused.`;
    });
  }

  /** @param {{ file: File, events: number, signal: AbortSignal, progress: (done: number, of: number | undefined) => void }} parts */
  async #send({ file, events, signal, progress }) {
    const sum = { events: 0, accepted: 0, duplicates: 0, refused: 0 };
    /** @type {Refused[]} */
    const refused = [];
    for await (const { body, lineNumbers } of partsOf(linesOf(await unpacked(file)))) {
      const answer = await this.#sendPart(body, signal);
      sum.events += answer.events;
      sum.accepted += answer.accepted;
      sum.duplicates += answer.duplicates;
      sum.refused += answer.rejected_lines ?? answer.rejected.length;
      for (const { line, detail } of answer.rejected) refused.push({ line: lineNumbers[line - 1] ?? line, detail });
      this.refused.show(refused.slice(0, REFUSED_SHOWN));
      progress(sum.events, events);
    }
    return sum;
  }

  /** A full buffer is waited for: a flush makes room. @param {Blob} body @param {AbortSignal} signal @returns {Promise<{ events: number, accepted: number, duplicates: number, rejected: Refused[], rejected_lines?: number }>} */
  async #sendPart(body, signal) {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.api.post("buffer/replay", { body, signal, timeoutMs: SEND_TIMEOUT_MS });
      } catch (error) {
        if (!(error instanceof ApiProblem) || error.code !== "buffer_full") throw error;
        const waitSec = error.retryAfterSec ?? FULL_WAIT_SEC;
        setText(find("#transfer-text", HTMLElement), `The buffer is full: waiting ${waitSec} s for a flush.`);
        await new Promise((done) => {
          setTimeout(done, waitSec * 1000);
        });
      }
    }
  }

  /**
   * One at a time, with its progress shown.
   * @param {string} what
   * @param {(signal: AbortSignal, progress: (done: number, of: number | undefined, show?: (value: number) => string) => void) => Promise<string | undefined>} work
   */
  async #run(what, work) {
    if (this.#running !== undefined) throw new Error("Another export or replay is still running.");
    const running = new AbortController();
    this.#running = running;
    const frame = find("#transfer", HTMLElement);
    const bar = find("#transfer-progress", HTMLProgressElement);
    frame.hidden = false;
    setText(find("#transfer-text", HTMLElement), what);
    bar.removeAttribute("value");
    try {
      return await work(running.signal, (done, of, show = count) => {
        if (of !== undefined && of > 0) bar.value = Math.min(done / of, 1);
        setText(find("#transfer-text", HTMLElement), `${what}: ${show(done)} of ${of === undefined ? "?" : show(of)}`);
      });
    } catch (error) {
      if (running.signal.aborted)
        throw new Error("Stopped. What was sent before stays; sending it again does no harm.", { cause: error });
      throw error;
    } finally {
      this.#running = undefined;
      frame.hidden = true;
    }
  }
}

/** Event lines alone, in bodies that the service takes. @param {AsyncIterable<Uint8Array>} lines */
async function* partsOf(lines) {
  /** @type {{ lines: Uint8Array<ArrayBuffer>[], numbers: number[], bytes: number }} */
  let part = { lines: [], numbers: [], bytes: 0 };
  const packed = () => ({ body: new Blob(part.lines, { type: "application/x-ndjson" }), lineNumbers: part.numbers });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (kindOf(line) !== "event") continue;
    if (part.bytes > 0 && part.bytes + line.length > PART_MAX_BYTES) {
      yield packed();
      part = { lines: [], numbers: [], bytes: 0 };
    }
    part.lines.push(new Uint8Array(line));
    part.numbers.push(number);
    part.bytes += line.length;
  }
  if (part.bytes > 0) yield packed();
}

/** The file's bytes, inflated where it is gzipped. @param {File} file */
async function unpacked(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = first === 0x1f && second === 0x8b;
  return pieces(isGzip ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream());
}

/** Streams are not iterable in every browser yet. @param {ReadableStream<Uint8Array> | null} stream @returns {AsyncGenerator<Uint8Array>} */
async function* pieces(stream) {
  const reader = stream?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  link.click();
  // The download has its own hold on the bytes once it has begun.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function refusedTable() {
  /** @type {LiveTable<Refused>} */
  const table = new LiveTable(find("#refused-lines", HTMLElement), {
    caption: `Refused lines of the last replay, at most ${REFUSED_SHOWN}`,
    columns: [
      { title: "Line", text: ({ line }) => count(line), kind: "number", isHeader: true },
      { title: "Refused because", text: ({ detail }) => detail, kind: "wide" },
    ],
    key: ({ line }) => String(line),
    empty: "",
  });
  return table;
}
