/**
 * Reads a request's body within a limit, and undoes gzip within the same limit. Not for bodies that are
 * passed on as they come.
 */
import { gunzipSync } from "node:zlib";

import type { SpillwayError } from "../../protocol/errors.ts";
import { INGEST_BODY_MAX_BYTES } from "../../protocol/ingest-limits.ts";
import { readBytes, type BodySource } from "../http/body-bytes.ts";

export type IngestBodyReading =
  | { readonly ok: true; readonly body: Uint8Array }
  | { readonly ok: false; readonly error: SpillwayError };

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
  const body = await readBytes(request, maxBytes);
  if (body === undefined) return tooLarge(maxBytes);
  return isGzip ? gunzip(body, maxBytes) : { ok: true, body };
}

function tooLarge(maxBytes: number): IngestBodyReading {
  return { ok: false, error: { code: "body_too_large", maxBytes } };
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
