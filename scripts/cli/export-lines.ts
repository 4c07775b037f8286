/**
 * The lines of an export (protocol/buffer-export.ts), checked: header, events, progress, and an end whose count and
 * SHA-256 must be those of the events before it. No I/O.
 */
import { createHash, type Hash } from "node:crypto";

import { failure } from "./exit-codes.ts";

/** An event is 1 MiB at most, and JSON in JSON may double it a few times over. */
const LINE_MAX_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

export type ExportLine =
  | { readonly kind: "header"; readonly events: number }
  | { readonly kind: "event" }
  /** A row that the service could not read: no event, and in no checksum. */
  | { readonly kind: "unreadable" }
  | { readonly kind: "progress"; readonly events: number; readonly of: number }
  | { readonly kind: "end" };

/** Cuts bytes into lines; a last one without its newline is told so. */
export async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  // Pieces of a line that is not whole yet: joined once, however long it gets.
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of source) {
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, to + 1)]);
      [rest, restBytes] = [[], 0];
      from = to + 1;
    }
    rest.push(chunk.subarray(from));
    restBytes += chunk.length - from;
    if (restBytes > LINE_MAX_BYTES) throw failure(`A line is longer than ${LINE_MAX_BYTES} bytes: no export.`);
  }
  if (restBytes > 0) yield Buffer.concat(rest);
}

/**
 * Takes an export line by line, and says in the end whether it was whole. Several sections may follow each other,
 * as the copies of a reset do where they are joined; each has its own end.
 */
export class ExportCheck {
  /** Of all sections. */
  events = 0;
  lines = 0;
  /** Rows that the service itself could not read. */
  unreadable = 0;
  /** As the headers say. */
  announced: number | undefined;
  hasEnd = false;
  private section: { events: number; hash: Hash } | undefined = newSection();
  private firstFault: string | undefined;

  /** @throws a failure where the line is none of an export */
  take(line: Buffer): ExportLine {
    this.lines++;
    const value = line.at(-1) === NEWLINE ? parse(line) : undefined;
    if (value === undefined) throw failure(`Line ${this.lines} is cut short or no JSON.`);
    const { export: header, progress, end, event, unreadable } = value;
    if (isRecord(header)) return this.takeHeader(header);
    if (this.section === undefined) throw failure(`Line ${this.lines} comes after the end of the export.`);
    if (isRecord(event)) return this.takeEvent(line, this.section);
    if (isRecord(unreadable)) {
      this.unreadable++;
      return { kind: "unreadable" };
    }
    if (isRecord(progress)) {
      return { kind: "progress", events: Number(progress["events"]), of: Number(progress["of"]) };
    }
    if (!isRecord(end)) throw failure(`Line ${this.lines} is none of an export.`);
    return this.takeEnd(end, this.section);
  }

  /** What is wrong, now that no more lines come; `undefined`: nothing. */
  fault(): string | undefined {
    if (this.firstFault !== undefined) return this.firstFault;
    return this.section === undefined ? undefined : `it has no end: it broke off after ${this.events} events`;
  }

  private takeHeader(header: Record<string, unknown>): ExportLine {
    const isMidway = this.section !== undefined && this.lines > 1;
    if (isMidway) this.firstFault ??= `its section before line ${this.lines} has no end`;
    this.section = newSection();
    const events = Number(header["events"]);
    this.announced = (this.announced ?? 0) + events;
    return { kind: "header", events };
  }

  private takeEvent(line: Buffer, section: { events: number; hash: Hash }): ExportLine {
    this.events++;
    section.events++;
    section.hash.update(line);
    return { kind: "event" };
  }

  private takeEnd(end: Record<string, unknown>, { events, hash }: { events: number; hash: Hash }): ExportLine {
    this.hasEnd = true;
    this.section = undefined;
    const said = Number(end["events"]);
    if (said !== events) this.firstFault ??= `its end says ${said} events, and there are ${events}`;
    else if (end["sha256"] !== hash.digest("hex")) this.firstFault ??= "its checksum does not fit its events";
    return { kind: "end" };
  }
}

function newSection() {
  return { events: 0, hash: createHash("sha256") };
}

function parse(line: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"));
    return isRecord(value) ? value : undefined;
  } catch {
    // Told by whoever called, with the line's number.
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Event lines of one request. */
export interface Chunk {
  readonly body: Uint8Array<ArrayBuffer>;
  /** Number in the file of each line of the body, from 1. */
  readonly fileLines: readonly number[];
}

/** Gathers event lines into pieces of at most so many bytes; a longer line goes alone. */
export class ChunkGathering {
  private readonly maxBytes: number;
  private lines: Buffer[] = [];
  private fileLines: number[] = [];
  private bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** @returns the piece that is full, where this line does not fit into it any more */
  add(line: Buffer, fileLine: number): Chunk | undefined {
    const full = this.bytes + line.length > this.maxBytes ? this.flush() : undefined;
    this.lines.push(line);
    this.fileLines.push(fileLine);
    this.bytes += line.length;
    return full;
  }

  /** What is left; `undefined` where nothing is. */
  flush(): Chunk | undefined {
    if (this.lines.length === 0) return undefined;
    const chunk = { body: new Uint8Array(Buffer.concat(this.lines)), fileLines: this.fileLines };
    this.lines = [];
    this.fileLines = [];
    this.bytes = 0;
    return chunk;
  }
}
