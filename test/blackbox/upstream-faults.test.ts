/**
 * What an upstream can do wrong after its first byte: its failures are told, and whatever came before
 * them stays readable.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, resumeStream, seqsOf, type SseReading } from "../fixtures/sse-reading.ts";
import { openEventStream, sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { dataLinesOf, readWire } from "../fixtures/wire-reading.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const EVENT_MAX_BYTES = 65_536;
const IDLE_TIMEOUT_MS = 1_000;

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  scene = await startServiceWithUpstream(
    [{ name: "told" }, { name: "plain", control: false }, { name: "stalling", idleTimeoutMs: IDLE_TIMEOUT_MS }],
    { SSE_MAX_EVENT_BYTES: EVENT_MAX_BYTES },
  );
  ({ upstream, service } = scene);
});

afterAll(async () => {
  await scene.end();
});

const start = (route: string) => readStream(`${service.origin}/${route}/stream`);

function resume(route: string, of: SseReading, lastEventId: string, query = ""): Promise<SseReading> {
  return resumeStream(`${service.origin}/${route}/resume${query}`, of.token, lastEventId);
}

async function statusOf(route: string, of: SseReading): Promise<object> {
  const response = await fetch(`${service.origin}/${route}/status`, { headers: { "X-Resume-Token": of.token } });
  expect(response.status).toBe(200);
  return Object(await response.json());
}

/** A stream whose upstream the test drives by hand. */
async function startLive(route: string) {
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = start(route);
  await source.open();
  return { source, reading: await answer };
}

describe("an upstream that fails after it began", () => {
  test("reset: readers get what came before, then end with status error; it stays replayable", async () => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 5);
    await reading.untilContent(5);
    source.reset();
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.data).toEqual(numbers(1, 5));
    expect(reading.control("end")).toMatchObject([{ status: "error", reason: "upstream_reset", last_id: "1-5" }]);
    expect(await statusOf("told", reading)).toMatchObject({ state: "failed", reason: "upstream_reset", events: 5 });

    const replay = await resume("told", reading, "1-2");
    await replay.toEnd();
    expect(replay.data).toEqual(numbers(3, 5));
    expect(replay.control("end")).toMatchObject([{ status: "error", reason: "upstream_reset" }]);
  });

  test("stall: upstream_stalled, and the upstream is let go", async () => {
    const { source, reading } = await startLive("stalling");
    source.sendNumbers(1, 2);
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.data).toEqual(numbers(1, 2));
    expect(reading.control("end")).toMatchObject([{ status: "error", reason: "upstream_stalled" }]);
    await expect.poll(() => source.isClosed, { timeout: 10_000 }).toBe(true);
  });

  test("comments are no stall", async () => {
    const { source, reading } = await startLive("stalling");
    const alive = setInterval(() => source.send(":\n"), IDLE_TIMEOUT_MS / 6);
    const deadline = Date.now() + IDLE_TIMEOUT_MS * 2;
    await expect.poll(() => Date.now() > deadline || reading.outcome !== "open", { timeout: 10_000 }).toBe(true);
    clearInterval(alive);
    expect(reading.outcome).toBe("open");
    source.end();
    await reading.toEnd();
    expect(reading.control("end")).toMatchObject([{ status: "complete" }]);
  });

  const LARGE = "x".repeat(EVENT_MAX_BYTES);
  const oversized: [string, string][] = [
    ["a data line larger than an event may be", `data: ${LARGE}\n\n`],
    ["a line that never ends", `data: ${LARGE}${LARGE}`],
    ["an event of many lines that never ends", "data: 0123456789\n".repeat(EVENT_MAX_BYTES / 10)],
    ["an event name larger than an event may be", `event: ${LARGE}\ndata: a\n\n`],
  ];
  test.each(oversized)("%s: event_too_large, and the upstream is let go", async (_, text) => {
    const { source, reading } = await startLive("told");
    source.sendNumbers(1, 3);
    source.send(text);
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.data).toEqual(numbers(1, 3));
    expect(reading.control("end")).toMatchObject([{ status: "error", reason: "event_too_large", last_id: "1-3" }]);
    expect(reading.byteCount).toBeLessThan(EVENT_MAX_BYTES / 2);
    await expect.poll(() => source.isClosed, { timeout: 10_000 }).toBe(true);
  });

  test("an event just within the limit passes", async () => {
    const large = "y".repeat(EVENT_MAX_BYTES - 200);
    upstream.handle(sendChunks([`data: ${large}\n\n`]));
    const reading = await start("told");
    await reading.toEnd();
    expect(reading.data).toEqual([large]);
    expect(reading.control("end")).toMatchObject([{ status: "complete" }]);
  });

  test("a clean end in the middle of an event: the event is dropped, the stream complete", async () => {
    upstream.handle(sendChunks(["data: 1\n\ndata: 2\n\nevent: add\ndata: half"]));
    const reading = await start("told");
    await reading.toEnd();
    expect(reading.data).toEqual(["1", "2"]);
    expect(reading.control("end")).toMatchObject([{ status: "complete", last_id: "1-2" }]);
  });

  test("a body cut short of its length is no clean end", async () => {
    upstream.handle((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-length": "500" });
      response.write("data: 1\n\n", () => response.socket?.destroy());
    });
    const reading = await start("told");
    await reading.toEnd();
    expect(reading.data).toEqual(["1"]);
    expect(reading.control("end")).toMatchObject([{ status: "error", reason: "upstream_reset" }]);
  });
});

