/**
 * Events as a snapshot lists them: `{"id":…,"event":…,"data":"…"}`. A large one is made slice by slice, and
 * never whole in memory.
 */
import { formatEventId } from "../../protocol/event-id.ts";
import { readFrame, type ReadFrame } from "../../protocol/sse-frame.ts";

const FIRST_DATA = "\ndata: ";
const END = "\n\n";
/** A line break may lie across two slices. */
const CARRY_CHARS = FIRST_DATA.length - 1;

export class LargeFrameText {
  private readonly decoder = new TextDecoder();
  private head: string | undefined = "";
  private carry = "";

  /** @returns JSON text of what these bytes of the frame add, with its end where they are the last */
  feed(bytes: Uint8Array, isLast: boolean): string {
    const text = this.decoder.decode(bytes, { stream: !isLast });
    if (this.head === undefined) return this.body(text, isLast);
    this.head += text;
    const dataAt = this.head.indexOf(FIRST_DATA);
    if (dataAt === -1) return "";
    const lead = snapshotEntry({ ...readFrame(`${this.head.slice(0, dataAt)}${END}`), data: "" });
    const rest = this.head.slice(dataAt + FIRST_DATA.length);
    this.head = undefined;
    return lead.slice(0, -'"}'.length) + this.body(rest, isLast);
  }

  private body(text: string, isLast: boolean): string {
    const all = this.carry + text;
    const end = isLast ? all.length - END.length : Math.max(0, all.length - CARRY_CHARS);
    // No line break may be cut in two.
    const breakAt = isLast ? -1 : all.lastIndexOf("\n", end - 1);
    const cut = breakAt !== -1 && breakAt > end - FIRST_DATA.length ? breakAt : end;
    this.carry = all.slice(cut);
    const data = all.slice(0, cut).replaceAll(FIRST_DATA, "\n");
    const escaped = JSON.stringify(data).slice(1, -1);
    return isLast ? `${escaped}"}` : escaped;
  }
}

/** An event as a snapshot lists it; its data comes last. */
export function snapshotEntry({ id, event, isTrimmed, data }: ReadFrame): string {
  const name = event === undefined ? {} : { event };
  return JSON.stringify({ id: formatEventId(id), ...name, ...(isTrimmed ? { trimmed: true } : {}), data });
}
