/**
 * The benchmark's readers, a process of its own: bare sockets, one job at a time.
 */
import { connect, type Socket } from "node:net";

import { LatencyHistogram } from "./lib/latency-histogram.ts";
import type { ReaderMessage, ReadJob, ReadResult } from "./lib/messages.ts";
import { nowUs } from "./lib/source-script.ts";
import { ChunkedBody, EventScanner } from "./lib/wire-scanner.ts";

/** Nothing for so long, and the stream is taken to be stuck. */
const SILENCE_LIMIT_US = 20_000_000;
const RECEIVE_BYTES = 64 * 1024;
const US_PER_SEC = 1_000_000;
const HEAD_END = "\r\n\r\n";

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/** One connection: its response head, then its events. */
class Reading {
  readonly attached = Promise.withResolvers<Head>();
  readonly ended = Promise.withResolvers<void>();
  readonly scanner: EventScanner;
  readonly body: ChunkedBody;
  bytes = 0;
  private head: Buffer | undefined = Buffer.alloc(0);
  private readonly socket: Socket;

  constructor(origin: string, request: string, onEvent: (sentAtUs: number) => void) {
    this.scanner = new EventScanner(onEvent);
    this.body = new ChunkedBody((buffer, start, end) => this.scanner.scan(buffer, start, end));
    // A promise that nobody waits for any more is no fault of the process.
    this.attached.promise.catch(() => undefined);
    const { hostname, port } = new URL(origin);
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
    this.socket.write(request);
  }

  close(): void {
    this.socket.destroy();
  }

  private receive(length: number, chunk: Uint8Array): boolean {
    receivedAtUs = nowUs();
    this.bytes += length;
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, length);
    if (this.head === undefined) this.body.feed(buffer, 0, length);
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
    this.attached.resolve(parseHead(all.toString("latin1", 0, end)));
    this.body.feed(all, end + HEAD_END.length, all.byteLength);
  }
}

/** When the bytes in hand were received. One look at the clock serves all events of a read. */
let receivedAtUs = 0;

process.on("message", (message) => {
  // The parent is the only one on this channel.
  run(message as ReadJob).catch((error: unknown) => tell({ kind: "failed", detail: String(error) }));
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

async function run(job: ReadJob): Promise<void> {
  const latencies = new LatencyHistogram();
  const began = { atUs: nowUs(), cpu: process.cpuUsage() };
  let firstEventUs = 0;
  let lastEventUs = 0;
  const onEvent = (sentAtUs: number) => {
    if (firstEventUs === 0) firstEventUs = receivedAtUs;
    lastEventUs = receivedAtUs;
    if (sentAtUs > 0) latencies.add(receivedAtUs - sentAtUs);
  };
  receivedAtUs = began.atUs;
  const readings: Reading[] = [];
  const open = async (method: string, path: string, token?: string) => {
    const reading = new Reading(job.origin, requestText(job, { method, path, token }), onEvent);
    readings.push(reading);
    const head = await reading.attached.promise;
    if (head.status !== 200) throw new Error(`${method} ${path} answered ${head.status}`);
    return head;
  };
  try {
    const { headers } = await open(job.start.method, job.start.path);
    const token = headers.get("x-resume-token");
    await Promise.all(Array.from({ length: job.readers - 1 }, () => open("GET", job.joinPath, token)));
    tell({ kind: "attached", requestId: headers.get("x-request-id"), resumeToken: token });
    await untilEnded(readings);
  } finally {
    for (const reading of readings) reading.close();
  }
  const { user, system } = process.cpuUsage(began.cpu);
  const result: ReadResult = {
    completeReaders: readings.filter(
      ({ scanner, body }) => scanner.isContiguous && scanner.events === job.expectedEvents && body.isComplete,
    ).length,
    events: readings.reduce((sum, { scanner }) => sum + scanner.events, 0),
    bytes: readings.reduce((sum, { bytes }) => sum + bytes, 0),
    totalSec: (lastEventUs - began.atUs) / US_PER_SEC,
    streamingSec: (lastEventUs - firstEventUs) / US_PER_SEC,
    readerCpuSec: (user + system) / US_PER_SEC,
    latencyCounts: latencies.counts,
  };
  tell({ kind: "done", result });
}

/** Until every reader has its end, or all of them have been silent for too long. */
async function untilEnded(readings: readonly Reading[]): Promise<void> {
  const silence = Promise.withResolvers<void>();
  const watch = setInterval(() => {
    if (nowUs() - receivedAtUs > SILENCE_LIMIT_US) silence.resolve();
  }, 500);
  await Promise.race([Promise.all(readings.map(({ ended }) => ended.promise)), silence.promise]);
  clearInterval(watch);
}

function requestText(job: ReadJob, call: { method: string; path: string; token: string | undefined }): string {
  const token = call.token === undefined ? "" : `X-Resume-Token: ${call.token}\r\n`;
  const length = call.method === "POST" ? "Content-Length: 0\r\n" : "";
  const { host } = new URL(job.origin);
  return `${call.method} ${call.path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n${token}${length}\r\n`;
}

function parseHead(text: string): Head {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(statusLine.split(" ")[1]), headers: new Map(headers) };
}

function tell(message: ReaderMessage): void {
  process.send?.(message);
}
