/**
 * Reads a request's body up to a limit, and no further.
 */

/** The part of a `Request` that is read. */
export type BodySource = Pick<Request, "headers" | "body">;

/** Most bytes asked for at a time. Iterating brings 4 KB a turn, which costs three times the CPU. */
const CHUNK_BYTES = 256 * 1024;
const FIRST_BYTES = 16 * 1024;

/**
 * Holds at most twice what has come in, and one chunk: a body that trickles in costs no more than one that
 * comes at once.
 *
 * @returns none for a missing body; `undefined` for one that is longer, or says so
 */
export async function readBytes({ headers, body }: BodySource, maxBytes: number): Promise<Uint8Array | undefined> {
  const announced = Number(headers.get("content-length") ?? 0);
  if (announced > maxBytes) return undefined;
  if (body === null) return new Uint8Array(0);
  // A request's body is a byte stream, in the Workers runtime and under Node.
  const reader = body.getReader({ mode: "byob" });
  // What is announced only sizes the buffers; what is there is read, and counted.
  let chunk = new Uint8Array(announced > 0 ? Math.min(announced, CHUNK_BYTES) : CHUNK_BYTES);
  let bytes = new Uint8Array(0);
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read(chunk);
    if (done) return bytes.subarray(0, size);
    if (size + value.byteLength > maxBytes) {
      await reader.cancel();
      return undefined;
    }
    bytes = withRoomFor(bytes, size, value.byteLength);
    bytes.set(value, size);
    size += value.byteLength;
    // The stream has taken the chunk's memory and given it back: the next read fills it again.
    chunk = new Uint8Array(value.buffer);
  }
}

function withRoomFor(bytes: Uint8Array<ArrayBuffer>, size: number, more: number): Uint8Array<ArrayBuffer> {
  if (size + more <= bytes.byteLength) return bytes;
  const grown = new Uint8Array(Math.max(FIRST_BYTES, 2 * bytes.byteLength, size + more));
  grown.set(bytes.subarray(0, size));
  return grown;
}
