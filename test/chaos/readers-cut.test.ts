/**
 * Readers whose connection breaks in mid-stream: at three places, in three ways, and over four ways to come back, on
 * one stream each time, with a healthy reader beside them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import type { NetworkFault } from "./fixtures/faulty-proxy.ts";
import { ChaosScene, perform } from "./scene.ts";

const EVENTS = 120;
const SEED = 601;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin();
});
afterAll(() => scene.end());

const CASES = (["close", "reset", "half-open"] as const).flatMap((fault) =>
  [10, 50, 90].map((percent): [NetworkFault, number] => [fault, percent]),
);

test.concurrent.each(CASES)(
  "%s after %d per cent: by token, by Last-Event-ID, by EventSource with a key or a token, all come back to everything",
  async (fault, percent) => {
    const cutAtSeq = (EVENTS * percent) / 100;
    await perform(scene, { seed: SEED + percent }, async (stream) => {
      const { source, first } = stream;
      const network = await stream.network();
      const via = network.origin;
      const [byToken, byId] = [stream.reader("by token"), stream.reader("by Last-Event-ID")];
      await byToken.resume({ via });
      await byId.resume({ via });
      const byKey = stream.eventSource({ by: "key", via });
      const byTokenUrl = stream.eventSource({ by: "token", via });
      const cutReaders = [byToken, byId, byKey, byTokenUrl];
      await source.drip(cutAtSeq);
      await Promise.all(cutReaders.map((reader) => reader.untilSeq(cutAtSeq)));
      const dripping = source.drip(EVENTS - cutAtSeq);
      network.strike(fault);
      await Promise.all([byToken.untilEnd(), byId.untilEnd()]);
      expect([byToken, byId].map(({ reading }) => reading.outcome)).toEqual(["broken", "broken"]);
      await byToken.resume({ by: "token" });
      await byId.resume();
      await Promise.all([dripping, ...cutReaders.map((reader) => reader.untilSeq(EVENTS))]);
      // A reader that is gone without a word keeps its place: nobody can know yet.
      await stream.untilReaders(fault === "half-open" ? 9 : 5);
      source.end();
      await Promise.all([first, ...cutReaders].map((reader) => reader.untilEnd()));
      const isNoticed = fault !== "half-open";
      const came = cutReaders.map(() => ({ state: "completed" }));
      const left = cutReaders.map(() => ({ state: isNoticed ? "streaming" : "completed" }));
      const telemetry = {
        SseReaderRemoved: isNoticed ? cutReaders.map(() => ({ reason: "disconnected" })) : [],
        SseResumeLiveEnd: [...came, ...left],
      };
      return { readers: [first, ...cutReaders], telemetry };
    });
  },
);
