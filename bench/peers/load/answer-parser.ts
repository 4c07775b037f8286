/**
 * Answers on a kept connection, one after the other: status, and where the next begins. Bodies are
 * skipped. As much of HTTP/1.1 as servers answer appends with; not a general client.
 */
import { parseHead } from "../../lib/reading.ts";
import { ChunkedBody } from "../../lib/wire-scanner.ts";

const HEAD_END = "\r\n\r\n";
const BODILESS = new Set([204, 304]);

export interface Answer {
  readonly status: number;
  /** Whether the server keeps the connection. */
  readonly isKept: boolean;
}

export class AnswerParser {
  private rest: Buffer = Buffer.alloc(0);

  /** @returns the answer that is now complete, of which there is one for each request at most */
  feed(bytes: Uint8Array): Answer | undefined {
    this.rest = this.rest.byteLength === 0 ? Buffer.from(bytes) : Buffer.concat([this.rest, bytes]);
    const headEnd = this.rest.indexOf(HEAD_END);
    if (headEnd === -1) return undefined;
    const { status, headers } = parseHead(this.rest.toString("latin1", 0, headEnd));
    const bodyAt = headEnd + HEAD_END.length;
    if (status < 200) {
      // "100 Continue" and its like announce the answer.
      const following = this.rest.subarray(bodyAt);
      this.rest = Buffer.alloc(0);
      return this.feed(following);
    }
    if (!this.hasBody(bodyAt, status, headers)) return undefined;
    this.rest = Buffer.alloc(0);
    return { status, isKept: headers.get("connection")?.toLowerCase() !== "close" };
  }

  private hasBody(bodyAt: number, status: number, headers: ReadonlyMap<string, string>): boolean {
    if (BODILESS.has(status)) return true;
    if (headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
      const body = new ChunkedBody(() => undefined);
      body.feed(this.rest, bodyAt, this.rest.byteLength);
      return body.isComplete && this.rest.subarray(-4).toString("latin1") === HEAD_END;
    }
    return this.rest.byteLength - bodyAt >= Number(headers.get("content-length") ?? 0);
  }
}
