/**
 * One event's data, walked along a path tree: which spans of its raw text may change, and which may not.
 * Not for comparing or joining events (fold-run.ts).
 *
 * Invariants:
 * 1. Linear; recursion is bounded by the tree and by the scan's own limit.
 * 2. What cannot be told for certain has no shape: malformed JSON, two members of one name where a path
 *    leads, a name written with escapes there.
 */
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COMMA,
  endOfString,
  endOfValue,
  MALFORMED,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  skipSpace,
  startOfMember,
} from "./json-scan.ts";
import type { PathNode } from "./path-tree.ts";

/** A span of the raw text; that of a string that appends lies between its quotes. */
export interface Cut {
  readonly start: number;
  readonly end: number;
  readonly appends: boolean;
}

/** A stretch of the data with the spans in it that may change, in order. */
export interface Part {
  /** Raw key of an element of the keyed array; empty otherwise. */
  key: string;
  readonly start: number;
  end: number;
  readonly cuts: Cut[];
}

export interface Shape {
  /** The whole data but for the elements, which stand in `hole`, one of its cuts. */
  readonly outer: Part;
  readonly hole: Cut;
  /** What appends: elements of the keyed array, or the whole data as the one element. */
  readonly elements: readonly Part[];
  readonly isKeyed: boolean;
  /** The same for shapes that are known to differ in their spans alone; absent where that is not known. */
  readonly skeleton?: object;
  /** Raw values of the tags, in the order in which they were met. */
  readonly tags: readonly string[];
}

const KEY_CHARS_MAX = 15;
/** Most choices that OpenAI's API takes (`n`); elements are looked up one by one. */
const ELEMENTS_MAX = 128;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const NOTHING: ReadonlySet<string> = new Set(["null", '""', "[]", "{}"]);

export function readShape(data: string, tree: PathNode): Shape | undefined {
  return new Walk(data).shape(tree);
}

class Walk {
  readonly #data: string;
  readonly #outer: Part;
  #part: Part;
  #keyed: { readonly elements: readonly Part[]; readonly hole: Cut } | undefined;
  readonly #tags: string[] = [];

  constructor(data: string) {
    this.#data = data;
    this.#outer = partFrom(0);
    this.#part = this.#outer;
  }

