/**
 * Snapshots that folding overtakes: their readers have stopped reading half way, what they are to be sent
 * next is folded with what they have, and each event is in what they read once all the same.
 */
import type { IncomingMessage } from "node:http";

import { createParser } from "eventsource-parser";
import { expect, test } from "vitest";

import { statusOf } from "../fixtures/folded-stream.ts";
import { playOn, range } from "../fixtures/pressed-stream.ts";
import { startServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { parseObject } from "../fixtures/sse-reading.ts";
import { bodyOf, openUnread, untilFull } from "../fixtures/unread-response.ts";

/** Larger than what sockets swallow, at 130 bytes an event; just not pressed yet. */
const BEFORE = 49_000;
/** Each folds one of the oldest: enough to come past where the snapshots stand. */
const ALL = 95_000;
const AT_ONCE = 500;
const READERS = 3;

function frames(from: number, to: number): string {
  return range(to - from + 1)
    .map((n) => `data: ${from + n - 1} ${"x".repeat(110)};\n\n`)
    .join("");
}

/** The numbers of all events that were read, in the snapshot or after it, in order. */
async function numbersIn(response: IncomingMessage): Promise<number[]> {
  let text = "";
  const parser = createParser({
    onEvent({ event, data }) {
      if (event === undefined) text += data;
      if (event !== "snapshot") return;
      const { events } = parseObject(data);
      if (!Array.isArray(events)) throw new Error("a snapshot without events");
      for (const entry of events) text += String(Object(entry)["data"]);
    },
  });
  parser.feed((await bodyOf(response)).toString("utf8"));
  return Array.from(text.matchAll(/(\d+) x+;/g), ([, n]) => Number(n));
}

test("each event is read once, and in order", async () => {
  const vars = { SSE_BUFFER_MAX_EVENTS: 65_536, SSE_BUFFER_MAX_SIZE_MB: 64, SSE_CLIENT_STALL_SEC: 600 };
  const scene = await startServiceWithUpstream([{ name: "folding", fold: "text" }], vars);
  try {
    const played = await playOn(scene, "folding", []);
    const send = async (from: number, to: number) => {
      for (let n = from; n <= to; n += AT_ONCE) {
        played.source.send(frames(n, n + AT_ONCE - 1));
        await played.live.until(() => played.live.events.length >= n + AT_ONCE, `event ${n + AT_ONCE - 1}`);
      }
    };
    await send(1, BEFORE);
    expect(await statusOf(played)).toMatchObject({ folded_events: 0, trimmed_events: 0 });
    const url = `${played.origin}/folding/resume?mode=snapshot&token=${played.token}`;
    const stalled = await Promise.all(range(READERS).map(() => openUnread(url)));
    await untilFull(stalled);
    await send(BEFORE + 1, ALL);
    const { folded_events, trimmed_events } = await statusOf(played);
    expect(Number(folded_events)).toBeGreaterThan(ALL - BEFORE - 1_000);
    expect(trimmed_events).toBe(0);
    played.source.end();
    for (const response of stalled) {
      const numbers = await numbersIn(response);
      const outOfOrderAt = numbers.findIndex((n, at) => n !== at + 1);
      expect({ outOfOrderAt, length: numbers.length }).toEqual({ outOfOrderAt: -1, length: ALL });
    }
  } finally {
    await scene.end();
  }
});
