/**
 * At the reader limit, and at the age limit: who has to go, what they are told, and who is left alone.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";

import { describe, expect, onTestFinished, test } from "vitest";

import { follow, sendSteadily } from "../fixtures/following.ts";
import { liveSource, numbers } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { resumeStream } from "../fixtures/sse-reading.ts";
import { resumeOnSocket, serveToldAndPlain, startLive } from "../fixtures/told-and-plain.ts";
import { readWire } from "../fixtures/wire-reading.ts";

const RETRY_MS = 50;
const NEVER_SEC = 3600;

async function startWith(route: string, vars: Readonly<Record<string, unknown>>) {
  const live = await startLive(route, { SSE_RETRY_MS: RETRY_MS, ...vars });
  const join = () => resumeStream(`${live.service.origin}/${route}/resume`, live.reading.token, "0-0");
  return { ...live, join };
}

function curl(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("curl", ["--silent", "--include", "--no-buffer", "--max-time", "20", ...args]);
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}

describe("policy reject", () => {
  test("curl is refused with 429 and a time, and whoever is there notices nothing", async () => {
    const { service, source, reading, join } = await startWith("told", {
      SSE_MAX_CLIENTS: 2,
      SSE_CLIENT_LIMIT_POLICY: "reject",
      SSE_CLEANUP_INTERVAL_SEC: 7,
    });
    const second = await join();
    source.sendNumbers(1, 3);
    await Promise.all([reading.untilContent(3), second.untilContent(3)]);
    for (let attempt = 0; attempt < 5; attempt++) {
      const answer = await curl("--header", `X-Resume-Token: ${reading.token}`, `${service.origin}/told/resume`);
      expect(answer).toMatch(/^HTTP\/1\.1 429 /);
      expect(answer).toMatch(/\r\nRetry-After: 7\r\n/i);
      expect(answer).toContain('"code":"reader_limit"');
    }
    source.sendNumbers(4, 6);
    source.end();
    for (const reader of [reading, second]) {
      expect(await reader.toEnd()).toBe("closed");
      expect(reader.data).toEqual(numbers(1, 6));
      expect(reader.retries).toEqual([RETRY_MS]);
    }
    expect(service.telemetry("SseReaderRemoved")).toEqual([]);
  });
});

describe.each(["evict-oldest", "reject"])("a stalled reader goes before the policy is asked (%s)", (policy) => {
  test.each(["told", "plain"])("and the healthy ones stay (%s)", async (route) => {
    const { service, source, reading } = await startWith(route, {
      SSE_MAX_CLIENTS: 2,
      SSE_CLIENT_LIMIT_POLICY: policy,
      SSE_CLIENT_STALL_SEC: 2,
      // No sweep: who comes is what makes the stalled one go.
      SSE_CLEANUP_INTERVAL_SEC: NEVER_SEC,
      SSE_BUFFER_MAX_EVENTS: 65_536,
      SSE_BUFFER_MAX_SIZE_MB: 32,
    });
    // It takes nothing from the start.
    resumeOnSocket(service, route, reading.token).pause();
    await untilLogged(service, "SseResumeSuccess");
    const count = 16_000;
    for (let n = 1; n <= count; n++) source.send(`data: ${n} ${"x".repeat(1_000)}\n\n`);
    await reading.untilContent(count);
    const takenAtMs = Date.now();
    // Nobody comes before the stall time is over, and then only one.
    await expect.poll(() => Date.now() - takenAtMs, { timeout: 10_000 }).toBeGreaterThan(2_500);
    const last = await resumeStream(`${service.origin}/${route}/resume`, reading.token, `1-${count}`);
    expect(last.response.status).toBe(200);
    await untilLogged(service, "SseReaderRemoved", { reason: "stalled" });
    source.sendNumbers(count + 1, count + 1);
    source.end();
    expect(await reading.toEnd()).toBe("closed");
    expect(await last.toEnd()).toBe("closed");
    expect(reading.data.map((text) => text.split(" ")[0])).toEqual(numbers(1, count + 1));
    expect(last.data).toEqual([String(count + 1)]);
    expect(service.telemetry("SseReaderRemoved")).toHaveLength(1);
  });
});

describe("an evicted reader is sent a time to come back, longer each time", () => {
  test.each([
    ["told", "closed"],
    ["plain", "broken"],
  ])("and its connection ends as its route says (%s: %s)", async (route, outcome) => {
    const { source, reading, join } = await startWith(route, { SSE_MAX_CLIENTS: 1 });
    source.sendNumbers(1, 3);
    const readers = [reading];
    for (let turn = 0; turn < 6; turn++) {
      await readers.at(-1)?.untilContent(3);
      readers.push(await join());
      expect(await readers.at(-2)?.toEnd()).toBe(outcome);
    }
    source.end();
    expect(await readers.at(-1)?.toEnd()).toBe("closed");
    const waits = readers.slice(0, -1).map(({ retries }) => retries.at(-1) ?? 0);
    for (const [at, waitMs] of waits.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual(RETRY_MS * 2 ** (at + 1));
      expect(waitMs).toBeLessThan(RETRY_MS * 2 ** (at + 2));
    }
    for (const reader of readers) expect(reader.data).toEqual(numbers(1, 3));
  });
});

describe("of many that come to a full stream at the same moment", () => {
  test.each(["told", "plain"])(
    "each is answered, and those that are evicted hear when to come back (%s)",
    async (route) => {
      const { service, source, reading } = await startWith(route, { SSE_MAX_CLIENTS: 2 });
      // More than is queued for a reader.
      for (let n = 1; n <= 200; n++) source.send(`data: ${n} ${"x".repeat(1_000)}\n\n`);
      await reading.untilContent(200);
      const url = `${service.origin}/${route}/resume?last_event_id=0-0&token=${reading.token}`;
      // One that is evicted before its answer has begun may hear nothing at all, where cuts are all that readers hear.
      const unheard = (error: unknown) => {
        if (route === "told") throw error;
      };
      const answers = Array.from({ length: 12 }, () => readWire(url).catch(unheard));
      await untilLogged(service, "SseReaderRemoved", { reason: "evicted" }, 11);
      source.end();
      const waits: number[] = [];
      for (const answer of await Promise.all(answers)) {
        if (answer === undefined) continue;
        expect(answer.status).toBe(200);
        waits.push(Number(Array.from(answer.text.matchAll(/^retry: (\d+)$/gm)).at(-1)?.[1]));
      }
      // The two that came last have it all. One that was evicted with a full queue may be cut without a word: all
      // who are leaving hold one reader's queue together.
      const evictedWaits = waits.filter((waitMs) => waitMs !== RETRY_MS);
      expect(evictedWaits.length).toBeGreaterThanOrEqual(6);
      expect(new Set(evictedWaits).size).toBe(evictedWaits.length);
      expect(Math.min(...evictedWaits)).toBeGreaterThan(RETRY_MS);
    },
  );
});

describe("at the age limit", () => {
  test.each(["told", "plain"])(
    "EventSource is sent away and comes back, with nothing missed or twice (%s)",
    async (route) => {
      const { service, upstream } = await serveToldAndPlain({
        SSE_RETRY_MS: RETRY_MS,
        SSE_CLIENT_MAX_AGE_SEC: 1,
        SSE_CLEANUP_INTERVAL_SEC: 1,
      });
      const live = liveSource();
      upstream.handle(live.handler);
      const following = follow(`${service.origin}/${route}/stream?idempotency_key=${randomUUID()}`);
      onTestFinished(() => following.source.close());
      await live.open();
      const steady = sendSteadily(live, 20);
      await expect.poll(() => following.openedAtMs.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(4);
      const count = steady.end();
      await expect.poll(() => following.isOver, { timeout: 20_000 }).toBe(true);
      expect(following.seqs).toEqual(numbers(1, count).map(Number));
      expect(following.gapSeqs).toEqual([]);
      const removals = service.telemetry("SseReaderRemoved");
      expect(removals.length).toBeGreaterThanOrEqual(3);
      expect(new Set(removals.map(({ reason }) => reason))).toEqual(new Set(["max_age"]));
      expect(live.callCount).toBe(1);
    },
  );

  test.each(["told", "plain"])("readers of one age do not all come back at the same moment (%s)", async (route) => {
    const { source, reading, join } = await startWith(route, {
      SSE_CLIENT_MAX_AGE_SEC: 2,
      SSE_CLEANUP_INTERVAL_SEC: 1,
      SSE_RETRY_MS: 1000,
    });
    const readers = [reading, ...(await Promise.all(Array.from({ length: 9 }, join)))];
    const outcomes = await Promise.all(readers.map((reader) => reader.toEnd()));
    expect(new Set(outcomes)).toEqual(new Set([route === "told" ? "closed" : "broken"]));
    source.end();
    const waits = readers.map(({ retries }) => retries.at(-1) ?? 0).toSorted((a, b) => a - b);
    for (const waitMs of waits) {
      expect(waitMs).toBeGreaterThanOrEqual(1000);
      expect(waitMs).toBeLessThanOrEqual(2000);
    }
    for (let at = 1; at < waits.length; at++) expect((waits[at] ?? 0) - (waits[at - 1] ?? 0)).toBeGreaterThan(20);
  });
});
