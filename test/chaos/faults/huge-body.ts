/**
 * A request body that is far larger than anybody may send, from a caller that does not stop by itself.
 */
import { request } from "node:http";

const CHUNK_BYTES = 256 * 1024;
/** So long a caller waits for an answer to the announced size before it sends the body. */
const ANNOUNCED_WAIT_MS = 2_000;

/**
 * `announced`: the size is told, and an answer to that waited for; `announced in vain`: told, and sent all the same;
 * `chunked`: the body comes in chunks without an end in sight.
 */
type HugeBody = "announced" | "announced in vain" | "chunked";

export interface HugeBodyAnswer {
  /** `cut`: the connection was closed before an answer was read. */
  readonly status: number | "cut";
  readonly code: unknown;
  /** What the caller got rid of before it was answered. */
  readonly sentBytes: number;
}

export function sendHugeBody(url: string, bytes: number, how: HugeBody): Promise<HugeBodyAnswer> {
  const chunk = Buffer.alloc(CHUNK_BYTES, "x");
  const size = how === "chunked" ? {} : { "content-length": String(bytes) };
  return new Promise((resolve, reject) => {
    let sentBytes = 0;
    const state = { isAnswered: false };
    const call = request(url, { method: "POST", agent: false, headers: { "content-type": "text/plain", ...size } });
    // An answer that has come is read before more is sent.
    const writeSoon = () => void setImmediate(write);
    const write = () => {
      if (state.isAnswered || call.destroyed) return;
      if (sentBytes >= bytes) return void call.end();
      sentBytes += chunk.byteLength;
      if (call.write(chunk)) writeSoon();
      else call.once("drain", writeSoon);
    };
    call.on("response", (response) => {
      state.isAnswered = true;
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        call.destroy();
        const answer = JSON.parse(Buffer.concat(parts).toString("utf8")) as Record<string, unknown>;
        resolve({ status: response.statusCode ?? 0, code: answer["code"], sentBytes });
      });
    });
    call.on("error", (error: NodeJS.ErrnoException) => {
      // Once it is answered, the other side may close what it will not read.
      if (state.isAnswered) return;
      if (error.code === "EPIPE" || error.code === "ECONNRESET") resolve({ status: "cut", code: undefined, sentBytes });
      else reject(error);
    });
    if (how !== "announced") return write();
    call.flushHeaders();
    setTimeout(write, ANNOUNCED_WAIT_MS);
  });
}
