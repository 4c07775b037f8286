/**
 * A buffer that is full while a reader is away: what it has missed is named exactly, to the reader and in the table.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { SourceEvent } from "./fixtures/scripted-source.ts";
import { controlOf, seqOfId } from "./fixtures/reader-history.ts";
import { ChaosScene, perform } from "./scene.ts";

const BUFFER_EVENTS = 40;

const named =
  (event: string) =>
  (n: number): SourceEvent => ({ event, data: `${event} ${n}` });

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: { SSE_BUFFER_MAX_EVENTS: BUFFER_EVENTS } });
});
afterAll(() => scene.end());

test.concurrent.each<[string, number, number, readonly (readonly [number, number])[]]>([
  ["just not enough for a gap", 10, BUFFER_EVENTS, []],
  ["one event more", 10, BUFFER_EVENTS + 1, [[11, 11]]],
  ["twice the buffer", 10, 2 * BUFFER_EVENTS, [[11, 10 + BUFFER_EVENTS]]],
  ["far more than the buffer", 25, 50 * BUFFER_EVENTS, [[26, 25 + 49 * BUFFER_EVENTS]]],
])("away for %s: the gap is named to the event", async (_, hadSeq, missed, gaps) => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(hadSeq);
    await first.untilSeq(hadSeq);
    first.cut();
    await stream.untilReaders(0);
    source.send(missed);
    await stream.untilEvents(hadSeq + missed);
    await first.resume();
    await first.untilSeq(hadSeq + missed);
    source.send(3);
    await first.untilSeq(hadSeq + missed + 3);
    source.end();
    await first.untilEnd();
    const events = hadSeq + missed + 3 - BUFFER_EVENTS;
    const dropped = gaps.reduce((sum, [from, to]) => sum + to - from + 1, 0);
    return {
      readers: [{ reader: first, gaps }],
      ended: { state: "completed", reason: null, trimmed_events: events },
      telemetry: {
        SseBufferTrimmed: { sums: { events, unread_events: dropped } },
        SsePartialRecovery: gaps.map(([, to]) => ({ kind: "gap", missing_events: dropped, position: `1-${to}` })),
      },
    };
  });
});

test.concurrent("events of several priorities: each hole is told where it is, and the telling adds up", async () => {
  const kinds = [named("debug"), named("message"), named("stage"), named("result")] as const;
  await perform(scene, {}, async (stream) => {
    const { source, first, reader } = stream;
    for (let n = 0; n < 3 * BUFFER_EVENTS; n++) {
      const event = (kinds[n % 7 === 0 ? 2 : n % 3 === 0 ? 3 : n % 2] ?? kinds[1])(n);
      source.sendRaw(`event: ${event.event}\ndata: ${event.data}\n\n`, [event]);
    }
    await first.untilSeq(3 * BUFFER_EVENTS);
    const late = reader();
    await late.resume();
    await late.untilSeq(3 * BUFFER_EVENTS);
    source.end();
    await Promise.all([first.untilEnd(), late.untilEnd()]);
    const gaps = controlOf(late, "gap").map(({ from, to }) => [seqOfId(from), seqOfId(to)] as const);
    expect(gaps.length).toBeGreaterThan(1);
    expect(late.reading.content.filter(({ event }) => event === "stage")).toHaveLength(18);
    const events = 2 * BUFFER_EVENTS;
    expect(gaps.reduce((sum, [from, to]) => sum + to - from + 1, 0)).toBe(events);
    return {
      readers: [first, { reader: late, gaps }],
      ended: { state: "completed", trimmed_events: events },
      telemetry: { SseBufferTrimmed: { sums: { events, unread_events: 0 } } },
    };
  });
});

test.concurrent("without control events: refused with where to go on, and nothing is silent", async () => {
  await perform(scene, { route: "plain" }, async (stream) => {
    const { source, first } = stream;
    const sent = 3 * BUFFER_EVENTS;
    source.send(10);
    await first.untilSeq(10);
    first.cut();
    await stream.untilReaders(0);
    source.send(sent - 10);
    await stream.untilEvents(sent);
    expect(await first.resume()).toBe(410);
    expect(first.connections.at(-1)?.code).toBe("position_trimmed");
    const earliest = sent - BUFFER_EVENTS + 1;
    const late = stream.reader("from the earliest");
    expect(await late.resume({ after: "1-10", query: "?accept_gap=1" })).toBe(200);
    await late.untilSeq(sent);
    expect(late.reading.content[0]?.id).toBe(`1-${earliest}`);
    late.cut();
    await stream.untilReaders(0);
    const another = stream.reader("from just before the earliest");
    await another.resume({ after: `1-${earliest - 1}` });
    source.end();
    await another.untilEnd();
    expect(another.reading.outcome).toBe("closed");
    const events = sent - BUFFER_EVENTS;
    const isTold = { SseResumeAttempt: 3, SseResumeSuccess: 2, SseResumeIssued: 3 };
    return {
      readers: [
        { reader: first, throughSeq: 10, end: "none" },
        { reader: another, hadSeq: earliest - 1, end: "none" },
      ],
      ended: { state: "completed", trimmed_events: events },
      telemetry: {
        ...isTold,
        SseBufferTrimmed: { sums: { events, unread_events: events - 10 } },
        SseReaderRemoved: [{ reason: "disconnected" }, { reason: "disconnected" }],
      },
    };
  });
});
