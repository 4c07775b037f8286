/**
 * What one stream of the benchmark's source is made of. Travels as the query of the start call,
 * which Spillway and the bare pass-through both hand on to the source.
 *
 * An event's data is `~<number> <sent at, µs> ` and padding: a receiver finds events by looking for
 * one byte, checks that none is missing, and knows how long each was on its way. Or it is a token of a
 * chat, or a record: see chat-script.ts.
 */
import { chatFrame, chatTail, recordFrame } from "./chat-script.ts";

export interface SourceScript {
  readonly events: number;
  /** Size of each event's data. */
  readonly bytes: number;
  /** Events a second; 0 is as fast as they are taken. */
  readonly rate: number;
  /** Events in each HTTP chunk. */
  readonly batch: number;
  /** Whether the source waits for a word after its response head. */
  readonly isHeld: boolean;
  /** How much later than it might a paced source begins, so that many do not keep step. */
  readonly offsetMs?: number;
  /**
   * `chat`: a model's answer, a token each, closed as such an answer is. `record`: JSON of `bytes` that
   * compresses as JSON does.
   */
  readonly kind?: "chat" | "record";
  /** Whether the stream stays open when all is sent. */
  readonly staysOpen?: boolean;
  /** In every padded event: whose it is. Without spaces and without `x`. */
  readonly mark?: string;
}

/** First byte of every event's data, and of nothing else on the wire. */
export const EVENT_MARK = "~";

export function scriptQuery(script: SourceScript): string {
  return new URLSearchParams(Object.entries(script).map(([name, value]) => [name, String(value)])).toString();
}

export function readScript(query: URLSearchParams): SourceScript {
  const number = (name: keyof SourceScript) => Number(query.get(name));
  const kind = query.get("kind");
  const mark = query.get("mark");
  return {
    events: number("events"),
    bytes: number("bytes"),
    rate: number("rate"),
    batch: number("batch"),
    isHeld: query.get("isHeld") === "true",
    ...(query.has("offsetMs") ? { offsetMs: number("offsetMs") } : {}),
    ...(kind === "chat" || kind === "record" ? { kind } : {}),
    staysOpen: query.get("staysOpen") === "true",
    ...(mark === null ? {} : { mark }),
  };
}

/** @param sentAtUs told by padded events alone */
export function sourceFrame({ kind, bytes, mark }: SourceScript, number: number, sentAtUs: number): string {
  if (kind === "chat") return chatFrame(number);
  if (kind === "record") return recordFrame(number, bytes);
  return `data: ${eventData(number, sentAtUs, bytes, mark)}\n\n`;
}

/** Of a padded event. */
export function eventData(number: number, sentAtUs: number, bytes: number, mark?: string): string {
  return `${EVENT_MARK}${number} ${sentAtUs} ${mark === undefined ? "" : `${mark} `}`.padEnd(bytes, "x");
}

/** What comes after the last event. */
export function sourceTail({ kind }: SourceScript): string {
  return kind === "chat" ? chatTail() : "";
}

/** A clock that all processes of one machine share: the time since boot, in µs. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