describe("without control events nothing is silent either", () => {
  test("complete ends by a clean close", async () => {
    upstream.handle(sendChunks(["data: 1\n\ndata: 2\n\n"]));
    const reading = await start("plain");
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.events.map(({ event, data }) => [event, data])).toEqual([
      ["message", "1"],
      ["message", "2"],
    ]);
  });

  test("failed ends by an aborted connection, after everything that came before", async () => {
    // Several times: the last events and the failure have to meet on their way.
    for (let round = 0; round < 5; round++) {
      upstream.handle((_, response) => {
        openEventStream(response);
        response.write(numberedEvents(1, 2_000), () => response.socket?.destroy());
      });
      const reading = await readWire(`${service.origin}/plain/stream`);
      expect(reading.isComplete).toBe(false);
      expect(dataLinesOf(reading)).toEqual(numbers(1, 2_000));
    }
  });

  test("failed also ends so for whoever resumes, wherever", async () => {
    const { source, reading } = await startLive("plain");
    source.sendNumbers(1, 200);
    await reading.untilContent(200);
    source.reset();
    expect(await reading.toEnd()).toBe("broken");
    for (const seq of [0, 1, 100, 199, 200]) {
      const headers = { "X-Resume-Token": reading.token, "Last-Event-ID": seq === 0 ? "0-0" : `1-${seq}` };
      const resumed = await readWire(`${service.origin}/plain/resume`, headers);
      expect(resumed).toMatchObject({ status: 200, isComplete: false });
      expect(dataLinesOf(resumed)).toEqual(numbers(seq + 1, 200));
    }
  });

  test("a trimmed position is 410 with earliest_id; ?accept_gap=1 goes on from there", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 400)]));
    const reading = await start("plain");
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(1, 400));

    const refused = await fetch(`${service.origin}/plain/resume?last_event_id=1-10&token=${reading.token}`);
    const problem = await problemOf(refused);
    expect(problem).toMatchObject({ status: 410, code: "position_trimmed" });
    expect(problem["earliest_id"]).toBe("1-145");

    const rest = await resume("plain", reading, "1-10", "?accept_gap=1");
    expect(await rest.toEnd()).toBe("closed");
    expect(rest.data).toEqual(numbers(145, 400));
    expect(seqsOf(rest.events)[0]).toBe(145);

    // From just before the earliest on nothing is missing, and nothing is refused.
    const whole = await resume("plain", reading, "1-144");
    await whole.toEnd();
    expect(whole.data).toEqual(numbers(145, 400));
  });
});

describe("an upstream that sends faster than the buffer is deep", () => {
  const bursts: [string, number, (n: string) => string][] = [
    ["1,000 events", 1_000, (n) => `data: ${n}\n\n`],
    ["1,000 events of 2 KB", 1_000, (n) => `data: ${n.padEnd(2_000, ".")}\n\n`],
    ["20,000 events of a few bytes", 20_000, (n) => `data:${n}\n\n`],
    ["100,000 events of a few bytes", 100_000, (n) => `data:${n}\n\n`],
  ];
  test.each(bursts)("%s at once: the attached reader gets all of them, without a gap", async (_, count, frame) => {
    upstream.handle((_, response) => {
      openEventStream(response);
      response.end(numbers(1, count).map(frame).join(""));
    });
    for (const route of ["told", "plain"]) {
      const reading = await start(route);
      const outcome = await reading.toEnd();
      expect({ route, outcome, gaps: reading.control("gap") }).toEqual({ route, outcome: "closed", gaps: [] });
      expect(reading.data.map((text) => text.replaceAll(".", ""))).toEqual(numbers(1, count));
    }
  });

  test("20,000 empty events, which grow threefold on their way, reach the attached reader without a gap", async () => {
    upstream.handle((_, response) => {
      openEventStream(response);
      response.end("data\n\n".repeat(20_000));
    });
    const reading = await start("told");
    await reading.toEnd();
    expect(reading.control("gap")).toEqual([]);
    expect(seqsOf(reading.content)).toEqual(numbers(1, 20_000).map(Number));
  });
});
