/**
 * Limits on what a request may bring, and reading its body within them.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import { HEADERS_MAX_CHARS, URL_MAX_CHARS } from "../../protocol/limits.ts";
import { readBytes } from "./body-bytes.ts";

/** @returns the limit a request breaks by its URL or headers, or `undefined` */
export function checkRequestSize(request: Request): SpillwayError | undefined {
  if (request.url.length > URL_MAX_CHARS) return { code: "uri_too_long", maxChars: URL_MAX_CHARS };
  let chars = 0;
  for (const [name, value] of request.headers) chars += name.length + value.length;
  return chars > HEADERS_MAX_CHARS ? { code: "headers_too_large", maxChars: HEADERS_MAX_CHARS } : undefined;
}

export type BodyReading =
  | { readonly ok: true; readonly body: Uint8Array | undefined }
  | { readonly ok: false; readonly error: SpillwayError };

/** Reads a body up to `maxBytes`, and stops reading beyond. A missing or empty body is `undefined`. */
export async function readBody(request: Request, maxBytes: number): Promise<BodyReading> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    // The limit and the idempotency check are over plain bytes; compressed ones would slip both.
    const detail = `Content-Encoding ${JSON.stringify(encoding)} is not accepted; send the body uncompressed.`;
    return { ok: false, error: { code: "unsupported_media_type", detail } };
  }
  const body = await readBytes(request, maxBytes);
  if (body === undefined) return { ok: false, error: { code: "body_too_large", maxBytes } };
  return { ok: true, body: body.byteLength === 0 ? undefined : body };
}
