/**
 * Signing a token takes turns of its own: what becomes of a reader whose stream's life ends meanwhile.
 */
import { expect, test, vi } from "vitest";

import { sleep } from "../../protocol/timing.ts";
import { TokenIssuer } from "../../durable-objects/token-issuer.ts";
import {
  archiveScene,
  deltas,
  expire,
  resumeWith,
  ring,
  startStream,
  tablesOf,
  upstreamSays,
} from "./archive-scene.ts";

const PATH = "/chat/stream?idempotency_key=one-key-for-many-lives";
const POLL_MS = 5;
const { callWithout: call, told } = archiveScene();

/** The next token to be signed waits until it is let go. */
function holdNextToken() {
  const issue: TokenIssuer["issue"] = Reflect.get(TokenIssuer.prototype, "issue");
  const held = { isWaiting: false, isFree: false };
  vi.spyOn(TokenIssuer.prototype, "issue").mockImplementationOnce(async function (this: TokenIssuer, ...args) {
    held.isWaiting = true;
    while (!held.isFree) await sleep(POLL_MS);
    return issue.apply(this, args);
  });
  return held;
}

test("a stream that is deleted meanwhile is gone for its reader, and nothing is told that did not happen", async () => {
  upstreamSays(deltas(1, 5)).end();
  const first = await startStream(call, PATH);
  await first.toEnd();
  await ring(first.requestId);
  const held = holdNextToken();
  const resumed = resumeWith(call, first.token, "0-0");
  await vi.waitUntil(() => held.isWaiting);
  await expire(first.requestId);
  expect(await tablesOf(first.requestId)).toEqual([]);
  held.isFree = true;

  const answer = await resumed;
  expect(answer.status).toBe(410);
  expect(await answer.json()).toMatchObject({ code: "stream_expired" });
  expect(told("SseDegraded")).toEqual([]);
  expect(told("SseBufferTrimmed")).toEqual([]);
  expect(told("SseResumeSuccess")).toEqual([]);
});

test("a second life that begins meanwhile is not read with the first one's token", async () => {
  upstreamSays("data: FIRST\n\n").end();
  const first = await startStream(call, PATH);
  await first.toEnd();
  await ring(first.requestId);
  const held = holdNextToken();
  const resumed = resumeWith(call, first.token, "0-0");
  await vi.waitUntil(() => held.isWaiting);
  await expire(first.requestId);
  upstreamSays("data: SECOND\n\n").end();
  const second = await startStream(call, PATH);
  await second.toEnd();
  expect(second.requestId).toBe(first.requestId);
  held.isFree = true;

  const answer = await resumed;
  expect(answer.status).toBe(410);
  expect(await answer.text()).not.toContain("SECOND");
});