  shape(tree: PathNode): Shape | undefined {
    const end = this.#value(tree, skipSpace(this.#data, 0), 0);
    if (end === MALFORMED || skipSpace(this.#data, end) !== this.#data.length) return undefined;
    this.#outer.end = this.#data.length;
    const tags = this.#tags;
    if (this.#keyed !== undefined) return { outer: this.#outer, ...this.#keyed, isKeyed: true, tags };
    return { ...wholeData(this.#outer), tags };
  }

  #value(node: PathNode, at: number, depth: number): number {
    const end = this.#endOf(node, at, depth);
    return end === MALFORMED || this.#note(node, at, end) ? end : MALFORMED;
  }

  #valueOrAny(node: PathNode | undefined, at: number, depth: number): number {
    return node === undefined ? endOfValue(this.#data, at, depth) : this.#value(node, at, depth);
  }

  #endOf(node: PathNode, at: number, depth: number): number {
    if (node.role === "drop") return endOfValue(this.#data, at, depth);
    const first = this.#data.charCodeAt(at);
    if (first === OPEN_BRACE && node.members !== undefined) return this.#object(node, node.members, { at, depth });
    if (first === OPEN_BRACKET && node.isKeyed) return this.#keyedArray(node, at, depth);
    if (first === OPEN_BRACKET && (node.elements ?? node.everyElement) !== undefined) {
      return this.#array(node, at, depth);
    }
    return endOfValue(this.#data, at, depth);
  }

  /** @returns whether the event can still be told */
  #note(node: PathNode, at: number, end: number): boolean {
    switch (node.role) {
      case "plain":
        return true;
      case "append":
        if (this.#data.charCodeAt(at) === QUOTE) this.#part.cuts.push({ start: at + 1, end: end - 1, appends: true });
        return true;
      case "drop":
        this.#part.cuts.push({ start: at, end, appends: false });
        return true;
      case "latest":
        // Where paths lead on into it, what is within was looked at piece by piece.
        if (!isWalked(node, this.#data.charCodeAt(at))) this.#part.cuts.push({ start: at, end, appends: false });
        return true;
      case "barrier":
        return end - at <= "null".length && NOTHING.has(this.#data.slice(at, end));
      case "tag":
        this.#tags.push(this.#data.slice(at, end));
        return true;
      case "key":
        this.#part.key = this.#data.slice(at, end);
        return isPlainIndex(this.#part.key);
    }
  }

  #object(
    node: PathNode,
    members: ReadonlyMap<string, PathNode>,
    { at, depth }: { readonly at: number; readonly depth: number },
  ): number {
    const data = this.#data;
    const met: PathNode[] = [];
    let next = skipSpace(data, at + 1);
    if (data.charCodeAt(next) === CLOSE_BRACE) return next + 1;
    for (;;) {
      const nameEnd = data.charCodeAt(next) === QUOTE ? endOfString(data, next) : MALFORMED;
      if (nameEnd === MALFORMED) return MALFORMED;
      const name = data.slice(next + 1, nameEnd - 1);
      if (name.includes("\\")) return MALFORMED;
      const member = members.get(name);
      if (member !== undefined) {
        if (met.includes(member)) return MALFORMED;
        met.push(member);
      }
      next = startOfMember(data, nameEnd);
      if (next === MALFORMED) return MALFORMED;
      next = this.#valueOrAny(member ?? node.otherMembers, next, depth + 1);
      if (next === MALFORMED) return MALFORMED;
      next = skipSpace(data, next);
      const code = data.charCodeAt(next);
      if (code === CLOSE_BRACE) return next + 1;
      if (code !== COMMA) return MALFORMED;
      next = skipSpace(data, next + 1);
    }
  }

  #array(node: PathNode, at: number, depth: number): number {
    const data = this.#data;
    let next = skipSpace(data, at + 1);
    if (data.charCodeAt(next) === CLOSE_BRACKET) return next + 1;
    for (let index = 0; ; index++) {
      const element = node.elements?.get(index) ?? node.everyElement;
      next = this.#valueOrAny(element, next, depth + 1);
      if (next === MALFORMED) return MALFORMED;
      next = skipSpace(data, next);
      const code = data.charCodeAt(next);
      if (code === CLOSE_BRACKET) return next + 1;
      if (code !== COMMA) return MALFORMED;
      next = skipSpace(data, next + 1);
    }
  }

  /** Elements stand close together, as in what is written here: else joining them would change spacing. */
  #keyedArray(node: PathNode, at: number, depth: number): number {
    const data = this.#data;
    const first = skipSpace(data, at + 1);
    const elements: Part[] = [];
    for (let next = first; node.everyElement !== undefined; next++) {
      if (data.charCodeAt(next) !== OPEN_BRACE) return MALFORMED;
      this.#part = partFrom(next);
      next = this.#value(node.everyElement, next, depth + 1);
      if (next === MALFORMED || !canStandAmong(elements, this.#part)) return MALFORMED;
      this.#part.end = next;
      elements.push(this.#part);
      if (data.charCodeAt(next) === COMMA) continue;
      this.#part = this.#outer;
      this.#keyed = { elements, hole: { start: first, end: next, appends: false } };
      this.#part.cuts.push(this.#keyed.hole);
      const closeAt = skipSpace(data, next);
      return data.charCodeAt(closeAt) === CLOSE_BRACKET ? closeAt + 1 : MALFORMED;
    }
    return MALFORMED;
  }
}

function partFrom(start: number): Part {
  return { key: "", start, end: start, cuts: [] };
}

/** Everything is one element; nothing is around it. */
function wholeData(whole: Part): Omit<Shape, "tags"> {
  const hole = { start: 0, end: whole.end, appends: false };
  return { outer: { key: "", start: 0, end: whole.end, cuts: [hole] }, hole, elements: [whole], isKeyed: false };
}

/** Shape of data that is no JSON and appends as it is. */
export function plainShape(data: string): Shape {
  const whole = { key: "", start: 0, end: data.length, cuts: [{ start: 0, end: data.length, appends: true }] };
  return { ...wholeData(whole), tags: [] };
}

function isWalked(node: PathNode, first: number): boolean {
  if (first === OPEN_BRACE) return node.members !== undefined;
  return first === OPEN_BRACKET && (node.isKeyed || (node.elements ?? node.everyElement) !== undefined);
}

function canStandAmong(elements: readonly Part[], element: Part): boolean {
  return element.key !== "" && elements.length < ELEMENTS_MAX && !elements.some(({ key }) => key === element.key);
}

/** Plain digits only, so that one index has one spelling. */
function isPlainIndex(raw: string): boolean {
  if (raw.length === 0 || raw.length > KEY_CHARS_MAX || (raw.length > 1 && raw.startsWith("0"))) return false;
  for (let at = 0; at < raw.length; at++) {
    const code = raw.charCodeAt(at);
    if (code < DIGIT_0 || code > DIGIT_9) return false;
  }
  return true;
}
