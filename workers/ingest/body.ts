/**
 * Reads a request's body within a limit, and undoes gzip within the same limit. Not for bodies that are
 * passed on as they come.
 */
import { gunzipSync } from "node:zlib";

import type { SpillwayError } from "../../protocol/errors.ts";
import { INGEST_BODY_MAX_BYTES } from "../../protocol/ingest-limits.ts";

export type IngestBodyReading =
  | { readonly ok: true; readonly body: Uint8Array }
  | { readonly ok: false; readonly error: SpillwayError };

/** The part of a `Request` that is read. */
export type BodySource = Pick<Request, "headers" | "body">;

/**
 * @param maxBytes limit on the body as sent, and again on what is left after decompression
 * @returns the bytes, none for a missing body; 413 beyond the limit, 400 for broken gzip, 415 for
 *   encodings other than gzip and identity (RFC 9110, 8.4)
 */
export async function readIngestBody(
  request: BodySource,
  maxBytes: number = INGEST_BODY_MAX_BYTES,
): Promise<IngestBodyReading> {
  const encoding = (request.headers.get("content-encoding") ?? "").trim().toLowerCase();
  const isGzip = encoding === "gzip" || encoding === "x-gzip";
  if (!isGzip && encoding !== "" && encoding !== "identity") {
    const detail = "This Content-Encoding is not accepted; accepted are gzip and identity.";
    return { ok: false, error: { code: "unsupported_media_type", detail } };
  }
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) return tooLarge(maxBytes);
  const body = await readBytes(request, maxBytes);
  if (body === undefined) return tooLarge(maxBytes);
  return isGzip ? gunzip(body, maxBytes) : { ok: true, body };
}

function tooLarge(maxBytes: number): IngestBodyReading {
  return { ok: false, error: { code: "body_too_large", maxBytes } };
}

/** Most bytes asked for at a time. Iterating brings 4 KB a turn, which costs three times the CPU. */
const CHUNK_BYTES = 256 * 1024;

/** @returns `undefined` for a body that is longer; what is left of it is not read then */
async function readBytes({ headers, body: stream }: BodySource, maxBytes: number): Promise<Uint8Array | undefined> {
  if (stream === null) return new Uint8Array(0);
  // A request's body is a byte stream, in the Workers runtime and under Node.
  const reader = stream.getReader({ mode: "byob" });
  // What is announced only sizes the buffers; what is there is read, and counted.
  const announced = Number(headers.get("content-length"));
  const chunkBytes = announced > 0 ? Math.min(announced, CHUNK_BYTES) : CHUNK_BYTES;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read(new Uint8Array(chunkBytes));
    if (done) break;
    size += value.byteLength;
    if (size > maxBytes) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const joined = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  return joined;
}

/**
 * In one call, which stops at the limit. A DecompressionStream would not: in the Workers runtime its
 * writable side never holds back, and a gzip bomb of 1 MB has filled a gigabyte before the reader has
 * counted to the limit.
 */
function gunzip(body: Uint8Array, maxBytes: number): IngestBodyReading {
  try {
    return { ok: true, body: gunzipSync(body, { maxOutputLength: maxBytes }) };
  } catch (error) {
    // The limit is a RangeError, under Node and in the Workers runtime; the rest is what gzip it is not.
    if (error instanceof RangeError) return tooLarge(maxBytes);
    return { ok: false, error: { code: "invalid_request", field: "body", detail: "is not valid gzip" } };
  }
}
