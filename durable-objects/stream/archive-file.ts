/**
 * A finished stream as one object of the archive: a line that says what it is, a line that says what is in
 * it, then its segments, folded and deflated, each as long as the second line says.
 *
 *   {"format":"spillway-stream","version":1,"crc32":"cbf43926"}\n
 *   {"record":{…},"segments":[{…,"payloadBytes":812,"foldsBytes":97}]}\n
 *   payload folds payload folds …
 *
 * The checksum is over all that follows its line: most of a payload says nothing by itself about whether it
 * is whole, and readers would be sent what is not.
 */
import { deflateSync, inflateSync } from "fflate";

import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { crc32 } from "../crc32.ts";
import { joinBytes } from "./join-bytes.ts";
import { factsOf, type SegmentFacts } from "./segment-index.ts";
import { deflateRow, isDeflated } from "./segment-payload.ts";
import type { SegmentRow, StreamRecord } from "./stream-store.ts";

const FORMAT = "spillway-stream";
const VERSION = 1;
const LF = 10;
const NOTHING = new Uint8Array(0);
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

export interface ArchivedStream {
  readonly record: StreamRecord;
  readonly rows: readonly SegmentRow[];
}

interface ArchivedSegment extends SegmentFacts {
  readonly payloadBytes: number;
  readonly foldsBytes: number;
  /** Deflated for the archive alone: a large event is read slice by slice from its row, which needs it plain. */
  readonly isPacked: boolean;
}

/** The first line. */
interface Label {
  readonly format: unknown;
  readonly version: unknown;
  readonly crc32: number | undefined;
}

/** The second one. */
interface Contents {
  readonly record: StreamRecord;
  readonly segments: readonly ArchivedSegment[];
}

/** The object is none of ours, of a version this code does not know, or damaged. Its message holds nothing of it. */
export class UnreadableArchiveError extends Error {
  override readonly name = "UnreadableArchiveError";
}

/** One segment, as small as it can be. The caller lets turns pass between them: deflating takes time. */
export interface PackedSegment {
  readonly facts: ArchivedSegment;
  readonly parts: readonly Uint8Array[];
}

export function packSegment(row: SegmentRow): PackedSegment {
  const isLarge = row.wireBytes > SEGMENT_MAX_BYTES;
  const small = isLarge || isDeflated(row.encoding) ? row : (deflateRow(row, 6) ?? row);
  const { payload, folds } = small;
  const packed = isLarge ? deflateSync(payload) : payload;
  const foldsPart = folds === undefined ? NOTHING : deflateSync(textEncoder.encode(folds));
  const sizes = { payloadBytes: packed.byteLength, foldsBytes: foldsPart.byteLength, isPacked: isLarge };
  return { facts: { ...factsOf(small), ...sizes }, parts: [packed, foldsPart] };
}

export function encodeArchive(record: StreamRecord, segments: readonly PackedSegment[]): Uint8Array {
  const contents: Contents = { record, segments: segments.map(({ facts }) => facts) };
  // In the place of the label, which is of one length whatever the sum is.
  const label = line(labelOf(0));
  const file = joinBytes([label, line(contents), ...segments.flatMap((segment) => segment.parts)]);
  file.set(line(labelOf(crc32(file.subarray(label.byteLength)))));
  return file;
}

/** @throws UnreadableArchiveError where the object is not what {@link encodeArchive} of this version made */
export function decodeArchive(file: Uint8Array): ArchivedStream {
  const labelEnd = file.indexOf(LF) + 1;
  const label = readLabel(textDecoder.decode(file.subarray(0, labelEnd)));
  if (label?.format !== FORMAT) throw new UnreadableArchiveError("not an archived stream");
  if (label.version !== VERSION) throw new UnreadableArchiveError("an archived stream of an unknown version");
  if (label.crc32 !== crc32(file.subarray(labelEnd))) {
    throw new UnreadableArchiveError("an archived stream that is damaged or cut short");
  }
  const contentsEnd = file.indexOf(LF, labelEnd) + 1;
  // What the checksum covers is what encodeArchive wrote.
  const { record, segments } = JSON.parse(textDecoder.decode(file.subarray(labelEnd, contentsEnd))) as Contents;
  let at = contentsEnd;
  const take = (bytes: number) => {
    const part = file.slice(at, at + bytes);
    at += bytes;
    return part;
  };
  const rows = segments.map(({ payloadBytes, foldsBytes, isPacked, ...facts }): SegmentRow => {
    const payload = take(payloadBytes);
    const folds = foldsBytes === 0 ? undefined : textDecoder.decode(inflateSync(take(foldsBytes)));
    return { ...factsOf(facts), payload: isPacked ? inflateSync(payload) : payload, folds };
  });
  return { record, rows };
}

/** As long for one checksum as for another. */
function labelOf(checksum: number): Record<string, unknown> {
  return { format: FORMAT, version: VERSION, crc32: checksum.toString(16).padStart(8, "0") };
}

function line(value: object): Uint8Array {
  return textEncoder.encode(`${JSON.stringify(value)}\n`);
}

function readLabel(text: string): Label | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { format, version, crc32: checksum } = value as Record<string, unknown>;
    return { format, version, crc32: typeof checksum === "string" ? Number.parseInt(checksum, 16) : undefined };
  } catch {
    // No JSON: no label of ours.
    return undefined;
  }
}
