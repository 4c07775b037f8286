/**
 * What the log says of a stream, by the events of the runbook, and what it never shows.
 */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { forge, refusedTokens } from "../fixtures/forged-tokens.ts";
import { numberedEvents } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const EVENT_COUNT = 12;
const UPSTREAM_KEY = "upstream-key-5e1f";

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = { upstream: upstream.origin, allowGet: true };
  service = await startService({
    vars: {
      ROUTES: [
        { ...route, name: "told", headers: { Authorization: "Bearer ${UPSTREAM_KEY}" } },
        { ...route, name: "other" },
      ],
      UPSTREAM_KEY,
    },
  });
});

afterAll(async () => {
  await upstream.stop();
  await endService(service);
});

async function finishedStream(count: number): Promise<SseReading> {
  upstream.handle(sendChunks([numberedEvents(1, count)]));
  const reading = await readStream(`${service.origin}/told/stream`);
  await reading.toEnd();
  return reading;
}

test("a stream's life: started, resumed, ended", async () => {
  const reading = await finishedStream(EVENT_COUNT);
  const resumed = await resumeStream(`${service.origin}/told/resume`, reading.token, "1-9");
  await resumed.toEnd();
  const about = { request_id: reading.requestId, route: "told", tenant: "default" };
  await untilLogged(service, "SseStreamStarted", about);
  await untilLogged(service, "SseResumeAttempt", { ...about, position: "1-9" });
  await untilLogged(service, "SseResumeSuccess", { ...about, position: "1-9", replayed_events: 3 });
  await untilLogged(service, "SseResumeIssued", about, 2);
  const [ended] = await untilLogged(service, "SseStreamEnded", about);
  expect(ended).toMatchObject({ state: "completed", reason: null, events: EVENT_COUNT, trimmed_events: 0 });
  expect(ended?.["duration_ms"]).toEqual(expect.any(Number));
  expect(Number.isNaN(Date.parse(String(ended?.["time"])))).toBe(false);
});

test("what was evicted, and who came too late for it", async () => {
  const reading = await finishedStream(400);
  await (await resumeStream(`${service.origin}/told/resume`, reading.token, "1-10")).toEnd();
  const about = { request_id: reading.requestId };
  await untilLogged(service, "SsePartialRecovery", { ...about, kind: "gap", missing_events: 134 });
  const trims = service.telemetry("SseBufferTrimmed").filter((line) => line["request_id"] === reading.requestId);
  expect(trims.map(({ events }) => Number(events)).reduce((sum, events) => sum + events, 0)).toBe(144);
  expect(trims[0]).toMatchObject({ reason: "max_events", priority: "normal" });
  expect(trims.map(({ unread_events: unread }) => unread)).toEqual(trims.map(() => 0));
});

test("every resume that is refused, with its code, and its stream where the token tells it", async () => {
  const reading = await finishedStream(EVENT_COUNT);
  const resume = (token: string, query = "") =>
    fetch(`${service.origin}/told/resume${query}`, { headers: { "X-Resume-Token": token } });
  await fetch(`${service.origin}/other/resume`, { headers: { "X-Resume-Token": reading.token } });
  await resume(await forge(reading.token, { tnt: "somebody" }));
  await resume(reading.token, "?last_event_id=1-999");
  await resume(reading.token, "?last_event_id=nonsense");
  await resume(reading.token, "?mode=nonsense");
  await resume(await forge(reading.token, { exp: 1_000 }));
  await resume(await forge(reading.token, { sub: "never-was-there-any-such-id" }));
  await resume("");

  await untilLogged(service, "SseResumeFailed", { code: "token_wrong_route", request_id: reading.requestId });
  await untilLogged(service, "SseResumeFailed", { code: "token_expired" });
  await untilLogged(service, "SseResumeFailed", { code: "stream_expired", request_id: "never-was-there-any-such-id" });
  await untilLogged(service, "SseResumeFailed", { code: "token_missing" });
  await untilLogged(service, "SseResumeFailed", { code: "stream_not_found", request_id: reading.requestId });
  // A position that is no id, one that the stream never had, and an unknown mode.
  const invalid = { code: "invalid_request", request_id: reading.requestId };
  expect(await untilLogged(service, "SseResumeFailed", invalid, 3)).toHaveLength(3);
});

test("no line of the service's output holds a token, a key, a secret or a payload", async () => {
  const mark = `marker-${randomUUID()}`;
  upstream.handle(sendChunks([`event: ${mark}\ndata: ${mark}\n\n`]));
  const key = `${mark}-key`;
  const started = await readStream(`${service.origin}/told/stream?q=${mark}`, {
    method: "POST",
    headers: { "Idempotency-Key": key },
    body: mark,
  });
  await started.toEnd();
  expect(started.data).toEqual([mark]);
  const call = upstream.calls.at(-1);
  expect(call).toMatchObject({ body: mark, url: `/?q=${mark}` });
  expect(call?.headers.authorization).toBe(`Bearer ${UPSTREAM_KEY}`);

  const before = service.lines.length;
  await (await readStream(`${service.origin}/told/resume?token=${started.token}&q=${mark}`)).toEnd();
  for (const { token } of await refusedTokens(started.token)) await fetch(`${service.origin}/resume?token=${token}`);
  await fetch(`${service.origin}/told/resume?token=${started.token}&last_event_id=${mark}`);
  await fetch(`${service.origin}/told/stream?q=${mark}`, {
    method: "POST",
    headers: { "Idempotency-Key": key },
    body: "another",
  });
  await fetch(`${service.origin}/${mark}`);
  await expect.poll(() => service.lines.length - before, { timeout: 5_000 }).toBeGreaterThan(20);

  const output = service.lines.join("\n");
  const [, , signature = mark] = started.token.split(".");
  for (const secret of [...Object.values(TEST_SECRETS), UPSTREAM_KEY, mark, "eyJ", signature]) {
    expect(output).not.toContain(secret);
  }
});
