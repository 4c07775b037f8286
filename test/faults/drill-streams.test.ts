/**
 * Drills of streams: the resume secret changed wrongly; readers that see gaps; streams and readers that are
 * stuck. Each alert is seen, its section of RUNBOOK.md followed as it stands.
 */
import { expect, test } from "vitest";

import { Drill } from "../fixtures/drill.ts";
import { readRows } from "../fixtures/icebird-lake.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, startUpstream } from "../fixtures/upstream.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const OLD_SECRET = TEST_SECRETS.SSE_RESUME_SECRET;
const NEW_SECRET = "drill-resume-secret-0123456789abcdef0123456789a";
const EVENTS = 40;
const STUCK_TIMEOUT_MS = 100_000;

/** A drill with one route, and its source. */
async function begin(vars: Readonly<Record<string, unknown>> = {}) {
  const upstream = await startUpstream();
  const routes = (route: object = {}) => [
    { name: "chat", upstream: `${upstream.origin}/chat`, allowGet: true, ...route },
  ];
  const common = { ROUTES: routes(), ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 1000 };
  const drill = await Drill.begin({ vars: { ...common, ...vars } });
  const origin = drill.service.origin;
  return {
    drill,
    upstream,
    routes,
    chat: () => readStream(`${origin}/chat/stream`),
    resume: (token: string, after: string) => resumeStream(`${origin}/chat/resume`, token, after),
    async [Symbol.asyncDispose]() {
      await drill[Symbol.asyncDispose]();
      await upstream.stop();
    },
  };
}

test.concurrent("Resumes fail: the secret was changed without keeping the old one, and no stream is lost for it", async () => {
  await using scene = await begin();
  const { drill, upstream, chat, resume } = scene;
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

test.concurrent("Readers see gaps: a route without fold, and no more of them with one", async () => {
  const small = { SSE_BUFFER_MAX_EVENTS: 20 };
  await using scene = await begin(small);
  const { drill, upstream, routes, chat, resume } = scene;
  upstream.handle(sendChunks([numberedEvents(1, 200)]));
  const first = await chat();
  await first.until(() => first.outcome === "closed", "the end");
  const late = await resume(first.token, "0-0");
  await late.until(() => late.outcome === "closed", "the end");
  expect(late.control("gap").length).toBeGreaterThan(0);
  await drill.untilFiring("TrimRate");
  const logs = await drill.type("Readers see gaps", "$LOGS | npm run --silent logs -- trims");
  expect(logs.stdout).toContain("max_events");

  await drill.redeploy({ ...small, ROUTES: routes({ fold: "text" }) });
  upstream.handle(sendChunks([numberedEvents(1, 200)]));
  const second = await chat();
  await second.until(() => second.outcome === "closed", "the end");
  const again = await resume(second.token, "0-0");
  await again.until(() => again.outcome === "closed", "the end");
  expect(again.control("gap")).toEqual([]);
  expect(again.data.join("")).toBe(numbers(1, 200).join(""));
  await drill.untilResolved("TrimRate");
});

test.concurrent("Streams or readers are stuck: one is found, cancelled, and the table tells of it", async () => {
  await using scene = await begin();
  const { drill, upstream, chat } = scene;
  const source = liveSource();
  upstream.handle(source.handler);
  const answer = chat();
  await source.open();
  const reader = await answer;
  source.send(numberedEvents(1, 5));
  await reader.until(() => reader.data.length === 5, "five events");
  const { requestId } = reader;
  const values = { REQUEST_ID: requestId };
  const section = "Streams or readers are stuck";
  // Its source is silent from now on; a minute of that counts as stuck.
  const list = async () => (await drill.type(section, "scripts/spillway streams list --state stuck")).stdout;
  expect(await list()).not.toContain(requestId);
  await expect.poll(list, { timeout: STUCK_TIMEOUT_MS, interval: 5_000 }).toContain(requestId);
  const shown = await drill.type(section, 'scripts/spillway streams show "$REQUEST_ID"', values);
  expect(shown).toMatchObject({ code: 0 });
  expect(shown.stdout).toContain(requestId);

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
  expect(await list()).not.toContain(requestId);
});
