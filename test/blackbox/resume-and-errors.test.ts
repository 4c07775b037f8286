/**
 * Resuming over HTTP: tokens and positions, good and bad, and what is answered.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { forge, refusedTokens } from "../fixtures/forged-tokens.ts";
import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const EVENT_COUNT = 12;
/** No ids at all, and ids that a stream of {@link EVENT_COUNT} events in its first epoch never gave. */
const BAD_POSITIONS = "abc 1 1- -1 1-1-1 01-1 1-01 0-5 1-1x 1.5-1 1-9999999999999999 1-13 1-999 2-1 1-0 2-0".split(" ");

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;
/** A finished stream of {@link EVENT_COUNT} events. */
let finished: SseReading;

beforeAll(async () => {
  scene = await startServiceWithUpstream([
    { name: "told" },
    { name: "other" },
    { name: "staged", priority: [{ event: "stage", priority: "critical" }] },
  ]);
  ({ upstream, service } = scene);
  upstream.handle(sendChunks([numberedEvents(1, EVENT_COUNT)]));
  finished = await readStream(`${service.origin}/told/stream`);
  await finished.toEnd();
});

afterAll(async () => {
  await scene.end();
});

function resume(token: string, query = "", init: RequestInit = {}): Promise<Response> {
  return fetch(`${service.origin}/told/resume${query}`, { ...init, headers: { "X-Resume-Token": token } });
}

describe("a token is taken from its header, as a bearer, or from the query", () => {
  const places: [string, (token: string) => Promise<SseReading>][] = [
    [
      "X-Resume-Token",
      (token) => readStream(`${service.origin}/told/resume`, { headers: { "X-Resume-Token": token } }),
    ],
    [
      "Authorization",
      (token) => readStream(`${service.origin}/told/resume`, { headers: { Authorization: `Bearer ${token}` } }),
    ],
    [
      "authorization scheme in any case",
      (token) => readStream(`${service.origin}/told/resume`, { headers: { Authorization: `bearer ${token}` } }),
    ],
    ["?token=", (token) => readStream(`${service.origin}/told/resume?token=${token}`)],
    ["/resume for any route", (token) => readStream(`${service.origin}/resume?token=${token}`)],
    [
      "POST",
      (token) => readStream(`${service.origin}/told/resume`, { method: "POST", headers: { "X-Resume-Token": token } }),
    ],
  ];

  test.each(places)("%s", async (_, read) => {
    const reading = await read(finished.token);
    expect(await reading.toEnd()).toBe("closed");
    expect(reading.data).toEqual(numbers(1, EVENT_COUNT));
    expect(reading.requestId).toBe(finished.requestId);
  });

  test("without one: token_missing", async () => {
    for (const [path, method] of [
      ["resume", "GET"],
      ["resume", "POST"],
      ["status", "GET"],
      ["stream", "DELETE"],
    ] as const) {
      const response = await fetch(`${service.origin}/told/${path}`, { method });
      expect(await problemOf(response)).toMatchObject({ status: 400, code: "token_missing" });
    }
    expect(await problemOf(await fetch(`${service.origin}/resume`))).toMatchObject({
      status: 400,
      code: "token_missing",
    });
    expect(await problemOf(await resume(""))).toMatchObject({ status: 400, code: "token_missing" });
  });
});

describe("a token that is not ours, or not good any more", () => {
  test("token_invalid: one public message, the reason in the log", async () => {
    const bodies = new Set<string>();
    const counts = new Map<string, number>();
    for (const { name, token, reason } of await refusedTokens(finished.token)) {
      const response = await resume(token);
      const challenge = response.headers.get("www-authenticate");
      expect({ name, challenge }).toEqual({ name, challenge: 'Bearer realm="spillway", error="invalid_token"' });
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ status: 401, code: "token_invalid" });
      bodies.add(JSON.stringify({ ...problem, request_id: "" }));
      const count = (counts.get(reason) ?? 0) + 1;
      counts.set(reason, count);
      await untilLogged(service, "SseResumeFailed", { code: "token_invalid", reason }, count);
    }
    expect(bodies.size).toBe(1);
  });

  test("token_expired", async () => {
    const past = Math.floor(Date.now() / 1000) - 10;
    const token = await forge(finished.token, { iat: past - 10, exp: past });
    for (const path of ["told/resume", "resume", "told/status"]) {
      const response = await fetch(`${service.origin}/${path}`, { headers: { "X-Resume-Token": token } });
      expect(await problemOf(response)).toMatchObject({ status: 410, code: "token_expired" });
    }
  });

  test("token_wrong_route, for every call", async () => {
    for (const [path, method] of [
      ["resume", "GET"],
      ["status", "GET"],
      ["stream", "DELETE"],
    ] as const) {
      const headers = { "X-Resume-Token": finished.token };
      const response = await fetch(`${service.origin}/other/${path}`, { method, headers });
      expect(await problemOf(response)).toMatchObject({ status: 403, code: "token_wrong_route" });
    }
  });

  test("stream_not_found for another tenant or another route, even under our signature", async () => {
    expect(await problemOf(await resume(await forge(finished.token, { tnt: "somebody" })))).toMatchObject({
      status: 404,
      code: "stream_not_found",
    });
    const token = await forge(finished.token, { rte: "other" });
    expect(await problemOf(await fetch(`${service.origin}/resume?token=${token}`))).toMatchObject({
      status: 404,
      code: "stream_not_found",
    });
  });

  test("stream_expired for a stream that is not there", async () => {
    const token = await forge(finished.token, { sub: "never-was-there-any-such-id" });
    for (const path of ["told/resume", "told/status"]) {
      const response = await fetch(`${service.origin}/${path}`, { headers: { "X-Resume-Token": token } });
      expect(await problemOf(response)).toMatchObject({ status: 410, code: "stream_expired" });
    }
  });
});

