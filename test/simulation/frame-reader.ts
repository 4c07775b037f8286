/**
 * Wire bytes back to frames, as far as the checker needs: whole frames with their place in the
 * byte sequence, so that it can tell what a reader has that was cut anywhere.
 *
 * Independent of `protocol/sse-frame.ts` and of the parser the service reads its sources with.
 */

import { fail } from "./violation.ts";

export interface Frame {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string | undefined;
  readonly retry: string | undefined;
  readonly isComment: boolean;
  /** Bytes of the connection up to and with this frame. */
  readonly endOffset: number;
}

const FRAME_END = "\n\n";

export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);
  private offset = 0;

  /** Whether bytes of an unfinished frame have come. */
  get isMidFrame(): boolean {
    return this.pending.length > 0;
  }

  /** @returns the frames that these bytes completed */
  feed(chunk: Uint8Array): Frame[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const all = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    const frames: Frame[] = [];
    let start = 0;
    for (let end = all.indexOf(FRAME_END); end !== -1; end = all.indexOf(FRAME_END, start)) {
      const next = end + FRAME_END.length;
      this.offset += next - start;
      frames.push(readFrame(all.toString("utf8", start, end), this.offset));
      start = next;
    }
    // A copy: the chunk is shared by readers, and may be held far longer here than by its owner.
    this.pending = Buffer.from(all.subarray(start));
    return frames;
  }
}

function readFrame(text: string, endOffset: number): Frame {
  if (text.includes("\r")) fail("protocol", "a carriage return on the wire ends a line for readers");
  let id: string | undefined;
  let event: string | undefined;
  let retry: string | undefined;
  let data: string | undefined;
  let isComment = false;
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "id") id = value;
    else if (field === "event") event = value;
    else if (field === "retry") retry = value;
    else if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "" && colon === 0) isComment = true;
    else fail("protocol", `unknown field on the wire: ${line.slice(0, 80)}`);
  }
  return { id, event, data, retry, isComment, endOffset };
}
