/**
 * Deflate of a segment's worth of records by both libraries there are, as often as asked: what compression
 * costs by itself, in the benchmark's process and inside workerd.
 */
import { deflateRawSync } from "node:zlib";

import { deflateSync } from "fflate";

import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { recordFrame } from "./chat-script.ts";

export const DEFLATERS = ["fflate 6", "fflate 3", "fflate 1", "zlib 6", "zlib 1"] as const;
export type Deflater = (typeof DEFLATERS)[number];

const SEGMENTS = 16;
const RECORD_BYTES = 1000;
const textEncoder = new TextEncoder();
const segments = Array.from({ length: SEGMENTS }, (_, at) => segmentFrom(at * SEGMENT_MAX_BYTES));

/** @returns bytes that went in, and came out */
export function deflateTimes(deflater: Deflater, times: number): { readonly bytes: number; readonly deflated: number } {
  let bytes = 0;
  let deflated = 0;
  for (let time = 0; time < times; time++) {
    const segment = segments[time % SEGMENTS] ?? new Uint8Array();
    bytes += segment.byteLength;
    deflated += deflate(deflater, segment).byteLength;
  }
  return { bytes, deflated };
}

function deflate(deflater: Deflater, bytes: Uint8Array): Uint8Array {
  switch (deflater) {
    case "fflate 6":
      return deflateSync(bytes);
    case "fflate 3":
      return deflateSync(bytes, { level: 3 });
    case "fflate 1":
      return deflateSync(bytes, { level: 1 });
    case "zlib 6":
      return deflateRawSync(bytes);
    case "zlib 1":
      return deflateRawSync(bytes, { level: 1 });
  }
}

function segmentFrom(first: number): Uint8Array {
  let text = "";
  for (let number = first; ; number++) {
    const frame = recordFrame(number, RECORD_BYTES);
    if (text.length + frame.length > SEGMENT_MAX_BYTES) return textEncoder.encode(text);
    text += frame;
  }
}
