/**
 * The receiving side's light parsing: HTTP chunks taken apart, events found by one byte. The same
 * for Spillway and for the bare pass-through, and far cheaper than either, so that what is measured
 * is not the measuring.
 */
import { EVENT_MARK } from "./source-script.ts";

const MARK = EVENT_MARK.charCodeAt(0);
const LF = 10;
const DIGIT_0 = 48;
const DIGIT_9 = 57;

type Take = (buffer: Buffer, start: number, end: number) => void;

/** An HTTP/1.1 body in chunked transfer coding (RFC 9112, 7.1), without trailers. */
export class ChunkedBody {
  /** Whether the closing chunk has come: the body is complete, not cut. */
  isComplete = false;
  private part: "size" | "data" | "line-end" = "size";
  private sizeText = "";
  private leftBytes = 0;

  private readonly take: Take;

  constructor(take: Take) {
    this.take = take;
  }

  feed(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && !this.isComplete) {
      if (this.part === "data") {
        const stop = Math.min(end, at + this.leftBytes);
        this.take(buffer, at, stop);
        this.leftBytes -= stop - at;
        at = stop;
        if (this.leftBytes === 0) this.part = "line-end";
      } else if (this.part === "line-end") {
        if (buffer[at++] === LF) this.part = "size";
      } else {
        const byte = buffer[at++] ?? LF;
        if (byte === LF) this.beginChunk();
        else this.sizeText += String.fromCharCode(byte);
      }
    }
  }

  private beginChunk(): void {
    this.leftBytes = Number.parseInt(this.sizeText, 16);
    this.sizeText = "";
    if (this.leftBytes === 0) this.isComplete = true;
    this.part = "data";
  }
}

/** Finds the source's events in a body, also where they are cut, and checks that they are in order. */
export class EventScanner {
  events = 0;
  /** Whether every event so far followed the one before. */
  isContiguous = true;
  lastNumber = 0;
  private field: "none" | "number" | "time" = "none";
  private value = 0;

  private readonly onEvent: (sentAtUs: number) => void;

  /** @param onEvent told when each event was sent */
  constructor(onEvent: (sentAtUs: number) => void) {
    this.onEvent = onEvent;
  }

  scan(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.field === "none") {
        const mark = buffer.indexOf(MARK, at);
        if (mark === -1 || mark >= end) return;
        this.field = "number";
        this.value = 0;
        at = mark + 1;
        continue;
      }
      const byte = buffer[at++] ?? 0;
      if (byte >= DIGIT_0 && byte <= DIGIT_9) this.value = this.value * 10 + (byte - DIGIT_0);
      else this.endField();
    }
  }

  private endField(): void {
    if (this.field === "number") {
      if (this.value !== this.lastNumber + 1) this.isContiguous = false;
      this.lastNumber = this.value;
      this.field = "time";
    } else {
      this.events++;
      this.onEvent(this.value);
      this.field = "none";
    }
    this.value = 0;
  }
}
