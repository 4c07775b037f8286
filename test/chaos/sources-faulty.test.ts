/**
 * Sources that fail once they have begun: they stall, are reset in the middle of an event, send garbage, break HTTP
 * itself, or come a byte at a time. Readers are told the truth, and what was whole before it stays readable.
 */
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, beforeAll, test } from "vitest";

import { createRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import type { ChaosStream } from "./fixtures/chaos-stream.ts";
import type { SourceEvent } from "./fixtures/scripted-source.ts";
import { ChaosScene, perform, type StoryEnd } from "./scene.ts";

const IDLE_TIMEOUT_MS = 2_000;
const EVENT_MAX_BYTES = 16_384;
const BEFORE = 5;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({
    // Many streams: what they tell makes few files, so that the table is read quickly.
    vars: { SSE_MAX_EVENT_BYTES: EVENT_MAX_BYTES, ICEBERG_BUFFER_TIMEOUT_MS: 60_000, SSE_SNAPSHOT_TTL_SEC: 6 },
    routes: [{ name: "impatient", idleTimeoutMs: IDLE_TIMEOUT_MS }],
  });
});
afterAll(() => scene.end());

/** A few events, the fault, and what readers then have: who was there, and who comes later from wherever. */
function endsWith(reason: string, fault: (stream: ChaosStream) => unknown) {
  return async (stream: ChaosStream): Promise<StoryEnd> => {
    const { source, first } = stream;
    source.send(BEFORE);
    await first.untilSeq(BEFORE);
    await fault(stream);
    await first.untilEnd();
    const late = stream.reader("from the start");
    const middle = stream.reader("from the middle");
    await late.resume({ after: "0-0" });
    await middle.resume({ after: "1-3" });
    await Promise.all([late.untilEnd(), middle.untilEnd()]);
    await until(() => source.isClosed, "the end of the source's call");
    const end = { status: "error", reason };
    return {
      readers: [
        { reader: first, end },
        { reader: late, end },
        { reader: middle, hadSeq: 3, end },
      ],
      ended: { state: "failed", reason },
    };
  };
}

test.concurrent("a stall longer than idleTimeoutMs", () =>
  perform(
    scene,
    { route: "impatient" },
    endsWith("upstream_stalled", () => wait(IDLE_TIMEOUT_MS)),
  ));

test.concurrent("stalls shorter than idleTimeoutMs, and comments alone, end nothing", () =>
  perform(scene, { route: "impatient" }, async ({ source, first }) => {
    for (let stall = 0; stall < 4; stall++) {
      source.send(2);
      await wait(IDLE_TIMEOUT_MS * 0.3);
      source.sendRaw(": still here\n\n");
      await wait(IDLE_TIMEOUT_MS * 0.3);
    }
    source.end();
    await first.untilEnd();
    return { readers: [first] };
  }));

const TEXT = new TextEncoder();
const joined = (...parts: readonly (string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? TEXT.encode(part) : part)));

test.concurrent.each<[string, (stream: ChaosStream) => unknown]>([
  ["between events", ({ source }) => source.reset()],
  [
    "in the middle of a line",
    ({ source }) => (source.sendRaw("event: delta\ndata: ha"), wait(50).then(() => source.reset())),
  ],
  [
    "before an event's empty line",
    ({ source }) => (source.sendRaw("data: whole but for its end\n"), wait(50).then(() => source.reset())),
  ],
  [
    "in the middle of a character",
    ({ source }) => (source.sendRaw(joined("data: ", Uint8Array.of(0xe6, 0x9d))), wait(50).then(() => source.reset())),
  ],
  ["by a broken chunk header", ({ source: { socket } }) => socket.write("zz\r\ndata: never\n\n\r\n")],
  ["by a chunk cut short", ({ source: { socket } }) => void socket.write("ffff\r\ndata: ne", () => socket.destroy())],
])("a connection that breaks %s", (_, fault) => perform(scene, {}, endsWith("upstream_reset", fault)));

test.concurrent.each<[string, string]>([
  ["a data line beyond SSE_MAX_EVENT_BYTES", `data: ${"x".repeat(EVENT_MAX_BYTES)}\n\n`],
  ["a data line without an end", `data: ${"x".repeat(3 * EVENT_MAX_BYTES)}`],
  ["an event name without an end", `event: ${"x".repeat(3 * EVENT_MAX_BYTES)}`],
  ["an event of lines without an end", "data: 0123456789\n".repeat(EVENT_MAX_BYTES / 8)],
])("%s", (_, text) =>
  perform(
    scene,
    {},
    endsWith("event_too_large", ({ source }) => source.sendRaw(text)),
  ),
);

const message = (data: string): SourceEvent => ({ event: "message", data });

test.concurrent.each<[string, string | Uint8Array, readonly SourceEvent[]]>([
  ["HTML", "<!doctype html>\n<title>502</title>\n\n<p>data: not a field</p>\n\n", []],
  ["JSON", '{"error":"overloaded"}\n\n', []],
  ["a line of no field, larger than an event may be", "x".repeat(3 * EVENT_MAX_BYTES), []],
  ["random bytes", randomBytes(4_000), []],
  ["broken UTF-8", joined("data: a", Uint8Array.of(0xff, 0xc3), "b\n\n"), [message("a\ufffd\ufffdb")]],
  ["a byte order mark in mid-stream", "\ufeffdata: hidden\n\ndata: seen\n\n", [message("seen")]],
  ["zero bytes", "data: a\0b\n\nid: a\0b\ndata: c\n\n", [message("a\0b"), message("c")]],
  ["every end of a line", "data: a\rdata: b\r\ndata: c\n\r\ndata: d\r\r", [message("a\nb\nc"), message("d")]],
])(
  "garbage of %s between events: what is an event is passed on, all else left out, and the stream goes on",
  (_, bytes, events) =>
    perform(scene, {}, async ({ source, first, reader }) => {
      source.send(BEFORE);
      source.sendRaw(bytes, events);
      // What was begun is over at an empty line, and is no part of what follows.
      source.sendRaw("\n\n");
      source.send(BEFORE);
      source.end();
      await first.untilEnd();
      const late = reader("late");
      await late.resume();
      await late.untilEnd();
      return { readers: [first, late] };
    }),
);

/** Bytes of all values but line ends and colons, so that nothing among them is a field. */
function randomBytes(count: number): Uint8Array {
  const random = createRandom(4);
  const bytes = Array.from({ length: count }, () => random.int(0, 255));
  return Uint8Array.from(bytes.filter((byte) => byte !== 0x0a && byte !== 0x0d && byte !== 0x3a));
}

test.concurrent("a byte at a time, each in a packet of its own", () =>
  perform(scene, { seed: 5 }, async ({ source, first, reader }) => {
    const late = reader("who comes in the middle");
    const bytes = TEXT.encode(source.take(12));
    for (const [at, byte] of bytes.entries()) {
      source.sendRaw(Uint8Array.of(byte));
      await wait(0);
      if (at === Math.floor(bytes.length / 2)) await late.resume({ after: "0-0" });
    }
    source.end();
    await Promise.all([first.untilEnd(), late.untilEnd()]);
    return { readers: [first, late] };
  }));

test.concurrent("a source that closes at once, with nothing said", () =>
  perform(scene, {}, async ({ source, first }) => {
    source.end();
    await first.untilEnd();
    return { readers: [first] };
  }));
