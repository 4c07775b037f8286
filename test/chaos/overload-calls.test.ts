/**
 * Hundreds of calls of one stream at the same moment, and bodies that nobody may send: each is answered, with what is
 * asked for or with a refusal, the upstream is called once, memory stays, and the stream goes on as if nothing was.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { asMb, watchMemory } from "../fixtures/process-memory.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { readStatus } from "../fixtures/process-recovery.ts";
import { sendHugeBody } from "./faults/huge-body.ts";
import { medianStartMs } from "./faults/latency.ts";
import { ChaosScene, perform } from "./scene.ts";

const CALLS = 250;
const READERS_MAX = 210;
const BODIES = 4;
const BODY_BYTES = 64 * 1_048_576;
/** Of 256 MB that callers want to get rid of. */
const MEMORY_MAX_BYTES = 48 * 1_048_576;

const random = seededRandom("overload of calls");
let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({
    vars: { SSE_MAX_CLIENTS: READERS_MAX, SSE_CLIENT_LIMIT_POLICY: "reject" },
    routes: [{ name: "demo", upstream: "builtin:demo" }],
  });
});
afterAll(() => scene.end());

test(`${CALLS} status calls and ${CALLS} resumes of one stream at once: each is served whole or refused`, async () => {
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    const quietMs = await medianStartMs(scene.service.origin);
    source.send(100);
    await first.untilSeq(100);
    const readers = Array.from({ length: CALLS }, () => stream.reader());
    const resumes = readers.map((reader) => reader.resume({ after: "0-0" }));
    const asked = Array.from({ length: CALLS }, () => readStatus(scene.service.origin, stream.token, stream.route));
    const answers = await Promise.all(resumes);
    for (const status of await Promise.all(asked)) {
      expect(status).toMatchObject({ http_status: 200, state: "streaming", last_id: "1-100" });
    }
    const served = readers.filter((_, at) => answers[at] === 200);
    const refused = readers.filter((_, at) => answers[at] !== 200);
    expect(served).toHaveLength(READERS_MAX - 1);
    expect(new Set(refused.map(({ connections }) => connections[0]?.code))).toEqual(new Set(["reader_limit"]));
    source.send(20);
    await first.untilSeq(120);
    expect(await medianStartMs(scene.service.origin)).toBeLessThan(Math.max(10 * quietMs, 250));
    source.end();
    await Promise.all([first, ...served].map((reader) => reader.untilEnd()));
    return {
      readers: [first, ...served, ...refused.map((reader) => ({ reader, throughSeq: 0, end: "none" as const }))],
    };
  });
});

test.each(["announced", "announced in vain", "chunked"] as const)(
  "bodies of 64 MB, %s: refused, not held, and no stream is the worse for it",
  async (how) => {
    await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(50);
      await first.untilSeq(50);
      const memory = watchMemory(scene.service.runtimePid());
      const restBytes = memory.peakBytes();
      const url = `${scene.service.origin}/${stream.route}/stream`;
      const sending = Promise.all(Array.from({ length: BODIES }, () => sendHugeBody(url, BODY_BYTES, how)));
      source.send(50);
      await first.untilSeq(100);
      const answers = await sending.finally(() => memory.stop());
      const sent = answers.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
      console.log(
        `bodies ${how}: ${asMb(sent)} sent before a refusal, memory grew by ${asMb(memory.peakBytes() - restBytes)}`,
      );
      for (const { status, code, sentBytes } of answers) {
        // Who goes on sending may find the connection closed before it has read why.
        const isCut = how === "announced in vain" && status === "cut";
        expect(isCut ? "cut" : [status, code]).toEqual(isCut ? "cut" : [413, "body_too_large"]);
        expect(sentBytes).toBeLessThan(BODY_BYTES);
      }
      expect(memory.peakBytes() - restBytes).toBeLessThan(MEMORY_MAX_BYTES);
      source.end();
      await first.untilEnd();
      return { readers: [first] };
    });
  },
);
