/**
 * The benchmark's upstream, a process of its own: event streams as the query asks for them.
 */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";

import type { SourceReady } from "./lib/messages.ts";
import { nowUs, readScript, sourceFrame, type SourceScript } from "./lib/source-script.ts";

const WRITE_BYTES = 64 * 1024;
const US_PER_SEC = 1_000_000;
const MS_PER_US = 0.001;
const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/** Answers of unthrottled streams, made once: the source must not be what is measured. */
const answers = new Map<string, Buffer>();
let gate = Promise.withResolvers<void>();

const server = createServer((request, response) => {
  request.resume();
  const script = readScript(new URL(request.url ?? "/", "http://source").searchParams);
  response.on("error", () => response.destroy());
  void (script.rate === 0 ? pour(script, request.socket) : pace(script, response));
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the source listens on a port");
  const ready: SourceReady = { kind: "ready", port: address.port };
  process.send?.(ready);
});
process.on("message", () => {
  gate.resolve();
  gate = Promise.withResolvers<void>();
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

/** As fast as it is taken: a whole answer, made before, past the HTTP server. */
async function pour(script: SourceScript, socket: Writable): Promise<void> {
  const answer = answerOf(script);
  for (let at = 0; at < answer.byteLength && !socket.destroyed; at += WRITE_BYTES) {
    if (!socket.write(answer.subarray(at, at + WRITE_BYTES))) await drained(socket);
  }
  socket.end();
}

async function pace(script: SourceScript, response: ServerResponse): Promise<void> {
  const { events, bytes, rate, batch } = script;
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.flushHeaders();
  if (script.isHeld) await gate.promise;
  const beganUs = nowUs();
  const chunkUs = (batch / rate) * US_PER_SEC;
  let sent = 0;
  while (sent < events && !response.destroyed) {
    const dueChunks = Math.floor((nowUs() - beganUs) / chunkUs) + 1;
    const due = Math.min(events, dueChunks * batch);
    while (sent < due) {
      let chunk = "";
      for (let more = Math.min(batch, events - sent); more > 0; more--) chunk += sourceFrame(++sent, nowUs(), bytes);
      if (!response.write(chunk)) await drained(response);
    }
    await wait(Math.max(0, (beganUs + dueChunks * chunkUs - nowUs()) * MS_PER_US));
  }
  response.end();
}

function answerOf({ events, bytes, batch }: SourceScript): Buffer {
  const key = `${events} of ${bytes} by ${batch}`;
  let answer = answers.get(key);
  if (answer === undefined) {
    let text = HEAD;
    let chunk = "";
    for (let number = 1; number <= events; number++) {
      chunk += sourceFrame(number, 0, bytes);
      if (number % batch !== 0 && number !== events) continue;
      text += `${chunk.length.toString(16)}\r\n${chunk}\r\n`;
      chunk = "";
    }
    answer = Buffer.from(`${text}0\r\n\r\n`);
    answers.set(key, answer);
  }
  return answer;
}

async function drained(stream: Writable): Promise<void> {
  const settled = new AbortController();
  const options = { signal: settled.signal };
  // Whichever does not happen is given up with the signal, and says so by an error of its own.
  const events = ["drain", "close"].map((event) => once(stream, event, options).catch(() => undefined));
  await Promise.race(events);
  settled.abort();
}
