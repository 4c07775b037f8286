/**
 * Starts that do not wait (`Prefer: respond-async`), and the id a caller brings along.
 */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { liveSource, numberedEvents, numbers } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { parseObject, readStream, resumeStream } from "../fixtures/sse-reading.ts";
import { sendChunks, type Upstream } from "../fixtures/upstream.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { Service } from "../fixtures/workerd-service.ts";

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let scene: ServiceWithUpstream;
let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  scene = await startServiceWithUpstream([
    { name: "told" },
    { name: "impatient", connectTimeoutMs: 200 },
    { name: "nobody", upstream: "http://127.0.0.1:1" },
  ]);
  ({ upstream, service } = scene);
});

afterAll(async () => {
  await scene.end();
});

async function statusOf(route: string, token: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${service.origin}/${route}/status`, { headers: { "X-Resume-Token": token } });
  return parseObject(await response.text());
}

describe("Prefer: respond-async", () => {
  const prefer = { Prefer: "respond-async, wait=10" };

  async function receiptOf(route: string, headers: Record<string, string> = {}) {
    const response = await fetch(`${service.origin}/${route}/stream`, {
      method: "POST",
      headers: { ...prefer, ...headers },
    });
    expect(response.status).toBe(202);
    expect(response.headers.get("preference-applied")).toBe("respond-async");
    const receipt = parseObject(await response.text());
    expect(receipt).toEqual({
      request_id: response.headers.get("x-request-id"),
      resume_token: response.headers.get("x-resume-token"),
      resume_url: `${service.origin}/${route}/resume`,
      expires_at: expect.stringMatching(ISO_TIME),
    });
    const token = String(receipt["resume_token"]);
    return {
      token,
      requestId: receipt["request_id"],
      follow: () => resumeStream(String(receipt["resume_url"]), token),
    };
  }

  test("answers before the upstream does; the receipt is all it takes to read", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const receipt = await receiptOf("told");
    const reading = await receipt.follow();
    expect(await statusOf("told", receipt.token)).toMatchObject({ state: "open", readers: 1 });
    await source.open();
    source.sendNumbers(1, 3);
    await reading.untilContent(3);
    const second = await receipt.follow();
    source.end();
    for (const reader of [reading, second]) {
      await reader.toEnd();
      expect(reader.data).toEqual(numbers(1, 3));
      expect(reader.control("end")).toMatchObject([{ status: "complete" }]);
    }
  });

  test("a start repeated with its key gets the same stream", async () => {
    upstream.handle(sendChunks([numberedEvents(1, 3)]));
    const callsBefore = upstream.calls.length;
    const key = { "Idempotency-Key": randomUUID() };
    const receipts = [await receiptOf("told", key), await receiptOf("told", key)];
    expect(receipts[1]?.requestId).toBe(receipts[0]?.requestId);
    for (const receipt of receipts) {
      const reading = await receipt.follow();
      await reading.toEnd();
      expect(reading.data).toEqual(numbers(1, 3));
    }
    expect(upstream.calls.length - callsBefore).toBe(1);
  });

  const failures = [
    ["refuses", "told", "upstream_refused"],
    ["is down", "nobody", "upstream_unreachable"],
    ["never answers", "impatient", "upstream_timeout"],
  ] as const;
  test.each(failures)("an upstream that %s ends the stream with status error", async (_, route, reason) => {
    upstream.handle((_, response) => {
      if (route === "told") response.writeHead(401, { "content-type": "application/json" }).end('{"error":"no"}');
    });
    const receipt = await receiptOf(route);
    const reading = await receipt.follow();
    await reading.toEnd();
    expect(reading.content).toEqual([]);
    expect(reading.control("end")).toMatchObject([{ status: "error", reason, last_id: "0-0" }]);
    expect(await statusOf(route, receipt.token)).toMatchObject({ state: "failed", reason });
  });

  test("cancelled before the upstream has answered, the upstream is let go at once", async () => {
    const source = liveSource();
    upstream.handle(source.handler);
    const receipt = await receiptOf("told");
    const reading = await receipt.follow();
    await expect.poll(() => source.callCount, { timeout: 10_000 }).toBe(1);
    const cancelled = await fetch(`${service.origin}/told/stream`, {
      method: "DELETE",
      headers: { "X-Resume-Token": receipt.token },
    });
    expect(await cancelled.json()).toMatchObject({ state: "cancelled" });
    await reading.toEnd();
    expect(reading.control("end")).toMatchObject([{ status: "cancelled", last_id: "0-0" }]);
    await expect.poll(() => source.isClosed, { timeout: 10_000 }).toBe(true);
  });
});

describe("a caller's own id", () => {
  test.each(["X-Correlation-Id", "X-Request-Id"])(
    "sent as %s is kept beside ours, in status and telemetry",
    async (name) => {
      upstream.handle(sendChunks([numberedEvents(1, 1)]));
      const own = `caller-${randomUUID()}`;
      const reading = await readStream(`${service.origin}/told/stream`, { headers: { [name]: own } });
      await reading.toEnd();
      expect(reading.requestId).not.toBe(own);
      expect(await statusOf("told", reading.token)).toMatchObject({ correlation_id: own });
      const about = { correlation_id: own, request_id: reading.requestId, route: "told" };
      await untilLogged(service, "SseStreamEnded", { ...about, state: "completed", events: 1 });
    },
  );

  test.each(["with space", "x".repeat(129), "ünicode"])("that is no id is refused: %s", async (own) => {
    const headers = { "X-Correlation-Id": Buffer.from(own).toString("latin1") };
    const response = await fetch(`${service.origin}/told/stream`, { headers });
    expect(await problemOf(response)).toMatchObject({
      status: 400,
      code: "invalid_request",
      field: "x-correlation-id",
    });
  });
});
