/**
 * Events that share a turn: the first at once, those close behind together, none late, none lost.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { EventGathering } from "../../durable-objects/stream/event-gathering.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

afterEach(() => {
  vi.useRealTimers();
});

function gather(readers: number) {
  const turns: string[][] = [];
  const gathering = new EventGathering({
    clock: Date.now,
    countReaders: () => readers,
    onTurn: (events) => turns.push(events.map(({ data }) => data)),
  });
  const send = (...data: string[]) => gathering.add(data.map(asEvent));
  return { turns, gathering, send };
}

function asEvent(data: string): SourceEvent {
  return { event: undefined, data, retryMs: undefined };
}

test("the first event after a pause goes out at once; those close behind share the next turn", () => {
  const { turns, send } = gather(200);
  send("a");
  expect(turns).toEqual([["a"]]);
  send("b");
  send("c");
  expect(turns).toHaveLength(1);
  vi.advanceTimersByTime(10);
  expect(turns).toEqual([["a"], ["b", "c"]]);
});

test("one reader makes nobody wait longer than a millisecond", () => {
  const { turns, send } = gather(1);
  send("a");
  send("b");
  vi.advanceTimersByTime(1);
  expect(turns).toEqual([["a"], ["b"]]);
});

test("a burst does not wait, and a turn stays small", () => {
  const { turns, send } = gather(200);
  send("a");
  for (let n = 0; n < 128; n++) send(String(n));
  expect(turns.map((turn) => turn.length)).toEqual([1, 64, 64]);
  send("x".repeat(16 * 1024));
  expect(turns).toHaveLength(4);
});

test("the end waits for nothing: what is gathered goes out before it, once", () => {
  const { turns, gathering, send } = gather(200);
  send("a");
  send("b");
  gathering.release();
  gathering.release();
  vi.advanceTimersByTime(1000);
  expect(turns).toEqual([["a"], ["b"]]);
});

test("a clock that was set back makes nobody wait", () => {
  const { turns, send } = gather(200);
  send("a");
  vi.setSystemTime(0);
  send("b");
  expect(turns).toEqual([["a"], ["b"]]);
});
