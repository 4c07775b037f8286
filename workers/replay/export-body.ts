/**
 * Reads the body of a replay: lines of an export, or of the copies that a reset has made. First whether whole
 * sections are whole; then line by line, so that no more of it is in memory than its bytes. Pure.
 */
import { createHash } from "node:crypto";

import { EXPORT_VERSION } from "../../protocol/buffer-export.ts";
import type { SpillwayError } from "../../protocol/errors.ts";
import { toText } from "../ingest/text-encoding.ts";
import { readExportedLine, type LineReading } from "./exported-line.ts";

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** As the service writes them; what says the same in other words is passed over all the same. */
const FRAMES = ["export", "progress", "end", "unreadable"] as const;
type Frame = (typeof FRAMES)[number];
const FRAME_STARTS = FRAMES.map((frame) => [frame, new TextEncoder().encode(`{"${frame}":`)] as const);

interface Line {
  /** From 1. */
  readonly number: number;
  /** Without its end. */
  readonly bytes: Uint8Array;
}

/** @returns what is wrong with a section that is there from its head to its end */
export function checkSections(body: Uint8Array): SpillwayError | undefined {
  let section: { readonly hash: ReturnType<typeof createHash>; events: number } | undefined;
  for (const { number, bytes } of linesOf(body)) {
    const frame = frameOf(bytes);
    if (frame === undefined) {
      section?.hash.update(bytes).update("\n");
      if (section !== undefined) section.events++;
    } else if (frame === "export") {
      const { version } = membersOf(bytes, frame);
      if (version !== EXPORT_VERSION) return invalid("export", `line ${number}: version ${EXPORT_VERSION} is needed`);
      section = { hash: createHash("sha256"), events: 0 };
    } else if (frame === "end" && section !== undefined) {
      const { events, sha256 } = membersOf(bytes, frame);
      if (events !== section.events) {
        return invalid(
          "end",
          `line ${number}: ${section.events} events are there, not what it says; nothing was taken`,
        );
      }
      if (sha256 !== section.hash.digest("hex")) {
        return invalid("end", `line ${number}: the digest is another one, so lines have changed; nothing was taken`);
      }
      section = undefined;
    }
  }
  return undefined;
}

/** The events of all lines that should hold one, in their order. */
export function* readExportBody(body: Uint8Array): Generator<{ readonly line: number } & LineReading> {
  for (const { number, bytes } of linesOf(body)) {
    const frame = frameOf(bytes);
    if (frame === "unreadable")
      yield { line: number, ok: false, detail: "is a damaged row: no event can be made of it" };
    if (frame !== undefined) continue;
    const text = toText(bytes);
    const reading: LineReading | undefined =
      text === undefined ? { ok: false, detail: "is not UTF-8" } : readExportedLine(text);
    if (reading !== undefined) yield { line: number, ...reading };
  }
}

/** Lines that hold anything. */
function* linesOf(body: Uint8Array): Generator<Line> {
  let number = 0;
  for (let start = 0; start < body.byteLength;) {
    const feed = body.indexOf(LINE_FEED, start);
    const next = feed === -1 ? body.byteLength : feed + 1;
    let end = feed === -1 ? body.byteLength : feed;
    if (end > start && body[end - 1] === CARRIAGE_RETURN) end--;
    number++;
    if (end > start) yield { number, bytes: body.subarray(start, end) };
    start = next;
  }
}

function frameOf(bytes: Uint8Array): Frame | undefined {
  return FRAME_STARTS.find(([, start]) => start.every((byte, at) => bytes[at] === byte))?.[0];
}

function membersOf(bytes: Uint8Array, frame: Frame): Readonly<Record<string, unknown>> {
  try {
    const line: unknown = JSON.parse(toText(bytes) ?? "");
    const members: unknown = (line as Readonly<Record<string, unknown>>)[frame];
    return typeof members === "object" && members !== null ? { ...members } : {};
  } catch {
    // Cut short or changed: then it says nothing, and nothing matches.
    return {};
  }
}

function invalid(field: string, detail: string): SpillwayError {
  return { code: "invalid_request", field, detail };
}
