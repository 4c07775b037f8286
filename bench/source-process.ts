/**
 * The benchmark's upstream, a process of its own: event streams as the query asks for them.
 */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";

import type { SourceBegan, SourceGo, SourceReady } from "./lib/messages.ts";
import { nowUs, readScript, scriptQuery, sourceFrame, sourceTail, type SourceScript } from "./lib/source-script.ts";

const WRITE_BYTES = 64 * 1024;
const HOLD_LIMIT_US = 5_000_000;
const US_PER_SEC = 1_000_000;
const MS_PER_US = 0.001;
const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/** Answers of unthrottled streams, made once: the source must not be what is measured. */
const answers = new Map<string, Buffer>();
let gate = Promise.withResolvers<void>();
/** Connections that wait at the gate. */
const held = new Set<Writable>();

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
process.on("message", (message) => {
  // The parent is the only one on this channel, and says nothing else.
  void begin((message as SourceGo).streams ?? 0);
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

/** Opens the gate, once so many streams are at it: a system may come to its source a little late. */
async function begin(streams: number): Promise<void> {
  const limitUs = nowUs() + HOLD_LIMIT_US;
  while (held.size < streams && nowUs() < limitUs) await wait(1);
  const began: SourceBegan = { kind: "began", atUs: nowUs(), streams: held.size };
  gate.resolve();
  gate = Promise.withResolvers<void>();
  process.send?.(began);
}

async function untilBegun(stream: Writable): Promise<void> {
  held.add(stream);
  stream.once("close", () => held.delete(stream));
  await gate.promise;
  held.delete(stream);
}

/** As fast as it is taken: a whole answer, made before, past the HTTP server. */
async function pour(script: SourceScript, socket: Writable): Promise<void> {
  const answer = answerOf(script);
  let at = 0;
  if (script.isHeld) {
    at = HEAD.length;
    socket.write(HEAD);
    await untilBegun(socket);
  }
  for (; at < answer.byteLength && !socket.destroyed; at += WRITE_BYTES) {
    if (!socket.write(answer.subarray(at, at + WRITE_BYTES))) await drained(socket);
  }
  if (script.staysOpen !== true) socket.end();
}

async function pace(script: SourceScript, response: ServerResponse): Promise<void> {
  const { events, rate, batch } = script;
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.flushHeaders();
  if (script.isHeld) await untilBegun(response);
  if (script.offsetMs !== undefined) await wait(script.offsetMs);
  const beganUs = nowUs();
  const chunkUs = (batch / rate) * US_PER_SEC;
  let sent = 0;
  while (sent < events && !response.destroyed) {
    const dueChunks = Math.floor((nowUs() - beganUs) / chunkUs) + 1;
    const due = Math.min(events, dueChunks * batch);
    while (sent < due) {
      let chunk = "";
      for (let more = Math.min(batch, events - sent); more > 0; more--) chunk += sourceFrame(script, ++sent, nowUs());
      if (!response.write(chunk)) await drained(response);
    }
    await wait(Math.max(0, (beganUs + dueChunks * chunkUs - nowUs()) * MS_PER_US));
  }
  if (script.staysOpen !== true) response.end(sourceTail(script));
}

function answerOf(script: SourceScript): Buffer {
  const { events, batch } = script;
  const key = scriptQuery(script);
  let answer = answers.get(key);
  if (answer === undefined) {
    let text = HEAD;
    let chunk = "";
    for (let number = 1; number <= events; number++) {
      chunk += sourceFrame(script, number, 0);
      if (number === events) chunk += sourceTail(script);
      else if (number % batch !== 0) continue;
      text += `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`;
      chunk = "";
    }
    answer = Buffer.from(script.staysOpen === true ? text : `${text}0\r\n\r\n`);
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
