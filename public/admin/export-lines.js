// @ts-check
/**
 * The lines of an export: cut out of bytes as they come, and held against what the export says of itself.
 * Pure: neither files nor calls.
 */
import { Sha256 } from "./sha256.js";

const LINE_END = 10;
const DECODER = new TextDecoder();

/** @typedef {"export" | "progress" | "end" | "unreadable" | "event" | "empty"} LineKind */

/** Lines with their ends; the last one is given one where it has none. @param {AsyncIterable<Uint8Array>} chunks @returns {AsyncGenerator<Uint8Array>} */
export async function* linesOf(chunks) {
  /** @type {Uint8Array[]} */
  let begun = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, from)) {
      yield joined([...begun, chunk.subarray(from, end + 1)]);
      begun = [];
      from = end + 1;
    }
    if (from < chunk.length) begun.push(chunk.subarray(from));
  }
  if (begun.length > 0) yield joined([...begun, Uint8Array.of(LINE_END)]);
}

/** @param {readonly Uint8Array[]} parts */
function joined(parts) {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** By how it begins: exports are written by the service, one way. @param {Uint8Array} line @returns {LineKind} */
export function kindOf(line) {
  const begin = DECODER.decode(line.subarray(0, 16));
  if (begin.trim() === "") return "empty";
  for (const kind of /** @type {const} */ (["export", "progress", "end", "unreadable"])) {
    if (begin.startsWith(`{"${kind}"`)) return kind;
  }
  return "event";
}

/** @typedef {{ kind: "whole" } | { kind: "cut" } | { kind: "different", detail: string }} Verdict */

/** Counts and sums up what passes: one section, or several one after the other. */
export class ExportCheck {
  /** Of the section that has begun. */
  #sum = new Sha256();
  #sectionEvents = 0;
  #isEnded = false;
  /** @type {string | undefined} */
  #fault;
  #isCut = false;
  events = 0;
  /** Rows that were damaged when they were exported: no replay can bring them back. */
  unreadableRows = 0;
  /** As the first lines announce them. */
  announced = 0;

  /** @param {Uint8Array} line @param {LineKind} kind */
  take(line, kind) {
    if (kind === "event") {
      this.#isEnded = false;
      this.events += 1;
      this.#sectionEvents += 1;
      this.#sum.update(line);
    } else if (kind === "unreadable") {
      this.unreadableRows += 1;
    } else if (kind === "export") {
      if (this.#sectionEvents > 0) this.#isCut = true;
      this.announced += JSON.parse(DECODER.decode(line)).export?.events ?? 0;
      this.#begin();
    } else if (kind === "end") {
      this.#end(JSON.parse(DECODER.decode(line)).end ?? {});
    }
  }

  /** @returns {Verdict} */
  verdict() {
    if (this.#fault !== undefined) return { kind: "different", detail: this.#fault };
    return this.#isCut || !this.#isEnded ? { kind: "cut" } : { kind: "whole" };
  }

  #begin() {
    this.#sum = new Sha256();
    this.#sectionEvents = 0;
    this.#isEnded = false;
  }

  /** @param {{ events?: number, sha256?: string }} end */
  #end({ events, sha256 }) {
    const found = this.#sectionEvents;
    if (events !== found) this.#fault ??= `a section has ${found} events, and its end says ${events}`;
    else if (sha256 !== this.#sum.hex()) this.#fault ??= "the checksum of a section is another one";
    this.#begin();
    this.#isEnded = true;
  }
}
