/**
 * Finished streams in the archive, and read from it once their object has nothing left: as before, for as
 * long as the token lives. B1, B2, B7.
 */
import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";

import {
  alarmOf,
  archived,
  archivedKeys,
  archiveScene,
  deltas,
  expire,
  finishedStream,
  pass,
  readResumed,
  resumeTogether,
  resumeWith,
  ring,
  serviceWith,
  SNAPSHOT_TTL_MS,
  startStream,
  statusOf,
  tablesOf,
  upstreamSays,
} from "./archive-scene.ts";
import { endOf } from "./reading.ts";

const EVENTS = 40;
const { call, callWithout, told } = archiveScene();

/** How often it was resumed is counted from where the archive has it. */
function uncounted(text: string): string {
  return text.replaceAll(/"(resumes|recovered_events)":\d+/g, "");
}

test("a complete stream becomes one object, folded and deflated, by the alarm that its end sets", async () => {
  const { requestId } = await finishedStream(call, EVENTS);
  expect(await alarmOf(requestId)).toBeLessThanOrEqual(Date.now());
  await ring(requestId);
  expect(await archivedKeys()).toEqual([`streams/${requestId}`]);
  const stream = await archived(requestId);
  expect(stream?.rows.map(({ encoding }) => encoding)).toEqual(["folded+deflate", "plain"]);
  expect(stream?.rows[0]).toMatchObject({ firstSeq: 1, lastSeq: EVENTS - 1, eventCount: 1 });
  expect(stream?.record).toMatchObject({ state: "completed", durableSeq: EVENTS, isArchived: true });
  const bytes = (await env.ARCHIVE_BUCKET.head(`streams/${requestId}`))?.size;
  expect(told("SseArchived")).toMatchObject([{ request_id: requestId, route: "chat", segments: 2, bytes }]);

  // Nothing more to do until its end of life.
  expect(await alarmOf(requestId)).toBeGreaterThan(Date.now() + SNAPSHOT_TTL_MS - 1000);
  await expire(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
  expect(told("SseArchived")).toHaveLength(1);
});

test.each(["failed", "cancelled", "interrupted"] as const)("a stream that is %s is archived too", async (state) => {
  const source = upstreamSays(`${deltas(1, 5)}event: stage\ndata: half\n\n`);
  const reader = await startStream(call);
  await reader.until(({ event }) => event === "stage");
  const { token, requestId } = reader;
  const headers = { "X-Resume-Token": token };
  if (state === "failed") source.fail();
  if (state === "cancelled") await call("/chat/stream", { method: "DELETE", headers });
  if (state === "interrupted") await abortAllDurableObjects();
  else await reader.toEnd();
  await statusOf(call, token);
  await ring(requestId);
  expect((await archived(requestId))?.record.state).toBe(state);
  const before = await readResumed(call, token, "1-2");
  await expire(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
  const after = await readResumed(call, token, "1-2");
  expect(uncounted(after)).toBe(uncounted(before));
  expect(after).toContain('"status":');
});

test("not archived: a stream that was abandoned, one without an event, one where SSE_ARCHIVE is false", async () => {
  upstreamSays(deltas(1, 3));
  const abandoned = await startStream(call);
  await abandoned.until(({ id }) => id === "1-3");
  await abandoned.cut();
  await vi.waitUntil(async () => (await statusOf(call, abandoned.token))["readers"] === 0);
  pass(1_000_000);
  await ring(abandoned.requestId);
  expect(await statusOf(call, abandoned.token)).toMatchObject({ state: "expired", reason: "abandoned" });

  upstreamSays(": nothing\n\n").end();
  const empty = await startStream(call);
  expect(endOf(await empty.toEnd())).toMatchObject({ status: "complete", last_id: "0-0" });
  const unwanted = await finishedStream(callWithout);
  for (const { requestId } of [abandoned, empty, unwanted]) {
    await ring(requestId);
    await expire(requestId);
    expect(await tablesOf(requestId)).toEqual([]);
  }
  expect(await archivedKeys()).toEqual([]);
  expect(told("SseArchived")).toEqual([]);
});

test.each([
  ["chat", "0-0", ""],
  ["chat", "1-1", ""],
  ["chat", `1-${EVENTS / 2}`, ""],
  ["chat", `1-${EVENTS - 1}`, ""],
  ["chat", "0-0", "mode=replay"],
  ["chat", "1-7", "mode=snapshot"],
  ["chat", undefined, ""],
  ["chat", `1-${EVENTS}`, ""],
  ["chat", "1-4711", ""],
  ["chat", "2-1", ""],
  ["plain", "0-0", ""],
  ["plain", "1-9", ""],
  ["plain", `1-${EVENTS}`, ""],
])("route %s, position %s, %s: answered from the archive as it was before", async (route, position, query) => {
  const { token, requestId } = await finishedStream(call, EVENTS, `/${route}/stream`);
  await ring(requestId);
  const before = await readResumed(call, token, position, `${route}/resume?${query}`);
  await expire(requestId);
  expect(await tablesOf(requestId)).toEqual([]);
  const after = await readResumed(call, token, position, `${route}/resume?${query}`);
  expect(after).toBe(before);
  expect(Number(after.slice(0, 3))).toBe(
    position === `1-${EVENTS}` ? 204 : position === "1-4711" || position === "2-1" ? 400 : 200,
  );
  expect(told("SseArchiveRead")).toMatchObject([{ request_id: requestId, segments: 2 }]);
});

test("events that had given way are named in a gap, and ids of two epochs stay what they are", async () => {
  const small = serviceWith({ SSE_BUFFER_MAX_EVENTS: 8, SSE_BUFFER_FOLD: false });
  const source = upstreamSays(deltas(1, 20));
  const reader = await startStream(small);
  await reader.until(({ id }) => id === "1-20");
  source.send("event: stage\ndata: kept\n\n");
  await reader.until(({ id }) => id === "1-21");
  await abortAllDurableObjects();
  expect(await statusOf(small, reader.token)).toMatchObject({ epoch: 2, first_id: "1-14", trimmed_events: 13 });
  await ring(reader.requestId);
  const before = await readResumed(small, reader.token, "1-2");
  expect(before).toContain('{"from":"1-3","to":"1-13","dropped":11,"reason":"buffer_trimmed"}');
  await expire(reader.requestId);
  expect(await readResumed(small, reader.token, "1-2")).toBe(before);
  expect(await statusOf(small, reader.token)).toMatchObject({ epoch: 2, first_id: "1-14", trimmed_events: 13 });
});

test("brought back it expires again, is not archived again, and can be brought back again", async () => {
  const { token, requestId } = await finishedStream(call);
  await ring(requestId);
  await expire(requestId);
  for (let time = 1; time <= 3; time++) {
    const status = await statusOf(call, token);
    expect(Date.parse(String(status["expires_at"]))).toBe(Date.now() + SNAPSHOT_TTL_MS);
    expect(await tablesOf(requestId)).toHaveLength(2);
    pass(SNAPSHOT_TTL_MS - 1000);
    await ring(requestId);
    expect(await tablesOf(requestId)).toHaveLength(2);
    // Also where the object leaves memory meanwhile.
    await abortAllDurableObjects();
    pass(2000);
    await ring(requestId);
    expect(await tablesOf(requestId)).toEqual([]);
    expect(await alarmOf(requestId)).toBeNull();
    expect(told("SseArchiveRead")).toHaveLength(time);
  }
  expect(told("SseArchived")).toHaveLength(1);
});

test("twenty who come back at once: fetched once, and all of them are served", async () => {
  const { token, requestId } = await finishedStream(call, EVENTS);
  await ring(requestId);
  await expire(requestId);
  const { responses, gets } = await resumeTogether(
    20,
    async (real) => real(),
    () => resumeWith(call, token, "1-11"),
  );
  for (const response of responses) {
    const text = await response.text();
    expect(text).toContain(`" word12 word13`);
    expect(text).toContain('"status":"complete"');
  }
  expect(told("SseArchiveRead")).toHaveLength(1);
  expect(gets).toBe(1);
});

test("cancelling one that lies in the archive answers how it ended", async () => {
  const { token, requestId } = await finishedStream(call);
  await ring(requestId);
  await expire(requestId);
  const response = await call("/chat/stream", { method: "DELETE", headers: { "X-Resume-Token": token } });
  expect(await response.json()).toMatchObject({ request_id: requestId, state: "completed" });
});

test("SSE_ARCHIVE switched off later: what began under it is still archived, and nothing is read", async () => {
  const { token, requestId } = await finishedStream(call);
  await statusOf(callWithout, token);
  await ring(requestId);
  expect(await archivedKeys()).toEqual([`streams/${requestId}`]);
  await expire(requestId);
  const refused = await resumeWith(callWithout, token);
  expect(refused.status).toBe(410);
  expect(await refused.json()).toMatchObject({ code: "stream_expired" });
  expect(await tablesOf(requestId)).toEqual([]);
  expect((await resumeWith(call, token)).status).toBe(200);
});

test("a stream that nobody has archived: 410 as ever, and nothing is written", async () => {
  const { token, requestId } = await finishedStream(callWithout);
  await expire(requestId);
  const refused = await resumeWith(call, token);
  expect(await refused.json()).toMatchObject({ status: 410, code: "stream_expired" });
  expect(await tablesOf(requestId)).toEqual([]);
});

test("what its token's life does not cover is refused: 410 token_expired", async () => {
  const { token, requestId } = await finishedStream(call);
  await ring(requestId);
  await expire(requestId);
  pass(7_200_000);
  expect(await (await resumeWith(call, token)).json()).toMatchObject({ status: 410, code: "token_expired" });
  expect(told("SseArchiveRead")).toEqual([]);
});
