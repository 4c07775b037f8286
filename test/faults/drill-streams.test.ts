/**
 * Drills of streams: the resume secret changed wrongly; readers that see gaps; streams and readers that are
 * stuck. Each alert is seen, its section of RUNBOOK.md followed as it stands.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { Drill } from "../fixtures/drill.ts";
import { readRows } from "../fixtures/icebird-lake.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { openUnread } from "../fixtures/unread-response.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const OLD_SECRET = TEST_SECRETS.SSE_RESUME_SECRET;
const NEW_SECRET = "drill-resume-secret-0123456789abcdef0123456789a";
const EVENTS = 40;

let upstream: Upstream;
let drill: Drill;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => drill.end());
afterAll(() => upstream.stop());

async function begin(vars: Readonly<Record<string, unknown>> = {}, route: object = {}): Promise<void> {
  const ROUTES = [{ name: "chat", upstream: `${upstream.origin}/chat`, allowGet: true, ...route }];
  drill = await Drill.begin({ vars: { ROUTES, ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 1000, ...vars } });
}

const chat = () => readStream(`${drill.service.origin}/chat/stream`);
const resume = (token: string, after: string) => resumeStream(`${drill.service.origin}/chat/resume`, token, after);

test("Resumes fail: the secret was changed without keeping the old one, and no stream is lost for it", async () => {
  await begin();
  upstream.handle(sendChunks([numberedEvents(1, EVENTS)]));
  const readers: SseReading[] = [];
  for (let at = 0; at < 6; at++) readers.push(await chat());
  for (const reader of readers) await reader.until(() => reader.outcome === "closed", "the end");

  await drill.redeploy({ SSE_RESUME_SECRET: NEW_SECRET });
  for (const { token } of readers) expect((await resume(token, "1-10")).response.status).toBe(401);
  expect(await drill.untilFiring("ResumeSuccess")).toMatchObject({ severity: "critical" });
  const logs = await drill.type("Resumes fail", "$LOGS | npm run --silent logs -- resume-failures");
  expect(logs.stdout).toContain("unknown_key");

  // What the block marked production sets there, a deployment does here.
  await drill.redeploy({ SSE_RESUME_SECRET: NEW_SECRET, SSE_RESUME_SECRET_PREVIOUS: OLD_SECRET });
  for (const { token } of readers) {
    const resumed = await resume(token, "1-10");
    await resumed.until(() => resumed.outcome === "closed", "the end");
    expect(resumed.data).toEqual(numbers(11, EVENTS));
  }
  await drill.untilResolved("ResumeSuccess");
});

test("Readers see gaps: a route without fold, and no more of them with one", async () => {
  const small = { SSE_BUFFER_MAX_EVENTS: 20 };
  await begin(small);
  upstream.handle(sendChunks([numberedEvents(1, 200)]));
  const first = await chat();
  await first.until(() => first.outcome === "closed", "the end");
  const late = await resume(first.token, "0-0");
  await late.until(() => late.outcome === "closed", "the end");
  expect(late.control("gap").length).toBeGreaterThan(0);
  await drill.untilFiring("TrimRate");
  const logs = await drill.type("Readers see gaps", "$LOGS | npm run --silent logs -- trims");
  expect(logs.stdout).toContain("max_events");

  const ROUTES = [{ name: "chat", upstream: `${upstream.origin}/chat`, allowGet: true, fold: "text" }];
  await drill.redeploy({ ...small, ROUTES });
  upstream.handle(sendChunks([numberedEvents(1, 200)]));
  const second = await chat();
  await second.until(() => second.outcome === "closed", "the end");
  const again = await resume(second.token, "0-0");
  await again.until(() => again.outcome === "closed", "the end");
  expect(again.control("gap")).toEqual([]);
  expect(again.data.join("")).toBe(numbers(1, 200).join(""));
  await drill.untilResolved("TrimRate");
});

test("Streams or readers are stuck: they are found, one is cancelled, and the table tells of it", async () => {
  await begin();
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = chat();
  await source.open();
  const reader = await answer;
  source.send(numberedEvents(1, 5));
  await reader.until(() => reader.data.length === 5, "five events");
  const unread = await openUnread(`${drill.service.origin}/chat/stream?idempotency_key=drill-stuck-reader-1`);
  const { requestId } = reader;
  const values = { REQUEST_ID: requestId };
  const section = "Streams or readers are stuck";
  const shown = await drill.type(section, 'scripts/spillway streams show "$REQUEST_ID"', values);
  expect(shown).toMatchObject({ code: 0 });
  expect(shown.stdout).toContain(requestId);
  expect(await drill.type(section, "scripts/spillway streams list --state stuck")).toMatchObject({ code: 0 });

  const cancelled = await drill.type(section, 'scripts/spillway streams cancel "$REQUEST_ID"', values);
  expect(cancelled).toMatchObject({ code: 0 });
  await reader.until(() => reader.control("end").length === 1, "the end");
  expect(reader.control("end")[0]).toMatchObject({ status: "cancelled", reason: "cancelled_by_operator" });
  expect(source.isClosed).toBe(true);
  const flushed = await drill.type(section, 'scripts/spillway flush --request-id "$REQUEST_ID"', values);
  expect(flushed).toMatchObject({ code: 0 });
  const rows = await readRows(drill.service);
  const types = rows.filter((row) => row.request_id === requestId).map(({ type }) => type);
  expect(types).toEqual(expect.arrayContaining(["SseStreamStarted", "SseStreamEnded"]));
  unread.destroy();
});
