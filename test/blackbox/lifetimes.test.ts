/**
 * Limits in time and number: how many readers a stream has, how long it lives, what is left after it.
 */
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const RETRY_MS = 50;

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

afterAll(() => upstream.stop());

async function startOwnService(vars: Record<string, unknown>, persistTo?: string): Promise<Service> {
  const route = { upstream: upstream.origin, method: "GET", allowGet: true };
  const ROUTES = [
    { ...route, name: "told" },
    { ...route, name: "plain", control: false },
  ];
  return startService({
    vars: { ROUTES, SSE_RETRY_MS: RETRY_MS, ...vars },
    ...(persistTo === undefined ? {} : { persistTo }),
  });
}

async function startLive(service: Service, route: string) {
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = readStream(`${service.origin}/${route}/stream`);
  await source.open();
  const reading = await answer;
  const resume = (lastEventId: string) => resumeStream(`${service.origin}/${route}/resume`, reading.token, lastEventId);
  return { source, reading, resume };
}

function statusCode(
  service: Service,
  reading: SseReading,
  init: RequestInit & { path?: string } = {},
): Promise<Response> {
  const { path = "told/resume", ...rest } = init;
  return fetch(`${service.origin}/${path}`, { ...rest, headers: { "X-Resume-Token": reading.token } });
}

describe("at the reader limit", () => {
  test("policy reject: 429 with Retry-After, until somebody leaves", async () => {
    const service = await startOwnService({
      SSE_MAX_CLIENTS: 2,
      SSE_CLIENT_LIMIT_POLICY: "reject",
      SSE_CLEANUP_INTERVAL_SEC: 7,
    });
    try {
      const { source, reading, resume } = await startLive(service, "told");
      const second = await resume("0-0");
      const refused = await statusCode(service, reading);
      expect(refused.headers.get("retry-after")).toBe("7");
      expect(await problemOf(refused)).toMatchObject({ status: 429, code: "reader_limit" });
      await untilLogged(service, "SseResumeFailed", { code: "reader_limit", request_id: reading.requestId });

      second.cut();
      let sent = 0;
      let third: SseReading | undefined;
      await expect
        .poll(
          async () => {
            sent++;
            source.sendNumbers(sent, sent);
            third = await resume("0-0");
            return third.response.status;
          },
          { timeout: 20_000, interval: 100 },
        )
        .toBe(200);
      source.end();
      await Promise.all([reading.toEnd(), third?.toEnd()]);
      expect(reading.data).toEqual(numbers(1, sent));
      expect(third?.data).toEqual(numbers(1, sent));
    } finally {
      await endService(service);
    }
  });

  test("policy evict-oldest: the oldest is told when to come back, and misses nothing", async () => {
    const service = await startOwnService({ SSE_MAX_CLIENTS: 2 });
    try {
      const { source, reading, resume } = await startLive(service, "told");
      source.sendNumbers(1, 3);
      await reading.untilContent(3);
      const second = await resume("0-0");
      const third = await resume("0-0");
      expect(await reading.toEnd()).toBe("closed");
      expect(reading.data).toEqual(numbers(1, 3));
      expect(reading.control("end")).toEqual([]);
      // Longer than usual: readers that throw each other out must not do so without end.
      expect(reading.retries.at(-1)).toBeGreaterThan(RETRY_MS);
      await untilLogged(service, "SseReaderRemoved", { reason: "evicted", request_id: reading.requestId });

      const again = await resume(reading.lastEventId);
      expect(await second.toEnd()).toBe("closed");
      source.sendNumbers(4, 6);
      source.end();
      await Promise.all([again.toEnd(), third.toEnd()]);
      expect(again.data).toEqual(numbers(4, 6));
      expect(third.data).toEqual(numbers(1, 6));
    } finally {
      await endService(service);
    }
  });

  test("without control events the evicted reader's connection breaks off", async () => {
    const service = await startOwnService({ SSE_MAX_CLIENTS: 1 });
    try {
      const { source, reading, resume } = await startLive(service, "plain");
      source.sendNumbers(1, 3);
      await reading.untilContent(3);
      const next = await resume("1-3");
      expect(await reading.toEnd()).toBe("broken");
      source.sendNumbers(4, 5);
      source.end();
      expect(await next.toEnd()).toBe("closed");
      expect(next.data).toEqual(numbers(4, 5));
    } finally {
      await endService(service);
    }
  });
});

