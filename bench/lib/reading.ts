/**
 * One connection of a reader: its response head, then the events of its body. A bare socket, so that
 * receiving costs the same little whatever it receives from. Not a client: no redirects, no reconnects.
 */
import { connect, type Socket } from "node:net";

import { nowUs } from "./source-script.ts";
import { ChunkedBody, EventScanner } from "./wire-scanner.ts";

const RECEIVE_BYTES = 64 * 1024;
const HEAD_END = "\r\n\r\n";

export interface ResponseHead {
  readonly status: number;
  /** By names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface RequestLine {
  readonly origin: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export class Reading {
  readonly attached = Promise.withResolvers<ResponseHead>();
  readonly ended = Promise.withResolvers<void>();
  readonly scanner: EventScanner;
  bytes = 0;
  /** When bytes came last. One look at the clock serves all events of a read. */
  receivedAtUs = 0;
  /** When the request was sent: the connection was there, opening it is not in it. */
  requestedAtUs = 0;
  private readonly body: ChunkedBody;
  private head: Buffer | undefined = Buffer.alloc(0);
  /** Without a transfer coding, the body is what comes until the connection ends. */
  private isChunked = true;
  private readonly socket: Socket;

  /** @param onEvent told when each event was sent, and when its bytes came */
  constructor(request: RequestLine, onEvent: (sentAtUs: number, receivedAtUs: number) => void) {
    this.scanner = new EventScanner((sentAtUs) => onEvent(sentAtUs, this.receivedAtUs));
    this.body = new ChunkedBody((buffer, start, end) => this.scanner.scan(buffer, start, end));
    // A promise that nobody waits for any more is no fault of the process.
    this.attached.promise.catch(() => undefined);
    const { hostname, port } = new URL(request.origin);
    this.socket = connect({
      host: hostname,
      port: Number(port),
      onread: { buffer: Buffer.alloc(RECEIVE_BYTES), callback: (length, buffer) => this.receive(length, buffer) },
    });
    this.socket.setNoDelay(true);
    this.socket.on("error", (error) => this.attached.reject(error));
    this.socket.on("close", () => {
      this.attached.reject(new Error("closed before its response head"));
      this.ended.resolve();
    });
    this.socket.on("connect", () => {
      this.requestedAtUs = nowUs();
      this.socket.write(requestText(request));
    });
  }

  /** Whether the body was closed as HTTP says, not cut. Never of a body without a transfer coding. */
  get isComplete(): boolean {
    return this.body.isComplete;
  }

  close(): void {
    this.socket.destroy();
  }

  private receive(length: number, chunk: Uint8Array): boolean {
    this.receivedAtUs = nowUs();
    this.bytes += length;
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, length);
    if (this.head === undefined) this.take(buffer, 0, length);
    else this.receiveHead(this.head, buffer);
    if (this.body.isComplete) this.ended.resolve();
    return true;
  }

  private receiveHead(before: Buffer, buffer: Buffer): void {
    const all = Buffer.concat([before, buffer]);
    const end = all.indexOf(HEAD_END);
    if (end === -1) {
      this.head = all;
      return;
    }
    this.head = undefined;
    const head = parseHead(all.toString("latin1", 0, end));
    this.isChunked = head.headers.get("transfer-encoding") === "chunked";
    this.attached.resolve(head);
    this.take(all, end + HEAD_END.length, all.byteLength);
  }

  private take(buffer: Buffer, start: number, end: number): void {
    if (this.isChunked) this.body.feed(buffer, start, end);
    else this.scanner.scan(buffer, start, end);
  }
}

/** @param bodyBytes of the body that follows; without one, `POST` and `PUT` say that there is none */
export function requestText({ origin, method, path, headers }: RequestLine, bodyBytes = 0): string {
  const { host } = new URL(origin);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = method === "GET" ? "" : `Content-Length: ${bodyBytes}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines.join("")}${length}\r\n`;
}

/** @param text status line and header lines, without the empty line */
export function parseHead(text: string): ResponseHead {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(statusLine.split(" ")[1]), headers: new Map(headers) };
}
