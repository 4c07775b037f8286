/**
 * Readers that take nothing, take it in a trickle, or have lost their network without a word, beside a healthy one:
 * each is told or cut in its time, comes back to the rest, and holds up nobody.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { until } from "../fixtures/process-reader.ts";
import { PausingReader } from "./fixtures/pausing-reader.ts";
import type { SourceEvent } from "./fixtures/scripted-source.ts";
import { ChaosScene, perform } from "./scene.ts";

/** Far more than the sockets on the way hold. */
const EVENTS = 12_000;
const EVENT_CHARS = 1_400;
const DEADLINE_MS = 120_000;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({
    vars: {
      SSE_BUFFER_MAX_EVENTS: 65_536,
      SSE_BUFFER_MAX_SIZE_MB: 32,
      SSE_CLIENT_STALL_SEC: 1,
      SSE_CLEANUP_INTERVAL_SEC: 1,
      SSE_SNAPSHOT_TTL_SEC: 6,
    },
  });
});
afterAll(() => scene.end());

function largeEvent(n: number): SourceEvent {
  return { event: "message", data: `${n} `.padEnd(EVENT_CHARS, String(n)) };
}

test("stalled, trickling and half-open readers beside a healthy one", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    const place = { url: `${scene.service.origin}/chat/resume`, token: stream.token };
    const stalled = new PausingReader({ ...place, name: "stalled" });
    const trickling = new PausingReader({ ...place, name: "trickling" });
    const network = await stream.network();
    const lost = stream.reader("half-open");
    try {
      await stalled.resume();
      stalled.wire.pause();
      await trickling.resume();
      await lost.resume({ via: network.origin });
      await stream.untilReaders(4);
      network.strike("half-open");
      const sipping = trickling.sipUntil(EVENTS);
      for (let n = 1; n <= EVENTS; n++) {
        const event = largeEvent(n);
        source.sendRaw(`data: ${event.data}\n\n`, [event]);
      }
      await until(() => first.seq === EVENTS, "everything for the healthy reader", DEADLINE_MS);
      // The stalled and the half-open one are cut, the one that takes a little is not.
      await stream.untilReaders(2);
      stalled.wire.goOn();
      expect(await stalled.untilEnd()).toBe("broken");
      expect(stalled.seq).toBeLessThan(EVENTS);
      await Promise.all([stalled.resume(), lost.resume()]);
      const slow = [stalled, trickling, lost];
      await until(() => slow.every(({ seq }) => seq === EVENTS), "everything for the slow ones", DEADLINE_MS);
      await sipping;
      source.end();
      await Promise.all([first, ...slow].map((reader) => reader.untilEnd()));
      expect(trickling.connections).toHaveLength(1);
      return {
        readers: [first, ...slow],
        telemetry: { SseReaderRemoved: [{ reason: "stalled" }, { reason: "stalled" }] },
      };
    } finally {
      stalled.close();
      trickling.close();
    }
  });
});
