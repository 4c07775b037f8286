/**
 * Server-Sent Events on the way out: one place where events become wire text.
 *
 * A frame is made once, stored as made and copied on replay. Every event frame begins with its
 * `id:` line; {@link skipFramesThrough} relies on that, and on frames ending with an empty line.
 *
 * Source: WHATWG HTML, 9.2 Server-sent events.
 */
import { formatEventId, parseEventId, type EventId } from "./event-id.ts";

/** One event as a source sent it, after parsing, before it has an id of ours. */
export interface SourceEvent {
  /** Event name; `undefined` is the default (`message`). */
  readonly event: string | undefined;
  /** Data with its lines joined by LF, never holding CR. */
  readonly data: string;
  /** Reconnection time in ms that the source asked for with or before this event. */
  readonly retryMs: number | undefined;
}

/** What every event stream is answered with, so that nothing on its way keeps, changes or holds it back. */
export const EVENT_STREAM_HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store, no-transform",
  "X-Accel-Buffering": "no",
} as const;

/** A comment: keeps proxies from cutting an idle response, and shows us a reader that is gone. */
export const HEARTBEAT_FRAME = ":\n\n";
/** Sent with the response head, so that no proxy holds the head back for a first byte. */
export const OPENING_FRAME = ": spillway\n\n";

export function eventFrame(id: EventId, event: SourceEvent): string {
  let frame = `id: ${formatEventId(id)}\n`;
  if (event.event !== undefined) frame += `event: ${event.event}\n`;
  if (event.retryMs !== undefined) frame += `retry: ${event.retryMs}\n`;
  return frame + dataLines(event.data) + "\n";
}

/**
 * A frame without data: EventSource dispatches nothing, but takes the id as its position
 * (WHATWG 9.2.6: the last event ID is set before an empty data buffer ends the dispatch).
 */
export function primingFrame(position: EventId | undefined, retryMs: number): string {
  const id = position === undefined ? "" : `id: ${formatEventId(position)}\n`;
  return `${id}retry: ${retryMs}\n\n`;
}

export function retryFrame(retryMs: number): string {
  return `retry: ${retryMs}\n\n`;
}

/** An in-band control event; only `gap` and `end` carry an id. */
export function controlFrame(event: string, payload: object, options: { id?: EventId; retryMs?: number } = {}): string {
  const id = options.id === undefined ? "" : `id: ${formatEventId(options.id)}\n`;
  const retry = options.retryMs === undefined ? "" : `retry: ${options.retryMs}\n`;
  return `${id}event: ${event}\n${retry}data: ${JSON.stringify(payload)}\n\n`;
}

function dataLines(data: string): string {
  if (!data.includes("\n")) return `data: ${data}\n`;
  return data
    .split("\n")
    .map((line) => `data: ${line}\n`)
    .join("");
}

const LF = 10;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const HYPHEN = 45;
const ID_PREFIX_LENGTH = "id: ".length;

/**
 * Drops the leading frames whose seq is `seq` or less.
 *
 * Reads the `id:` line of each frame it passes and nothing else: O(bytes dropped).
 *
 * @param frames whole event frames, in order
 * @returns a view of the same memory, empty when nothing is left
 * @throws if a frame does not begin with an id of ours: stored bytes are broken
 */
export function skipFramesThrough(frames: Uint8Array, seq: number): Uint8Array {
  let start = 0;
  while (start < frames.length && seqOfFrameAt(frames, start) <= seq) start = endOfFrame(frames, start);
  return frames.subarray(start);
}

function seqOfFrameAt(frames: Uint8Array, start: number): number {
  let at = start + ID_PREFIX_LENGTH;
  while (at < frames.length && frames[at] !== HYPHEN && frames[at] !== LF) at++;
  let seq = 0;
  let digits = 0;
  for (at++; at < frames.length; at++, digits++) {
    const byte = frames[at];
    if (byte === undefined || byte < DIGIT_0 || byte > DIGIT_9) break;
    seq = seq * 10 + (byte - DIGIT_0);
  }
  if (digits === 0 || frames[at] !== LF) throw new Error("stored frame does not begin with an event id");
  return seq;
}

function endOfFrame(frames: Uint8Array, start: number): number {
  let at = frames.indexOf(LF, start);
  while (at !== -1) {
    if (frames[at + 1] === LF) return at + 2;
    at = frames.indexOf(LF, at + 1);
  }
  return frames.length;
}

/** A stored frame, taken apart again. */
export interface ReadFrame extends SourceEvent {
  readonly id: EventId;
  /** Whether its payload has given up verbose fields: see {@link TRIMMED_LINE}. */
  readonly isTrimmed: boolean;
}

/** A comment within a frame whose payload has given something up: no reader trips over it, a human sees it. */
const TRIMMED_LINE = ": payload trimmed\n";

export function trimmedFrame(id: EventId, event: SourceEvent): string {
  return eventFrame(id, event).replace("\n", `\n${TRIMMED_LINE}`);
}

/** Takes wire text of whole event frames apart, in order. */
export function splitFrames(text: string): string[] {
  const frames: string[] = [];
  for (let start = 0; start < text.length;) {
    const blankAt = text.indexOf("\n\n", start);
    const end = blankAt === -1 ? text.length : blankAt + 2;
    frames.push(text.slice(start, end));
    start = end;
  }
  return frames;
}

/** @throws if the text is no frame made by {@link eventFrame}: stored bytes are broken */
export function readFrame(text: string): ReadFrame {
  let id: EventId | undefined;
  let event: string | undefined;
  let retryMs: number | undefined;
  let isTrimmed = false;
  const data: string[] = [];
  for (const line of text.slice(0, -2).split("\n")) {
    if (line.startsWith("data: ")) data.push(line.slice("data: ".length));
    else if (line.startsWith("id: ")) id = parseEventId(line.slice(ID_PREFIX_LENGTH));
    else if (line.startsWith("event: ")) event = line.slice("event: ".length);
    else if (line.startsWith("retry: ")) retryMs = Number(line.slice("retry: ".length));
    else if (line.startsWith(":")) isTrimmed = true;
  }
  if (id === undefined) throw new Error("stored frame does not begin with an event id");
  return { id, event, retryMs, data: data.join("\n"), isTrimmed };
}

/** Position given by a reader: absent, readable, or not an id at all. */
export function readPosition(text: string | undefined): EventId | "absent" | "malformed" {
  // EventSource never sends an empty Last-Event-ID; proxies and scripts do, and mean none.
  if (text === undefined || text === "") return "absent";
  return parseEventId(text) ?? "malformed";
}
