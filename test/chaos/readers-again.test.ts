/**
 * Readers that are cut again and again: ten times in a row, at each control event, and at bytes all over a response.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { startBreakingProxy } from "../fixtures/breaking-proxy.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { readWire } from "../fixtures/wire-reading.ts";
import { ChaosScene, perform } from "./scene.ts";

const BUFFER_EVENTS = 40;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({
    // Readers come back one after the other when their stream is over.
    vars: { SSE_BUFFER_MAX_EVENTS: BUFFER_EVENTS, SSE_MAX_CLIENTS: 100, SSE_SNAPSHOT_TTL_SEC: 20 },
  });
});
afterAll(() => scene.end());

test.concurrent.each(["close", "reset", "half-open"] as const)(
  "%s ten times in a row, at random places",
  async (fault) => {
    const random = seededRandom(`ten times ${fault}`);
    await perform(scene, { seed: random.seed % 1000 }, async (stream) => {
      const { source, first } = stream;
      const network = await stream.network();
      const via = network.origin;
      const byId = stream.reader("by Last-Event-ID");
      await byId.resume({ via });
      const byKey = stream.eventSource({ by: "key", via });
      for (let cut = 1; cut <= 10; cut++) {
        await source.drip(random.int(1, BUFFER_EVENTS / 4));
        await Promise.all([byId, byKey].map((reader) => reader.untilSeq(source.sent.length)));
        network.strike(fault);
        const dripping = source.drip(random.int(1, BUFFER_EVENTS / 4));
        await byId.untilEnd();
        await byId.resume({ via });
        await dripping;
        await Promise.all([byId, byKey].map((reader) => reader.untilSeq(source.sent.length)));
        await stream.untilReaders(fault === "half-open" ? 3 + 2 * cut : 3);
      }
      source.end();
      await Promise.all([first, byId, byKey].map((reader) => reader.untilEnd()));
      expect([byId, byKey].map(({ connections }) => connections.filter(({ status }) => status === 200).length)).toEqual(
        [11, 11],
      );
      const removed = fault === "half-open" ? [] : Array.from({ length: 20 }, () => ({ reason: "disconnected" }));
      return {
        readers: [first, byId, byKey],
        telemetry: { SseReaderRemoved: removed, SseBufferTrimmed: { min: 0 } },
      };
    });
  },
);

test.concurrent("cut at each control event: the opening, a gap, the end", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    const gap = [1, 20] as const;
    const cutAt = Object.fromEntries(["resume", "gap", "end"].map((name) => [name, stream.reader(`cut at ${name}`)]));
    source.send(gap[1] + BUFFER_EVENTS);
    source.end();
    await first.untilEnd();
    for (const [name, reader] of Object.entries(cutAt)) {
      await reader.resume();
      await reader.reading.until(() => reader.reading.control(name).length > 0, name);
      reader.cut();
      await reader.resume();
      await reader.untilEnd();
    }
    // Nobody was there to be removed: the stream had ended, and all had been given all of it.
    return {
      readers: [first, ...Object.values(cutAt).map((reader) => ({ reader, gaps: gapsOf(reader.connections, gap) }))],
      telemetry: { SseReaderRemoved: [], SseBufferTrimmed: { min: 1 }, SsePartialRecovery: { min: 3, max: 6 } },
    };
  });
});

test.concurrent("cut after any number of bytes of a response, also within a control event: who comes back has everything", async () => {
  const random = seededRandom("any byte");
  const proxy = await startBreakingProxy(scene.service.origin);
  await perform(scene, { seed: random.seed % 1000 }, async (stream) => {
    const { source, first } = stream;
    const gap = [1, 5] as const;
    source.send(gap[1] + BUFFER_EVENTS);
    source.end();
    await first.untilEnd();
    // One reader who is not cut shows how many bytes there are.
    const whole = await readWire(`${scene.service.origin}/chat/resume?last_event_id=0-0&token=${stream.token}`);
    const bodyBytes = Buffer.byteLength(whole.text);
    const headBytes = headBytesOf(first.reading.response);
    const cuts = [1, 5, 60, ...Array.from({ length: 12 }, () => random.int(1, bodyBytes))].map((at) => headBytes + at);
    const readers = [];
    for (const bytes of cuts) {
      const reader = stream.reader(`cut after ${bytes} bytes`);
      proxy.cutAfter(bytes);
      await reader.resume({ via: proxy.origin });
      await reader.untilEnd();
      await reader.resume();
      if (reader.connections.at(-1)?.status === 200) await reader.untilEnd();
      readers.push(reader);
    }
    const connections = readers.flatMap((reader) => reader.connections);
    const gaps = connections.filter(({ status, afterSeq }) => status === 200 && afterSeq < gap[1]);
    const resumes = connections.length + 1;
    return {
      readers: [first, ...readers.map((reader) => ({ reader, gaps: gapsOf(reader.connections, gap) }))],
      telemetry: {
        SseReaderRemoved: [],
        SseBufferTrimmed: { min: 1 },
        SsePartialRecovery: Array.from({ length: gaps.length + 1 }, () => ({
          kind: "gap",
          position: `1-${gap[1]}`,
          missing_events: gap[1],
        })),
        SseResumeAttempt: resumes,
        SseResumeSuccess: resumes,
        SseResumeIssued: 2 + connections.filter(({ status }) => status === 200).length,
      },
    };
  });
  await proxy.stop();
});

/** At least: a few more do not matter, so that every cut is within the body. */
function headBytesOf({ headers }: Response): number {
  const line = "HTTP/1.1 200 OK\r\n\r\n".length;
  return [...headers].reduce((sum, [name, value]) => sum + `${name}: ${value}\r\n`.length, line);
}

/** A reader that was cut before it had taken in the gap is told of it again. */
function gapsOf(
  connections: readonly { readonly events: readonly { readonly event: string }[] }[],
  gap: readonly [number, number],
): (readonly [number, number])[] {
  return connections.flatMap(({ events }) => events.filter(({ event }) => event === "gap").map(() => gap));
}
