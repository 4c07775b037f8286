/**
 * A request body that is far larger than anybody may send, from a caller that does not stop by itself.
 */
import { request } from "node:http";

const CHUNK_BYTES = 256 * 1024;

export interface HugeBodyAnswer {
  readonly status: number;
  readonly code: unknown;
  /** What the caller got rid of before it was answered. */
  readonly sentBytes: number;
}

/** @param how whether the size is told beforehand, or the body comes in chunks without an end in sight */
export function sendHugeBody(url: string, bytes: number, how: "announced" | "chunked"): Promise<HugeBodyAnswer> {
  const chunk = Buffer.alloc(CHUNK_BYTES, "x");
  const size = how === "announced" ? { "content-length": String(bytes) } : {};
  return new Promise((resolve, reject) => {
    let sentBytes = 0;
    const state = { isAnswered: false };
    const call = request(url, { method: "POST", agent: false, headers: { "content-type": "text/plain", ...size } });
    const write = () => {
      while (sentBytes < bytes && !state.isAnswered) {
        sentBytes += chunk.byteLength;
        if (!call.write(chunk)) return void call.once("drain", write);
      }
      if (!state.isAnswered) call.end();
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
    // Once it is answered, the other side may close what it will not read.
    call.on("error", (error) => void (state.isAnswered || reject(error)));
    write();
  });
}
