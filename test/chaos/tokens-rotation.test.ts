/**
 * The resume secret is changed while readers are on: rightly, with the old one kept for a while, and wrongly, without.
 * A deployment takes the streams' objects down; what they had stored is there afterwards.
 */
import { decodeProtectedHeader } from "jose";
import { afterAll, expect, test } from "vitest";

import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import type { ChaosReader } from "./fixtures/chaos-reader.ts";
import { namelessFailures } from "./fixtures/nameless-failures.ts";
import { ChaosScene, perform } from "./scene.ts";

const OLD_SECRET = TEST_SECRETS.SSE_RESUME_SECRET;
const NEW_SECRET = "chaos-resume-secret-0123456789abcdef0123456789ab";
const NEXT_SECRET = "chaos-later-resume-secret-0123456789abcdef012345";
const RIGHT = { SSE_RESUME_SECRET: NEW_SECRET, SSE_RESUME_SECRET_PREVIOUS: OLD_SECRET };
const EVENTS = 30;
const INTERRUPTED = { status: "interrupted", reason: "object_restarted" };

const UNKNOWN_KEY = "token_invalid: unknown_key";

const scenes: ChaosScene[] = [];
afterAll(async () => {
  for (const scene of scenes) await scene.end();
});

async function begin(): Promise<ChaosScene> {
  const scene = await ChaosScene.begin({ vars: { SSE_SNAPSHOT_TTL_SEC: 5 } });
  scenes.push(scene);
  return scene;
}

const kidOf = ({ token }: ChaosReader): unknown => decodeProtectedHeader(token).kid;

test.concurrent("with the old secret kept: who is on comes back with an old token, and is given a new one", async () => {
  const scene = await begin();
  const tokens: string[] = [];
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    const second = stream.reader();
    await second.resume();
    source.send(EVENTS);
    await Promise.all([first, second].map((reader) => reader.untilSeq(EVENTS)));
    await scene.settle(stream);
    const oldKid = kidOf(first);
    await scene.redeploy(RIGHT);
    await Promise.all([first, second].map((reader) => reader.untilEnd()));
    expect([first, second].map(({ reading }) => reading.outcome)).toEqual(["broken", "broken"]);

    const late = stream.reader("from the middle");
    expect(await late.resume({ after: "1-12" })).toBe(200);
    await late.untilEnd();
    // A token signed by the new secret: the old one is no longer needed.
    expect(kidOf(late)).not.toBe(oldKid);
    expect(await first.resume()).toBe(204);
    expect(await second.resume({ by: "token", token: late.token })).toBe(200);
    await second.untilEnd();

    tokens.push(stream.token, late.token);
    return {
      readers: [
        { reader: first, end: { status: "interrupted" } },
        { reader: second, end: INTERRUPTED },
        { reader: late, hadSeq: 12, end: INTERRUPTED },
      ],
      ended: { state: "interrupted", reason: "object_restarted" },
      // The second reader was live when its object went down: nobody was left to tell of its end.
      telemetry: { SseResumeLiveStart: 1, SseResumeLiveEnd: 0 },
    };
  });
  // Once more: what the first secret signed is refused, what the second signed is known, if for a stream that is gone.
  await scene.redeploy({ SSE_RESUME_SECRET: NEXT_SECRET, SSE_RESUME_SECRET_PREVIOUS: NEW_SECRET });
  const resume = (token: string) =>
    fetch(`${scene.service.origin}/chat/resume`, { headers: { "X-Resume-Token": token } });
  const answers = await Promise.all(tokens.map(resume));
  expect(answers.map(({ status }) => status)).toEqual([401, 410]);
  expect(await namelessFailures(scene, 1)).toEqual([UNKNOWN_KEY]);
});

test.concurrent("without the old secret: everybody is refused, until it is put back, and nothing is lost", async () => {
  const scene = await begin();
  await perform(scene, {}, async (stream) => {
    const { source, first } = stream;
    source.send(EVENTS);
    await first.untilSeq(EVENTS);
    await scene.settle(stream);
    await scene.redeploy({ SSE_RESUME_SECRET: NEW_SECRET });
    await first.untilEnd();
    expect(await first.resume()).toBe(401);
    expect(await first.resume({ by: "token" })).toBe(401);
    expect(await namelessFailures(scene, 2)).toEqual([UNKNOWN_KEY, UNKNOWN_KEY]);
    await scene.redeploy(RIGHT);
    const byKey = stream.eventSource({ by: "key" });
    await byKey.untilEnd();
    expect(await first.resume({ after: "1-7" })).toBe(200);
    await first.untilEnd();
    return {
      readers: [
        { reader: first, end: INTERRUPTED },
        { reader: byKey, end: INTERRUPTED },
      ],
      ended: { state: "interrupted", reason: "object_restarted" },
    };
  });
});
