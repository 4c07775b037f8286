/**
 * A reader behind Spillway gets the events that a reader directly at the upstream gets: every case of
 * the event-stream grammar (WHATWG HTML, 9.2.5 and 9.2.6), by two clients and two kinds of route.
 */
import { gzipSync } from "node:zlib";

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { GRAMMAR_CASES, type GrammarCase } from "../fixtures/event-stream-cases.ts";
import { sendSpaced } from "../fixtures/live-source.ts";
import { contentOf, isControl, readByEventSource, readStream, seqsOf } from "../fixtures/sse-reading.ts";
import { openEventStream, sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { interpret } from "../fixtures/whatwg-oracle.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

/** The reconnection time Spillway tells readers by itself; unlike any an upstream here asks for. */
const OWN_RETRY_MS = 12_345;

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  scene = await startServiceWithUpstream([{ name: "plain", control: false }, { name: "told" }], {
    SSE_RETRY_MS: OWN_RETRY_MS,
    SSE_BUFFER_MAX_SIZE_MB: 4,
  });
  ({ upstream, service } = scene);
});

afterAll(async () => {
  await scene.end();
});

function onePast(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function streamOf(chunks: GrammarCase["chunks"]): Uint8Array {
  return Buffer.concat(chunks.map((chunk) => (typeof chunk === "string" ? Buffer.from(chunk) : chunk)));
}

describe("each case of the grammar reads behind Spillway as it does at the upstream", () => {
  test.each(GRAMMAR_CASES)("$name", async ({ chunks, means, clientDeviation }) => {
    upstream.handle(sendSpaced(chunks));
    const names = means.map(({ event }) => event);
    expect(interpret(streamOf(chunks)).events).toEqual(means);

    const plain = await readStream(`${service.origin}/plain/stream`);
    expect(await plain.toEnd()).toBe("closed");
    expect(contentOf(plain.events)).toEqual(means);
    expect(seqsOf(plain.events)).toEqual(onePast(means.length));

    const told = (await readByEventSource(`${service.origin}/told/stream`, names)).filter((event) => !isControl(event));
    expect(contentOf(told)).toEqual(means);
    expect(seqsOf(told)).toEqual(onePast(means.length));

    if (clientDeviation !== undefined) return;
    const direct = await readStream(upstream.origin);
    await direct.toEnd();
    expect(contentOf(direct.events)).toEqual(means);
    expect(contentOf(await readByEventSource(upstream.origin, names))).toEqual(means);
  });
});

describe("wherever the network cuts the stream, a reader gets the same events", () => {
  // One, two, three and four bytes a character, a byte order mark, all line ends, an invalid byte.
  const text = "\uFEFFevent: né€w\r\ndata: a→𝄞\r\n\r\nid: ü\rdata: 😀\ndata: ß\r\r: …\n\ndata: ";
  const stream = Buffer.concat([Buffer.from(text), Buffer.from([0xf0, 0x9f, 0x98]), Buffer.from("é\n\n")]);
  const means = [
    { event: "né€w", data: "a→𝄞" },
    { event: "message", data: "😀\nß" },
    { event: "message", data: "\uFFFDé" },
  ];

  test("cut in two after any byte", async () => {
    for (const at of onePast(stream.length - 1)) {
      upstream.handle(sendSpaced([stream.subarray(0, at), stream.subarray(at)]));
      const reading = await readStream(`${service.origin}/plain/stream`);
      await reading.toEnd();
      expect(contentOf(reading.events), `cut after byte ${at}`).toEqual(means);
    }
  });

  test("a byte at a time", async () => {
    expect(interpret(stream).events).toEqual(means);
    upstream.handle(sendSpaced(Array.from(stream, (byte) => Uint8Array.of(byte))));
    const reading = await readStream(`${service.origin}/plain/stream`);
    await reading.toEnd();
    expect(contentOf(reading.events)).toEqual(means);
    expect(contentOf(await readByEventSource(upstream.origin, ["né€w"]))).toEqual(means);
  });

  test("compressed on its way", async () => {
    const zipped = gzipSync(stream);
    upstream.handle((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" });
      response.write(zipped.subarray(0, 20));
      setImmediate(() => response.end(zipped.subarray(20)));
    });
    const reading = await readStream(`${service.origin}/plain/stream`);
    expect(await reading.toEnd()).toBe("closed");
    expect(contentOf(reading.events)).toEqual(means);
  });
});

describe("the reconnection time an upstream asks for reaches readers", () => {
  const cases: { name: string; text: string; retries: number[] }[] = [
    { name: "with an event", text: "retry: 250\ndata: a\n\n", retries: [250] },
    { name: "before an event", text: "retry: 250\n\ndata: a\n\n", retries: [250] },
    { name: "the last of several counts", text: "retry: 1\nretry: 250\ndata: a\n\n", retries: [250] },
    { name: "with each of two events", text: "retry: 1\ndata: a\n\nretry: 2\ndata: b\n\n", retries: [1, 2] },
    { name: "zero", text: "retry: 0\ndata: a\n\n", retries: [0] },
    { name: "leading zeros", text: "retry: 0020\ndata: a\n\n", retries: [20] },
    { name: "letters are ignored", text: "retry: abc\nretry: 12x\ndata: a\n\n", retries: [] },
    { name: "signs and fractions are ignored", text: "retry: -1\nretry: +1\nretry: 1.5\ndata: a\n\n", retries: [] },
    { name: "an empty one is ignored", text: "retry:\nretry\ndata: a\n\n", retries: [] },
    { name: "a second leading space is ignored", text: "retry:  5\ndata: a\n\n", retries: [] },
    { name: "digits of other alphabets are ignored", text: "retry: ٣\ndata: a\n\n", retries: [] },
    { name: "after the last event", text: "data: a\n\nretry: 250\n\n", retries: [250] },
    { name: "in an unfinished last event", text: "data: a\n\nretry: 250\ndata: b", retries: [250] },
  ];

  test.each(cases)("$name", async ({ text, retries }) => {
    upstream.handle(sendChunks([text]));
    for (const route of ["plain", "told"]) {
      const reading = await readStream(`${service.origin}/${route}/stream`);
      await reading.toEnd();
      const data = interpret(Buffer.from(text)).events.map((event) => event.data);
      expect({ route, retries: reading.retries, data: reading.data }).toEqual({
        route,
        retries: [OWN_RETRY_MS, ...retries],
        data,
      });
    }
  });

  test("a reconnection time too large to be exact does no harm", async () => {
    upstream.handle(sendChunks([`retry: ${"9".repeat(40)}\ndata: a\n\n`]));
    const reading = await readStream(`${service.origin}/plain/stream`);
    await reading.toEnd();
    expect(reading.data).toEqual(["a"]);
  });
});

function cutAt(stream: Buffer, shares: readonly number[]): Buffer[] {
  const places = [0, ...shares.map((share) => Math.floor(share * stream.length)), stream.length];
  places.sort((left, right) => left - right);
  return places.slice(1).map((end, index) => stream.subarray(places[index], end));
}

describe("any stream in any chunks", () => {
  const word = fc.constantFrom(
    "a",
    "",
    " b",
    "né",
    "€",
    "😀",
    "x".repeat(300),
    "\0",
    "\uFEFF",
    ":",
    "data: z",
    "\u2028",
  );
  const field = fc.constantFrom("data", "data", "data", "event", "id", "retry", "", "foo", "Data", "dat", "event ");
  const separator = fc.constantFrom(": ", ":", ":  ", "");
  const lineEnd = fc.constantFrom("\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r");
  const line = fc
    .tuple(field, separator, fc.array(word, { maxLength: 3 }), lineEnd)
    .map(([name, colon, words, end]) => Buffer.from(name + colon + words.join("") + end));
  const brokenBytes = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((raw) => Buffer.from(raw));
  const arbitraryStream = fc
    .array(fc.oneof({ weight: 12, arbitrary: line }, { weight: 1, arbitrary: brokenBytes }), { maxLength: 60 })
    .map((parts) => Buffer.concat(parts));
  const arbitraryCuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 40 });

  test("has behind Spillway the events it has by the specification, under contiguous ids", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryStream, arbitraryCuts, async (stream, shares) => {
        upstream.handle(sendChunks(cutAt(stream, shares)));
        const { events } = interpret(stream);
        const reading = await readStream(`${service.origin}/plain/stream`);
        expect(await reading.toEnd()).toBe("closed");
        expect(contentOf(reading.events)).toEqual(events);
        expect(seqsOf(reading.events)).toEqual(onePast(events.length));
      }),
      { numRuns: 150 },
    );
  });

  test("replays as it was sent", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryStream, arbitraryCuts, fc.nat({ max: 30 }), async (stream, shares, from) => {
        upstream.handle(sendChunks(cutAt(stream, shares)));
        const live = await readStream(`${service.origin}/plain/stream`);
        await live.toEnd();
        const at = live.events[Math.min(from, live.events.length) - 1]?.id ?? "0-0";
        const replay = await readStream(`${service.origin}/plain/resume?last_event_id=${at}&token=${live.token}`);
        await replay.toEnd();
        const rest = live.events.slice(Math.min(from, live.events.length));
        // A complete stream with nothing left to send answers 204.
        expect(replay.response.status).toBe(rest.length === 0 ? 204 : 200);
        expect(replay.events).toEqual(rest);
      }),
      { numRuns: 60 },
    );
  });
});

test("a stream that never says an event still opens at once, and keeps its connection", async () => {
  upstream.handle((_, response) => openEventStream(response));
  const reading = await readStream(`${service.origin}/told/stream`);
  await reading.until(() => reading.lastEventId === "0-0", "the priming event");
  expect(reading.outcome).toBe("open");
  reading.cut();
});
