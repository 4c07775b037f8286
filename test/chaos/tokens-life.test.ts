/**
 * Tokens that expire while their stream runs: readers go on, what they were given in band still opens the stream, and
 * what has expired opens nothing.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { ChaosScene, perform } from "./scene.ts";
import { namelessFailures } from "./fixtures/nameless-failures.ts";

const TOKEN_LIFE_SEC = 2;
/** Twice as long, so that every token has been renewed more than once. */
const EVENTS = 230;
const DRIP_MS = 20;

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ vars: { SSE_RESUME_TTL_SEC: TOKEN_LIFE_SEC } });
});
afterAll(() => scene.end());

test("a token expires in mid-stream", async () => {
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    const network = await stream.network();
    const byTokenUrl = stream.eventSource({ by: "token", via: network.origin });
    const byKey = stream.eventSource({ by: "key", via: network.origin });
    const begunAtMs = performance.now();
    await source.drip(EVENTS, DRIP_MS);
    expect(performance.now() - begunAtMs).toBeGreaterThan(2 * TOKEN_LIFE_SEC * 1000);
    await Promise.all([first, byTokenUrl, byKey].map((reader) => reader.untilSeq(EVENTS)));

    const late = stream.reader("with the first token");
    expect(await late.resume({ token: stream.token })).toBe(410);
    expect(late.connections.at(-1)?.code).toBe("token_expired");
    expect(first.reading.control("resume").length, "renewed in band").toBeGreaterThan(3);
    expect(await late.resume({ token: first.token, by: "token" })).toBe(200);

    // An EventSource whose URL holds a token cannot be given another one; one with the start's key needs none.
    network.strike("reset");
    await byTokenUrl.untilEnd();
    expect(byTokenUrl.connections.map(({ status }) => status)).toEqual([200, 410]);
    first.cut();
    expect(await first.resume()).toBe(200);
    source.send(20);
    await byKey.untilSeq(EVENTS + 20);
    await stream.untilReaders(3);
    source.end();
    await Promise.all([first, late, byKey].map((reader) => reader.untilEnd()));
    const hadSeq = late.connections.at(-1)?.afterSeq ?? 0;
    expect(hadSeq, "the renewed token's own position").toBeGreaterThan(0);
    return {
      readers: [first, { reader: late, hadSeq }, byKey, { reader: byTokenUrl, throughSeq: EVENTS, end: "none" }],
      telemetry: {
        SseReaderRemoved: Array.from({ length: 3 }, () => ({ reason: "disconnected" })),
        SseResumeIssued: { min: 12 },
      },
    };
  });
  // The fetch, the EventSource, and the look at the end.
  expect(await namelessFailures(scene, 3)).toEqual(["token_expired", "token_expired", "token_expired"]);
});