test("a reader beyond its age is sent away with a time to come back, and comes back to the rest", async () => {
  const service = await startOwnService({ SSE_CLIENT_MAX_AGE_SEC: 1, SSE_CLEANUP_INTERVAL_SEC: 1 });
  try {
    const { source, reading, resume } = await startLive(service, "told");
    source.sendNumbers(1, 3);
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.data).toEqual(numbers(1, 3));
    expect(reading.control("end")).toEqual([]);
    expect(reading.retries).toEqual([RETRY_MS, RETRY_MS]);
    const rest = await resume(reading.lastEventId);
    source.sendNumbers(4, 4);
    source.end();
    await rest.toEnd();
    expect(rest.data).toEqual(["4"]);
  } finally {
    await endService(service);
  }
});

test("a reader that takes nothing is cut, and holds neither the source nor the other readers back", async () => {
  const service = await startOwnService({ SSE_CLIENT_STALL_SEC: 1, SSE_CLEANUP_INTERVAL_SEC: 1 });
  try {
    const { source, reading } = await startLive(service, "told");
    const stalled = connect(Number(new URL(service.origin).port), "127.0.0.1").pause();
    stalled.write(`GET /told/resume?token=${reading.token} HTTP/1.1\r\nHost: spillway\r\n\r\n`);
    await untilLogged(service, "SseResumeSuccess");
    // Far more than sockets swallow.
    const count = 16_000;
    for (let n = 1; n <= count; n++) source.send(`data: ${n} ${"x".repeat(1_000)}\n\n`);
    source.end();
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.control("gap")).toEqual([]);
    expect(reading.data.map((text) => text.split(" ")[0])).toEqual(numbers(1, count));
    await untilLogged(service, "SseReaderRemoved", { reason: "stalled" });

    let tail = "";
    stalled.on("data", (chunk) => (tail = (tail + chunk.toString("latin1")).slice(-200))).on("error", () => undefined);
    const gone = once(stalled, "close");
    stalled.resume();
    await gone;
    // Broken off: neither the end of the stream nor of the response.
    expect(tail).not.toContain("event: end");
    expect(tail.endsWith("0\r\n\r\n")).toBe(false);
  } finally {
    await endService(service);
  }
});

describe("after its time to live (B7)", () => {
  test("a finished stream is gone: 410 for every call, and no table left in storage", async () => {
    const folder = mkdtempSync(join(tmpdir(), "spillway-ttl-"));
    const service = await startOwnService({ SSE_SNAPSHOT_TTL_SEC: 1 }, folder);
    try {
      upstream.handle(sendChunks([numberedEvents(1, 5)]));
      const reading = await readStream(`${service.origin}/told/stream`);
      await reading.toEnd();
      await expect.poll(async () => (await statusCode(service, reading)).status, { timeout: 20_000 }).toBe(410);
      for (const [path, method] of [
        ["told/resume", "GET"],
        ["resume", "POST"],
        ["told/status", "GET"],
        ["told/stream", "DELETE"],
      ] as const) {
        const response = await statusCode(service, reading, { path, method });
        expect(await problemOf(response)).toMatchObject({ status: 410, code: "stream_expired" });
      }
      await service.stop();
      expect(tablesIn(folder)).toEqual([]);
    } finally {
      await endService(service);
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("a stream that nobody feeds and nobody reads is ended, and its upstream let go", async () => {
    const service = await startOwnService({ SSE_STATE_TTL_SEC: 1, SSE_HEARTBEAT_SEC: 1 });
    try {
      const { source, reading, resume } = await startLive(service, "told");
      source.sendNumbers(1, 2);
      await reading.untilContent(2);
      reading.cut();
      await expect.poll(() => source.isClosed, { timeout: 30_000 }).toBe(true);
      await untilLogged(service, "SseStreamEnded", { state: "expired", reason: "abandoned", events: 2 });
      const late = await resume("1-1");
      await late.toEnd();
      expect(late.data).toEqual(["2"]);
      expect(late.control("end")).toMatchObject([{ status: "expired", reason: "abandoned" }]);
    } finally {
      await endService(service);
    }
  });
});

/** Names of all tables in the databases below a folder, but those of the runtime itself. */
function tablesIn(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    /RequestStream.*\.sqlite$/.test(name),
  );
  expect(files.length).toBeGreaterThan(0);
  return files.flatMap((name) => {
    const database = new DatabaseSync(join(folder, name));
    const rows = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    database.close();
    return rows.map((row) => String(row["name"])).filter((table) => !table.startsWith("_cf_"));
  });
}
