/**
 * Telemetry out of a log: `wrangler tail --format json`, or lines as the service prints them. No I/O.
 */
import { printableField } from "./printable.ts";
import { fields } from "./units.ts";

/** A document that grows beyond this is no tail's. */
const DOCUMENT_MAX_CHARS = 4 * 1024 * 1024;

/**
 * Cuts a text into its JSON objects, on one line or many, and passes over what stands between them. An
 * object that is not closed when another begins at a line's start is given up.
 */
export class JsonObjects {
  private text = "";
  private scannedTo = 0;
  private depth = 0;
  private isInString = false;

  /** @returns the objects that are whole now */
  take(chunk: string): unknown[] {
    this.text += chunk;
    const found: unknown[] = [];
    for (; this.scannedTo < this.text.length; this.scannedTo++) {
      const letter = this.text[this.scannedTo];
      if (letter === "{" && this.depth > 0 && this.text[this.scannedTo - 1] === "\n") this.restart();
      if (this.isInString) this.inString(letter);
      else if (letter === '"') this.isInString = this.depth > 0;
      else if (letter === "{") this.open();
      else if (letter === "}" && this.depth > 0) this.close(found);
    }
    if (this.depth === 0 || this.text.length > DOCUMENT_MAX_CHARS) this.clear();
    return found;
  }

  private inString(letter: string | undefined): void {
    // The character after a backslash, also where it comes with the next piece.
    if (letter === "\\") this.scannedTo++;
    else if (letter === '"') this.isInString = false;
  }

  private open(): void {
    if (this.depth === 0) {
      this.text = this.text.slice(this.scannedTo);
      this.scannedTo = 0;
    }
    this.depth++;
  }

  private close(found: unknown[]): void {
    this.depth--;
    if (this.depth > 0) return;
    const value = parse(this.text.slice(0, this.scannedTo + 1));
    if (value !== undefined) found.push(value);
    this.text = this.text.slice(this.scannedTo + 1);
    this.scannedTo = -1;
  }

  private restart(): void {
    this.text = this.text.slice(this.scannedTo);
    this.scannedTo = 0;
    this.depth = 0;
    this.isInString = false;
  }

  private clear(): void {
    this.text = "";
    this.scannedTo = 0;
    this.depth = 0;
    this.isInString = false;
  }
}

export type TelemetryRecord = Readonly<Record<string, unknown>> & { readonly event: string };

/** The records of one document of a tail, or of one line of the service's own log. */
export function recordsOf(document: unknown): TelemetryRecord[] {
  if (isTelemetry(document)) return [document];
  if (typeof document !== "object" || document === null || !("logs" in document)) return [];
  const logs: unknown = document.logs;
  if (!Array.isArray(logs)) return [];
  return logs.flatMap((log: unknown) => {
    const messages: unknown = typeof log === "object" && log !== null && "message" in log ? log.message : [];
    const texts = Array.isArray(messages) ? (messages as unknown[]) : [messages];
    return texts.map((text) => (typeof text === "string" ? parse(text) : text)).filter(isTelemetry);
  });
}

export interface RecordFilter {
  readonly events: readonly string[];
  readonly routes: readonly string[];
  readonly requestIds: readonly string[];
}

/** Each of them that is given has to fit. */
export function fits(record: TelemetryRecord, { events, routes, requestIds }: RecordFilter): boolean {
  return isAmong(events, record.event) && isAmong(routes, record["route"]) && isAmong(requestIds, record["request_id"]);
}

function isAmong(wanted: readonly string[], value: unknown): boolean {
  return wanted.length === 0 || (typeof value === "string" && wanted.includes(value));
}

/** On one line; a field or another record cannot be made up by what stands in one. */
export function recordText({ event, time, ...members }: TelemetryRecord): string {
  return [typeof time === "string" ? printableField(time) : "-", printableField(event), ...fields(members)].join("  ");
}

function isTelemetry(value: unknown): value is TelemetryRecord {
  return typeof value === "object" && value !== null && "event" in value && typeof value.event === "string";
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Some other text of a log.
    return undefined;
  }
}
