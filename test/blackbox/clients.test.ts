/**
 * Clients nobody here wrote, cut in mid-stream: each goes on exactly where it was (B1, B2), with
 * nothing of ours on its side.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";

import { EventSource } from "eventsource";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { startBreakingProxy, type BreakingProxy } from "../fixtures/breaking-proxy.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { readStream, resumeStream, seqsOf, type SseReading } from "../fixtures/sse-reading.ts";
import { openEventStream, sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const RETRY_MS = 20;

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;
let proxy: BreakingProxy;

beforeAll(async () => {
  scene = await startServiceWithUpstream([{ name: "told" }, { name: "plain", control: false }], {
    SSE_RETRY_MS: RETRY_MS,
  });
  ({ upstream, service } = scene);
  proxy = await startBreakingProxy(service.origin);
});

afterEach(() => proxy.cutAfter(0));

afterAll(async () => {
  await proxy.stop();
  await scene.end();
});

async function startLive(route: string) {
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = readStream(`${service.origin}/${route}/stream`);
  await source.open();
  return { source, reading: await answer };
}

const resume = (reading: SseReading, lastEventId?: string) =>
  resumeStream(`${service.origin}/told/resume`, reading.token, lastEventId);

async function statusOf({ token }: SseReading): Promise<Record<string, unknown>> {
  const response = await fetch(`${service.origin}/told/status`, { headers: { "X-Resume-Token": token } });
  return Object(await response.json());
}

describe("EventSource, with a random key in its URL and nothing else", () => {
  test.each(["told", "plain"])(
    "resumes by itself however often it is cut, and stops at the end (%s)",
    async (route) => {
      const padding = ".".repeat(200);
      upstream.handle(sendChunks(numbers(1, 60).map((n) => `data: ${n}${padding}\n\n`)));
      const callsBefore = upstream.calls.length;
      const connectionsBefore = proxy.connections;
      // Room for the head and some events.
      proxy.cutAfter(3_000);
      const source = new EventSource(`${proxy.origin}/${route}/stream?idempotency_key=${randomUUID()}`);
      const got: string[] = [];
      const ids: string[] = [];
      source.addEventListener("message", (event) => {
        got.push(String(event.data).replaceAll(".", ""));
        ids.push(event.lastEventId);
      });
      // Nothing left to send is answered with 204, which closes it for good.
      await expect.poll(() => source.readyState, { timeout: 30_000 }).toBe(EventSource.CLOSED);
      expect(got).toEqual(numbers(1, 60));
      expect(ids).toEqual(numbers(1, 60).map((n) => `1-${n}`));
      expect(proxy.connections - connectionsBefore).toBeGreaterThan(3);
      expect(upstream.calls.length - callsBefore).toBe(1);
    },
  );

  test("cut before its first event it still attaches to the same stream", async () => {
    const live = liveSource();
    upstream.handle(live.handler);
    const source = new EventSource(`${proxy.origin}/told/stream?idempotency_key=${randomUUID()}`);
    const got: string[] = [];
    source.addEventListener("message", (event) => got.push(String(event.data)));
    await live.open();
    await expect.poll(() => source.readyState, { timeout: 10_000 }).toBe(EventSource.OPEN);
    const connectionsBefore = proxy.connections;
    proxy.cutAll();
    await expect.poll(() => proxy.connections, { timeout: 10_000 }).toBeGreaterThan(connectionsBefore);
    live.sendNumbers(1, 3);
    live.end();
    await expect.poll(() => source.readyState, { timeout: 10_000 }).toBe(EventSource.CLOSED);
    expect(got).toEqual(numbers(1, 3));
    expect(live.callCount).toBe(1);
  });

  test("without a key it cannot go on, and is told so instead of being given another stream's events", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const callsBefore = upstream.calls.length;
    const source = new EventSource(`${service.origin}/plain/stream`);
    const codes: unknown[] = [];
    const got: string[] = [];
    source.addEventListener("message", (event) => got.push(String(event.data)));
    source.addEventListener("error", ({ code }) => codes.push(code));
    await expect.poll(() => source.readyState, { timeout: 10_000 }).toBe(EventSource.CLOSED);
    expect(got).toEqual(numbers(1, 3));
    expect(codes).toEqual([undefined, 400]);
    expect(upstream.calls.length - callsBefore).toBe(1);
  });
});

test("eventsource-parser's stream: stop after any event, resume with the id it had", async () => {
  upstream.handle(sendChunks([numberedEvents(1, 12)]));
  const first = await fetch(`${service.origin}/plain/stream`);
  const token = first.headers.get("x-resume-token") ?? "";
  const got: string[] = [];
  let position = "";
  // At most five connections, three events on each.
  for (let connection = 0; connection < 5 && got.length < 12; connection++) {
    const headers = { "X-Resume-Token": token, "Last-Event-ID": position };
    const response = connection === 0 ? first : await fetch(`${service.origin}/plain/resume`, { headers });
    const events = response.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    let count = 0;
    for await (const { data, id } of events ?? []) {
      got.push(data);
      position = id ?? "";
      if (++count === 3) break;
    }
  }
  expect(got).toEqual(numbers(1, 12));
});

interface CurlRun {
  readonly code: number | null;
  readonly output: string;
}

function curl(...args: string[]): Promise<CurlRun> {
  return new Promise((resolve, reject) => {
    const child = spawn("curl", ["--silent", "--no-buffer", ...args], { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

describe("curl", () => {
  const TIMED_OUT = 28;
  const resumeEvent =
    /event: resume\ndata: \{"request_id":"([\w-]+)","token":"([\w.-]+)","expires_at":"[^"]+","mode":"live"\}\n\n/;

  test("cut by --max-time and resumed with -H Last-Event-ID, it prints exactly the rest", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const cut = curl("--max-time", "2", `${service.origin}/told/stream`);
    await source.open();
    source.sendNumbers(1, 5);
    const { code, output } = await cut;
    expect(code).toBe(TIMED_OUT);
    const [told = "", , token = ""] = resumeEvent.exec(output) ?? [];
    expect(output).toBe(
      `: spillway\n\nid: 0-0\nretry: ${RETRY_MS}\n\n${told}` +
        numbers(1, 5)
          .map((n) => `id: 1-${n}\ndata: ${n}\n\n`)
          .join(""),
    );

    source.sendNumbers(6, 8);
    source.end();
    const rest = await curl(
      "--header",
      "Last-Event-ID: 1-5",
      "--header",
      `X-Resume-Token: ${token}`,
      `${service.origin}/resume`,
    );
    expect(rest.code).toBe(0);
    const [toldAgain = ""] = resumeEvent.exec(rest.output) ?? [];
    const end = /id: 1-8\nevent: end\ndata: (.+)\n\n$/.exec(rest.output);
    expect(rest.output).toBe(
      `: spillway\n\nid: 1-5\nretry: ${RETRY_MS}\n\n${toldAgain}` +
        `id: 1-6\ndata: 6\n\nid: 1-7\ndata: 7\n\nid: 1-8\ndata: 8\n\n${end?.[0] ?? ""}`,
    );
    expect(JSON.parse(end?.[1] ?? "null")).toEqual({
      status: "complete",
      last_id: "1-8",
      diagnostics: {
        resumes: 1,
        trims: 0,
        recovered_events: 3,
        folded_events: 0,
        trimmed_payloads: 0,
        compressed_segments: 0,
        sampled_events: 0,
      },
    });
  });

  test("by POST with a body, as SDKs start streams", async () => {
    upstream.handle(sendChunks(["data: [DONE]\n\n"]));
    const { code, output } = await curl("--include", "--data", "", `${service.origin}/plain/stream`);
    expect(code).toBe(0);
    expect(output).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(output).toMatch(/\r\nContent-Type: text\/event-stream/i);
    expect(output).toMatch(/\r\nX-Accel-Buffering: no\r\n/i);
    expect(output).toMatch(/\r\nCache-Control: no-store, no-transform\r\n/i);
    expect(output.split("\r\n\r\n")[1]).toBe(`: spillway\n\nid: 0-0\nretry: ${RETRY_MS}\n\nid: 1-1\ndata: [DONE]\n\n`);
  });
});

describe("several readers of one stream", () => {
  test("each goes on from its own position, then all follow", async () => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 20);
    await reading.untilContent(20);
    const positions = [0, 1, 7, 19, 20];
    const readers = await Promise.all(positions.map((seq) => resume(reading, seq === 0 ? "0-0" : `1-${seq}`)));
    await Promise.all(readers.map((reader, at) => reader.untilContent(20 - (positions[at] ?? 0))));
    expect(await statusOf(reading)).toMatchObject({ readers: 6, resumes: 5, state: "streaming" });
    source.sendNumbers(21, 40);
    source.end();
    for (const [at, reader] of readers.entries()) {
      expect(await reader.toEnd()).toBe("closed");
      const seq = positions[at] ?? 0;
      expect(reader.data).toEqual(numbers(seq + 1, 40));
      expect(seqsOf(reader.content)).toEqual(numbers(seq + 1, 40).map(Number));
      expect(reader.control("end")).toMatchObject([{ status: "complete", last_id: "1-40" }]);
    }
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 40));
  });

  test("one that comes late to a live stream gets all of it from its token alone", async () => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 100);
    await reading.untilContent(100);
    const late = await resume(reading);
    await late.untilContent(100);
    source.sendNumbers(101, 102);
    source.end();
    await late.toEnd();
    expect(late.data).toEqual(numbers(1, 102));
    expect(late.control("gap")).toEqual([]);
  });

  test("one that leaves takes nothing from the others, and is freed", async () => {
    const { source, reading } = await startLive("told");
    const other = await resume(reading, "0-0");
    source.sendNumbers(1, 5);
    await Promise.all([reading.untilContent(5), other.untilContent(5)]);
    other.cut();
    // A reader that has gone shows when something is sent to it.
    let sent = 5;
    await expect
      .poll(
        async () => {
          sent++;
          source.sendNumbers(sent, sent);
          return (await statusOf(reading))["readers"];
        },
        { timeout: 20_000, interval: 100 },
      )
      .toBe(1);
    source.end();
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, sent));
  });
});

test("the source is read on after every reader has gone, to its last byte", async () => {
  const kilobyte = "x".repeat(1_000);
  let isConsumed = false;
  const readerGone = Promise.withResolvers<void>();
  upstream.handle(async (_, response) => {
    openEventStream(response);
    response.write("data: first\n\n");
    await readerGone.promise;
    // Far more than sockets swallow.
    for (let n = 2; n <= 16_000; n++) response.write(`data: ${n} ${kilobyte}\n\n`);
    response.end(() => (isConsumed = true));
  });
  const reading = await readStream(`${service.origin}/told/stream`);
  await reading.untilContent(1);
  reading.cut();
  readerGone.resolve();
  await expect.poll(() => isConsumed, { timeout: 30_000 }).toBe(true);
  await expect.poll(() => statusOf(reading), { timeout: 30_000 }).toMatchObject({ state: "completed", events: 16_000 });
  const late = await resume(reading);
  await late.toEnd();
  expect(late.content.at(-1)?.data).toBe(`16000 ${kilobyte}`);
  expect(late.control("gap")).toMatchObject([{ from: "1-1", dropped: 15_744, to: "1-15744" }]);
});