describe("a position", () => {
  test("comes from the header, else the query, else the token", async () => {
    const last = { "Last-Event-ID": "1-9" };
    const cases: [string, Record<string, string>, number][] = [
      ["", last, 10],
      ["?last_event_id=1-4", {}, 5],
      // What EventSource sends as it reconnects is newer than what its URL says.
      ["?last_event_id=1-4", last, 10],
      ["?last_event_id=", {}, 1],
      ["", {}, 1],
    ];
    for (const [query, headers, firstSeq] of cases) {
      const reading = await readStream(`${service.origin}/told/resume${query}`, {
        headers: { ...headers, "X-Resume-Token": finished.token },
      });
      await reading.toEnd();
      expect(reading.data).toEqual(numbers(firstSeq, EVENT_COUNT));
    }
    const token = await forge(finished.token, { seq: "1-7" });
    const reading = await resumeStream(`${service.origin}/resume`, token);
    await reading.toEnd();
    expect(reading.data).toEqual(numbers(8, EVENT_COUNT));
  });

  test.each(BAD_POSITIONS)("that the stream never had is invalid_request: %j", async (position) => {
    const response = await resume(finished.token, `?last_event_id=${encodeURIComponent(position)}`);
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "invalid_request", field: "last_event_id" });
  });

  test.each(["snap", "LIVE", ""])("an unknown mode is invalid_request: %j", async (mode) => {
    const response = await resume(finished.token, `?mode=${mode}`);
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "invalid_request", field: "mode" });
  });

  test("with nothing left is 204, and says how the stream ended", async () => {
    const response = await resume(finished.token, `?last_event_id=1-${EVENT_COUNT}`);
    expect(response.status).toBe(204);
    expect(response.headers.get("x-spillway-end")).toBe("completed");
    expect(response.headers.get("x-request-id")).toBe(finished.requestId);
    expect(await response.text()).toBe("");

    const source = liveSource();
    upstream.handle(source.handler);
    const answer = readStream(`${service.origin}/told/stream`);
    await source.open();
    const failed = await answer;
    source.sendNumbers(1, 2);
    await failed.untilContent(2);
    source.reset();
    await failed.toEnd();
    expect((await resume(failed.token, "?last_event_id=1-2")).headers.get("x-spillway-end")).toBe("failed");
  });
});

describe("missing events are named before those that follow (B2)", () => {
  test("one gap for all that was evicted", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 400)]));
    const reading = await readStream(`${service.origin}/told/stream`);
    await reading.toEnd();
    const resumed = await resumeStream(`${service.origin}/told/resume`, reading.token, "1-10");
    await resumed.toEnd();
    const told = resumed.events.filter(({ event }) => event !== "resume");
    expect(told[0]?.id).toBe("1-144");
    expect(resumed.control("gap")).toEqual([{ from: "1-11", to: "1-144", dropped: 134, reason: "buffer_trimmed" }]);
    expect(told.slice(0, 2).map(({ event }) => event)).toEqual(["gap", "message"]);
    expect(resumed.data).toEqual(numbers(145, 400));
  });

  test("a gap for each hole between events that were kept (B4)", async () => {
    const stages = new Set(["5", "6", "50"]);
    const frames = numbers(1, 400).map((n) => `${stages.has(n) ? "event: stage\n" : ""}data: ${n}\n\n`);
    upstream.handle(sendChunks([frames.join("")]));
    const reading = await readStream(`${service.origin}/staged/stream`);
    await reading.toEnd();
    const resumed = await resumeStream(`${service.origin}/staged/resume`, reading.token, "1-2");
    await resumed.toEnd();
    const told = resumed.events.map(({ event, data, id }) => (event === "gap" ? `gap ${id}` : data)).slice(1, -1);
    expect(told).toEqual(["gap 1-4", "5", "6", "gap 1-49", "50", "gap 1-147", ...numbers(148, 400)]);
    expect(resumed.control("gap").map(({ from, dropped }) => [from, dropped])).toEqual([
      ["1-3", 2],
      ["1-7", 43],
      ["1-51", 97],
    ]);
  });
});
