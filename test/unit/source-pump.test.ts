/**
 * Reading a source: outcomes, limits, silence, and the pace of readers.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { SourcePump, type PumpOptions } from "../../durable-objects/stream/source-pump.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

interface Source {
  readonly body: ReadableStream<Uint8Array>;
  send(text: string): void;
  end(): void;
  fail(): void;
  readonly isCancelled: () => boolean;
}

function createSource(): Source {
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    cancel: () => void (isCancelled = true),
  });
  return {
    body,
    send: (text) => controller?.enqueue(encoder.encode(text)),
    end: () => controller?.close(),
    fail: () => controller?.error(new Error("reset")),
    isCancelled: () => isCancelled,
  };
}

function pump(source: Source, options: Partial<PumpOptions> = {}) {
  const seen: SourceEvent[] = [];
  const running = new SourcePump(source.body, {
    eventMaxBytes: 10_000,
    idleTimeoutMs: 5000,
    clock: Date.now,
    onEvents: (events) => seen.push(...events),
    onActivity: () => undefined,
    pace: () => undefined,
    ...options,
  });
  return { seen, running, outcome: running.run() };
}

test("a source that ends is completed, without its unfinished last event", async () => {
  const source = createSource();
  const { seen, outcome } = pump(source);
  source.send("data: a\n\nretry: 7\n\ndata: unfinished");
  source.end();
  expect(await outcome).toEqual({ move: "completed", trailingRetryMs: 7 });
  expect(seen.map(({ data }) => data)).toEqual(["a"]);
});

test("a source that breaks off has failed", async () => {
  const source = createSource();
  const { outcome } = pump(source);
  source.fail();
  expect(await outcome).toEqual({ move: "failed", reason: "upstream_reset" });
});

test("silence longer than the idle timeout is a stall; comments are no silence", async () => {
  const source = createSource();
  const { outcome } = pump(source);
  for (let n = 0; n < 5; n++) {
    await vi.advanceTimersByTimeAsync(4900);
    source.send(": still here\n");
  }
  await vi.advanceTimersByTimeAsync(5100);
  expect(await outcome).toEqual({ move: "failed", reason: "upstream_stalled" });
  expect(source.isCancelled()).toBe(true);
});

test.each([
  ["an event", `data: ${"x".repeat(20_000)}\n\n`],
  ["a line that is no field and never ends", "x".repeat(200_000)],
  ["an unfinished line", `data: ${"x".repeat(20_000)}`],
  ["an event of many short lines", `${"data: x\n".repeat(3000)}\n`],
])("%s larger than allowed ends the source", async (_, text) => {
  const source = createSource();
  const { outcome, seen } = pump(source);
  source.send(text);
  expect(await outcome).toEqual({ move: "failed", reason: "event_too_large" });
  expect(seen).toEqual([]);
  expect(source.isCancelled()).toBe(true);
});

test("stopping lets go of the source and has no outcome", async () => {
  const source = createSource();
  const { running, outcome } = pump(source);
  source.send("data: a\n\n");
  await vi.advanceTimersByTimeAsync(1);
  running.stop();
  expect(await outcome).toBeUndefined();
  expect(source.isCancelled()).toBe(true);
});

test("one huge chunk passes in bites, and waits for readers in between", async () => {
  const source = createSource();
  const release: (() => void)[] = [];
  const { seen, outcome } = pump(source, {
    pace: () => new Promise<void>((resolve) => release.push(resolve)),
  });
  const event = `data: ${"x".repeat(1000)}\n\n`;
  source.send(event.repeat(64));
  await vi.advanceTimersByTimeAsync(1);
  expect(seen.length * event.length).toBeLessThanOrEqual(SEGMENT_MAX_BYTES);
  while (seen.length < 64) {
    release.shift()?.();
    await vi.advanceTimersByTimeAsync(1);
  }
  source.end();
  release.shift()?.();
  expect(await outcome).toMatchObject({ move: "completed" });
});

test("a source held back by slow readers is not taken for silent", async () => {
  const source = createSource();
  const held = Promise.withResolvers<void>();
  const { outcome, seen } = pump(source, {
    pace: () => (seen.length === 1 ? held.promise : undefined),
  });
  source.send("data: a\n\n");
  await vi.advanceTimersByTimeAsync(4900);
  held.resolve();
  await vi.advanceTimersByTimeAsync(4900);
  source.send("data: b\n\n");
  source.end();
  expect(await outcome).toMatchObject({ move: "completed" });
});

test("a fault of our own is no fault of the source: it comes out", async () => {
  const source = createSource();
  const { outcome } = pump(source, {
    onEvents: () => {
      throw new Error("ours");
    },
  });
  source.send("data: a\n\n");
  await expect(outcome).rejects.toThrow("ours");
});
