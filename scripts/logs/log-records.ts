/**
 * Log records out of what a terminal gets: `wrangler tail --format json`, which writes one object after
 * another over many lines, or the output of `npm start`, where records are lines among others. Pure.
 */
import type { LogRecord } from "./recipes.ts";

/** More than any invocation logs: what is longer is no JSON. */
const OBJECT_MAX_CHARS = 4_194_304;

/** Takes text as it comes, and gives each whole object that begins a line. */
export class ObjectSplitter {
  private text = "";
  /** Where the search goes on. */
  private at = 0;
  private start = -1;
  private depth = 0;
  private isInString = false;

  push(chunk: string): unknown[] {
    this.text += chunk;
    const found: unknown[] = [];
    for (; this.at < this.text.length; this.at++) {
      const end = this.step(this.text[this.at] ?? "");
      if (end) this.take(found);
    }
    this.dropUnused();
    return found;
  }

  /** @returns whether an object ends here */
  private step(char: string): boolean {
    if (this.start === -1) {
      const isLineStart = this.at === 0 || this.text[this.at - 1] === "\n";
      if (char === "{" && isLineStart) this.begin();
      return false;
    }
    if (this.isInString) {
      if (char === "\\") this.at++;
      else if (char === '"') this.isInString = false;
      return false;
    }
    if (char === '"') this.isInString = true;
    if (char === "{") this.depth++;
    if (char === "}") this.depth--;
    return this.depth === 0;
  }

  private begin(): void {
    this.start = this.at;
    this.depth = 1;
    this.isInString = false;
  }

  private take(found: unknown[]): void {
    try {
      found.push(JSON.parse(this.text.slice(this.start, this.at + 1)));
    } catch {
      // Something else that began with a brace.
    }
    this.start = -1;
  }

  private dropUnused(): void {
    if (this.start !== -1 && this.text.length - this.start > OBJECT_MAX_CHARS) this.start = -1;
    // One sign before stays, to tell whether the next begins a line.
    const from = this.start === -1 ? Math.max(0, this.text.length - 1) : this.start;
    this.text = this.text.slice(from);
    this.at -= from;
    if (this.start !== -1) this.start = 0;
  }
}

/** The records of one object: of an invocation that was tailed, or the object itself. */
export function recordsOf(object: unknown): LogRecord[] {
  const { event, logs }: { event?: unknown; logs?: unknown } = Object(object);
  if (typeof event === "string") return [object as LogRecord];
  if (!Array.isArray(logs)) return [];
  return logs.flatMap((log) => {
    const { message }: { message?: unknown } = Object(log);
    return Array.isArray(message) ? message.flatMap(parseRecord) : [];
  });
}

/** Cloudflare tells so when more is logged than a tail can carry: what follows is a sample. */
export function isOverload(object: unknown): boolean {
  const { type }: { type?: unknown } = Object(Object(object).event);
  return type === "overload";
}

function parseRecord(text: unknown): LogRecord[] {
  if (typeof text !== "string") return [];
  try {
    const record: unknown = JSON.parse(text);
    return typeof record === "object" && record !== null && !Array.isArray(record) ? [record as LogRecord] : [];
  } catch {
    // Another line than ours.
    return [];
  }
}
