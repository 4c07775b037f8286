/**
 * Source bytes to events, as a reader directly at the upstream would see them.
 *
 * Bytes may be cut anywhere, also inside a character or between CR and LF. Memory is bounded by the
 * largest event. An event without its closing empty line is dropped at the end, as the grammar says.
 *
 * Source: WHATWG HTML, 9.2.5 and 9.2.6.
 */
import { createParser } from "eventsource-parser";

import { EVENT_NAME_MAX_CHARS } from "../../protocol/limits.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";

/** Longest id and epoch, field names and line ends around an event's own text. */
const FRAME_OVERHEAD_BYTES = 128;
const DATA_PREFIX_BYTES = "data: \n".length;
/** UTF-8 needs at most three bytes for one UTF-16 code unit. */
const MAX_BYTES_PER_CHAR = 3;

/** How much longer than an event a line may be that is passed over. */
const SKIPPED_LINE_FACTOR = 16;

const textEncoder = new TextEncoder();

export class SourceParser {
  /** An event, or an unfinished line, is larger than allowed. Feeding on is pointless. */
  isOverflown = false;
  /** A reconnection time that came after the last event. */
  trailingRetryMs: number | undefined;
  private events: SourceEvent[] = [];
  /** Length of the last line so far. */
  private unendedChars = 0;
  private readonly decoder = new TextDecoder();
  private readonly parser;

  private readonly eventMaxBytes: number;

  constructor(eventMaxBytes: number) {
    this.eventMaxBytes = eventMaxBytes;

    this.parser = createParser({
      maxBufferSize: eventMaxBytes,
      onEvent: ({ event, data }) => this.take({ event, data, retryMs: this.trailingRetryMs }),
      onRetry: (retryMs) => {
        // Beyond this a number prints with an exponent, which no reader takes for digits.
        if (Number.isSafeInteger(retryMs)) this.trailingRetryMs = retryMs;
      },
      onError: (error) => {
        // Unknown fields and bad retry values are ignored by the grammar.
        if (error.type === "max-buffer-size-exceeded") this.isOverflown = true;
      },
    });
    // The decoder takes off the byte order mark; the parser would take off a second one, which is
    // content. Fed one of its own, it has had it.
    this.parser.feed("\uFEFF");
  }

  /** @returns the events that these bytes completed */
  feed(bytes: Uint8Array): SourceEvent[] {
    if (this.isOverflown) return [];
    this.events = [];
    const text = this.decoder.decode(bytes, { stream: true });
    this.parser.feed(text);
    this.measureLine(text);
    return this.events;
  }

  /**
   * The parser bounds what it keeps; of a line that can be no field it keeps nothing, for ever. Such a
   * line may be long, since it costs no memory, but not endless.
   */
  private measureLine(text: string): void {
    const lineFeedAt = text.lastIndexOf("\n");
    const lineEndAt = lineFeedAt === -1 ? text.lastIndexOf("\r") : lineFeedAt;
    this.unendedChars = lineEndAt === -1 ? this.unendedChars + text.length : text.length - lineEndAt - 1;
    if (this.unendedChars > this.eventMaxBytes * SKIPPED_LINE_FACTOR) this.isOverflown = true;
  }

  private take(event: SourceEvent): void {
    if (this.isOverflown) return;
    const isNameTooLong = (event.event?.length ?? 0) > EVENT_NAME_MAX_CHARS;
    if (isNameTooLong || isLargerThan(event, this.eventMaxBytes)) {
      this.isOverflown = true;
      return;
    }
    this.trailingRetryMs = undefined;
    this.events.push(event);
  }
}

/** Whether an event's frame would be larger than `maxBytes`; exact, and cheap for small events. */
function isLargerThan({ event = "", data }: SourceEvent, maxBytes: number): boolean {
  const chars = event.length + data.length;
  if (chars * (MAX_BYTES_PER_CHAR + DATA_PREFIX_BYTES) + FRAME_OVERHEAD_BYTES <= maxBytes) return false;
  const lines = data.split("\n").length;
  const textBytes = textEncoder.encode(data).byteLength + textEncoder.encode(event).byteLength;
  return textBytes + lines * DATA_PREFIX_BYTES + FRAME_OVERHEAD_BYTES > maxBytes;
}
