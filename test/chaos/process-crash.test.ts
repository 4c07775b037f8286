/**
 * The service is killed as by a power cut in mid-stream, and started again on what it had written: readers are told
 * what survived and that it was interrupted, and telemetry of before and after is in the
 * table once.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { callAdmin } from "../fixtures/lake-client.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import type { ChaosStream } from "./fixtures/chaos-stream.ts";
import { seqOfId } from "./fixtures/reader-history.ts";
import { ChaosScene, perform } from "./scene.ts";

const EVENTS = 200;
/** Killed with it: what came after the last commit. */
const TAIL_EVENTS = 7;

const random = seededRandom("crashes");
let scene: ChaosScene;
beforeAll(async () => {
  // What came last is in nothing but memory when the kill comes.
  scene = await ChaosScene.begin({ vars: { SSE_COMMIT_INTERVAL_MS: 10_000 } });
});
afterAll(() => scene.end());

const statusOf = ({ first }: ChaosStream) => readStatus(scene.service.origin, first.token, "chat");

/** Everything told so far is in a shard, and everything sent so far is in storage. */
async function handOver({ requestId }: ChaosStream): Promise<void> {
  const response = await callAdmin(scene.service, `flush?request_id=${requestId}`);
  expect(response.status, await response.text()).toBe(200);
}

test.each([
  { percent: 10, kills: "workerd", tail: TAIL_EVENTS },
  { percent: 50, kills: "workerd", tail: 0 },
  { percent: 50, kills: "the machine", tail: TAIL_EVENTS },
  { percent: 90, kills: "the machine", tail: TAIL_EVENTS },
] as const)(
  "$kills is killed at $percent % of a stream with $tail events unwritten: readers learn what survived",
  async (at) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      const second = stream.reader();
      await second.resume({ after: "0-0" });
      source.send((EVENTS * at.percent) / 100);
      await Promise.all([first.untilSeq(source.sent.length), second.untilSeq(source.sent.length)]);
      await handOver(stream);
      const durableSeq = source.sent.length;
      second.cut();
      if (at.tail > 0) source.send(at.tail);
      await first.untilSeq(source.sent.length);
      const { seq: seenSeq } = first;
      if (at.kills === "workerd") scene.service.killRuntime();
      else await scene.restart();
      await first.untilEnd();
      expect(first.reading.outcome, "no clean end").toBe("broken");
      await until(isUp, "the service");

      const status = await statusOf(stream);
      expect(status).toMatchObject({ http_status: 200, state: "interrupted", reason: "object_restarted", epoch: 2 });
      const survivedSeq = seqOfId(status["last_id"]);
      expect(survivedSeq).toBe(durableSeq);
      expect(seenSeq - survivedSeq).toBe(at.tail);
      for (const reader of [first, second]) if ((await reader.resume()) === 200) await reader.untilEnd();
      // Who starts it again is given what is left of it, and the upstream is not called for it.
      const again = stream.reader();
      expect(await again.resume({ after: "0-0" })).toBe(200);
      await again.untilEnd();
      expect(source.callCount).toBe(1);
      // What is read from the bucket goes through a runtime that the host has started itself.
      await handOver(stream);
      if (at.kills === "workerd") await scene.restart();
      const outcome = { throughSeq: survivedSeq, end: { status: "interrupted", reason: "object_restarted" } };
      return {
        readers: [
          { reader: first, rewinds: at.tail > 0 ? 1 : 0, ...outcome },
          { reader: second, ...outcome },
          { reader: again, ...outcome },
        ],
        ended: { state: "interrupted", reason: "object_restarted", events: survivedSeq },
        // Who was live then: nobody was left to tell that they are not any more.
        telemetry: { SseReaderRemoved: { min: 0, max: 1 }, SseResumeLiveEnd: { min: 0, max: 1 } },
      };
    });
  },
);

async function isUp(): Promise<boolean> {
  return (await fetch(`${scene.service.origin}/health`).catch(() => undefined))?.ok === true;
}
